//! The operators RNN, LSTM and GRU as recurrent layers.

use candle_core::Tensor;
use rnn_zoo_models::{
    GruOptions, LstmOptions, Merge, Nonlinearity, RecurrentConfig, Reset, SimpleRnnOptions, StackOptions,
};

use super::call::shortened;
use crate::formats::onnx::proto::{Attribute, Node};
use crate::formats::onnx::stack::{ours, suffixes};
use crate::listing::listed;
use crate::parameters::NamedTensors;

/// The directions of a recurrent layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the first step.
    Forward,
    /// From the last step.
    Reverse,
    /// One of each.
    Both,
}

/// A recurrent layer of a graph.
#[derive(Clone, Debug)]
pub struct RecurrentLayer {
    /// The configuration of a stack of this layer alone. One that reads from the last step is configured as if it read
    /// from the first.
    pub config: RecurrentConfig,
    /// The directions.
    pub direction: Direction,
    /// Whether inputs are (batch, time, features), not (time, batch, features).
    pub batch_first: bool,
    /// The parameters under PyTorch's names, as `weight_ih_l0`.
    pub parameters: NamedTensors,
}

/// The weights of an operator.
pub(super) struct Weights {
    /// (directions, gates * hidden, input).
    pub(super) w: Tensor,
    /// (directions, gates * hidden, hidden).
    pub(super) r: Tensor,
    /// (directions, 2 * gates * hidden).
    pub(super) b: Option<Tensor>,
}

impl RecurrentLayer {
    /// Decode an operator. The error is the problem alone, as a sentence about the operator.
    ///
    /// # Errors
    /// If the weights do not fit each other, or the operator has options that our cells do not have.
    pub(super) fn decode(node: &Node, weights: &Weights) -> Result<Self, String> {
        let options = Options::read(node)?;
        let Weights { w, r, b } = weights;
        let (&[directions, rows, input], &[_, _, hidden]) = (w.dims(), r.dims()) else {
            let (w, r) = (w.dims(), r.dims());
            return Err(format!("has weights of shapes {w:?} and {r:?}; expected three dimensions each"));
        };
        let stack = StackOptions {
            bias: b.is_some(),
            bidirectional: (options.direction == Direction::Both).then_some(Merge::Concat),
            ..StackOptions::new(input, hidden)
        };
        let expected = stack.directions();
        let (config, gates) = match node.op_type() {
            "RNN" => {
                let nonlinearity = options.nonlinearity(expected)?;
                (RecurrentConfig::SimpleRnn(stack.with_cell(SimpleRnnOptions { nonlinearity })), 1)
            }
            "GRU" => {
                options.check_activations(&["sigmoid", "tanh"], expected)?;
                let reset = if options.linear_before_reset { Reset::After } else { Reset::Before };
                let cell = GruOptions { reset, ..GruOptions::default() };
                (RecurrentConfig::Gru(stack.with_cell(cell)), 3)
            }
            _ => {
                options.check_activations(&["sigmoid", "tanh", "tanh"], expected)?;
                (RecurrentConfig::Lstm(stack.with_cell(LstmOptions::default())), 4)
            }
        };
        let all = gates * hidden;
        let biases = b.as_ref().map(|b| b.dims().to_vec());
        let fits = directions == expected
            && rows == all
            && r.dims() == [directions, all, hidden]
            && biases.as_ref().is_none_or(|dims| dims[..] == [directions, 2 * all])
            && options.hidden.is_none_or(|size| size == hidden as i64);
        if !fits || hidden == 0 {
            let (w, r) = (w.dims(), r.dims());
            let b = biases.map_or(String::new(), |dims| format!(" and {dims:?}"));
            return Err(format!(
                "has weights of shapes {w:?}, {r:?}{b}; expected {gates} rows a unit and {expected} in front"
            ));
        }
        let kinds = ours(&config, w, r, b.as_ref()).map_err(|error| error.to_string())?;
        let mut parameters = NamedTensors::new();
        for (suffix, tensors) in suffixes(&config, 0).into_iter().zip(kinds) {
            parameters.extend(tensors.into_iter().map(|(kind, tensor)| (format!("{kind}_{suffix}"), tensor)));
        }
        Ok(Self { config, direction: options.direction, batch_first: options.batch_first, parameters })
    }
}

/// The attributes of an operator.
struct Options {
    hidden: Option<i64>,
    direction: Direction,
    /// In lower case; none if they are the operator's default.
    activations: Vec<String>,
    linear_before_reset: bool,
    batch_first: bool,
}

impl Options {
    fn read(node: &Node) -> Result<Self, String> {
        let mut options = Self {
            hidden: None,
            direction: Direction::Forward,
            activations: vec![],
            linear_before_reset: false,
            batch_first: false,
        };
        for attribute in &node.attribute {
            options.set(attribute)?;
        }
        Ok(options)
    }

    fn set(&mut self, attribute: &Attribute) -> Result<(), String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_lowercase();
        match (attribute.name(), attribute.i()) {
            ("hidden_size", size) => self.hidden = Some(size),
            ("direction", _) => {
                self.direction = match text(attribute.s()).as_str() {
                    "forward" => Direction::Forward,
                    "reverse" => Direction::Reverse,
                    "bidirectional" => Direction::Both,
                    other => {
                        return Err(format!(
                            "has the direction {:?}; expected forward, reverse or bidirectional",
                            shortened(other)
                        ));
                    }
                }
            }
            ("activations", _) => {
                self.activations = attribute.strings.iter().map(|name| text(name)).collect();
            }
            ("linear_before_reset", value) => self.linear_before_reset = value != 0,
            ("layout", value) => self.batch_first = value != 0,
            ("input_forget", 0) => {}
            // The functions that our cells have take no numbers.
            ("activation_alpha" | "activation_beta" | "output_sequence", _) => {}
            ("clip", _) => return Err("clips its gates, which our cells do not".to_string()),
            ("input_forget", _) => {
                return Err(
                    "couples its input and forget gates (input_forget), which our cells do not".to_string()
                );
            }
            (name, _) => return Err(format!("has the unknown attribute {}", shortened(name))),
        }
        Ok(())
    }

    /// Check the activations of each direction.
    fn check_activations(&self, expected: &[&str], directions: usize) -> Result<(), String> {
        let of_each = expected.iter().cycle().take(expected.len() * directions);
        if self.activations.is_empty() || self.activations.iter().eq(of_each) {
            return Ok(());
        }
        let (found, expected) = (listed(&self.activations, ", "), expected.join(", "));
        Err(format!("has the activations {found}; our cell has {expected}"))
    }

    /// Return the nonlinearity of a simple recurrent network.
    fn nonlinearity(&self, directions: usize) -> Result<Nonlinearity, String> {
        if self.activations.first().is_some_and(|name| name == "relu") {
            return self.check_activations(&["relu"], directions).map(|()| Nonlinearity::Relu);
        }
        let problem = |problem: String| format!("{problem} or relu");
        self.check_activations(&["tanh"], directions).map(|()| Nonlinearity::Tanh).map_err(problem)
    }
}
