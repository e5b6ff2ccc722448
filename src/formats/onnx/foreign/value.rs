//! The values of a graph, as far as they are followed.

use std::rc::Rc;

use candle_core::Tensor;
use rnn_zoo_models::{Merge, Readout};

use super::size::{Dim, Size};

/// A value of a graph.
#[derive(Clone)]
pub(super) enum Value {
    /// Floats that are the same in every call.
    Constant(Tensor),
    /// Integers that DequantizeLinear makes floats of, as f32.
    Quantised(Tensor),
    /// Whole numbers, as of shapes and indices. A scalar has one and the rank 0.
    Integers(Vec<Size>, usize),
    /// Zeros of any shape, with the last size if it is known.
    Zeros(Option<i64>),
    /// A tensor that depends on the inputs of the graph.
    Flow(Flow),
    /// A value of an operator that is not understood, with the problem.
    Unknown(Rc<str>),
}

/// A tensor that depends on the inputs of the graph.
#[derive(Clone)]
pub(super) struct Flow {
    pub(super) content: Content,
    /// The dimensions; none are known of [`Content::State`].
    pub(super) axes: Vec<Axis>,
}

/// The content of a tensor.
#[derive(Clone)]
pub(super) enum Content {
    /// An input of the graph.
    Input,
    /// Rows of the embedding of this number.
    Embedded(usize),
    /// Outputs or states of recurrent layers.
    Hidden(Hidden),
    /// Results of linear layers.
    Scores(Rc<Scores>),
    /// Part of an input of the graph, as the initial state of one layer.
    State,
}

/// Outputs or states of recurrent layers.
#[derive(Clone)]
pub(super) struct Hidden {
    pub(super) kind: Kind,
    /// The dimension of the steps; `None` if it is of size 1.
    pub(super) time: Option<Vec<Dim>>,
    /// The features at each place of the dimensions [`Axis::Stack`], in row-major order.
    pub(super) cells: Vec<Joined>,
}

/// The vectors that a tensor has of the steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The output of every step.
    Steps,
    /// The output of the first step or, if false, of the last one, of directions that do not all end there.
    Step(bool),
    /// One vector of all steps.
    Read(Readout),
    /// The cell state after the last step.
    Cell,
}

/// Features of one or both directions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Joined {
    /// The way in which several parts are joined.
    pub(super) merge: Merge,
    pub(super) parts: Vec<Part>,
}

/// One direction of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The number of the layer.
    pub(super) layer: usize,
    /// The direction's place in the parameters of the layer.
    pub(super) direction: usize,
    /// Whether it runs from the end.
    pub(super) reverse: bool,
}

/// Results of linear layers.
#[derive(Clone)]
pub(super) struct Scores {
    /// The input of the first.
    pub(super) hidden: Hidden,
    pub(super) linears: Vec<Linear>,
    /// Whether a sigmoid follows.
    pub(super) sigmoid: bool,
    /// Whether a softmax, its logarithm or a sigmoid follows, after which nothing is converted.
    pub(super) normalised: bool,
}

/// A linear layer.
#[derive(Clone)]
pub(super) struct Linear {
    /// (output, input).
    pub(super) weight: Tensor,
    pub(super) bias: Option<Tensor>,
}

/// A dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Axis {
    /// Of size 1.
    One,
    /// The product of dimensions of inputs, as of batch and time.
    Free(Vec<Dim>),
    /// Layers or directions.
    Stack(usize),
    /// Features.
    Features(usize),
}

impl Flow {
    /// Return the features of the last dimension.
    pub(super) fn features(&self) -> Option<usize> {
        match self.axes.last() {
            Some(Axis::Features(size)) => Some(*size),
            _ => None,
        }
    }
}

impl Hidden {
    /// Recognise outputs at the first or last step as the last ones of their directions.
    pub(super) fn settle(&mut self) {
        let Kind::Step(first) = self.kind else { return };
        if self.cells.iter().flat_map(|cell| &cell.parts).all(|part| part.reverse == first) {
            self.kind = Kind::Read(Readout::Last);
        }
    }
}

impl Axis {
    /// Return the size; `None` if it is larger than any tensor.
    pub(super) fn size(&self) -> Option<Size> {
        match self {
            Self::One => Some(Size::fixed(1)),
            Self::Free(dims) => Size::of(dims),
            Self::Stack(size) | Self::Features(size) => i64::try_from(*size).ok().map(Size::fixed),
        }
    }

    /// Return whether Squeeze may remove the dimension.
    pub(super) fn is_one(&self) -> bool {
        !matches!(self, Self::Features(_)) && self.size().and_then(|size| size.number()) == Some(1)
    }
}

impl Value {
    /// Return a measure of the memory that the value takes beside tensors.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Integers(sizes, _) => sizes.len(),
            Self::Flow(Flow { content: Content::Hidden(hidden), .. }) => {
                hidden.cells.iter().map(|cell| 1 + cell.parts.len()).sum()
            }
            _ => 1,
        }
    }
}
