//! The cells that have fused kernels.

use serde::{Deserialize, Serialize};

/// The activation of a simple recurrent cell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Nonlinearity {
    /// The hyperbolic tangent.
    #[default]
    Tanh,
    /// `max(0, x)`: its gradient does not vanish for positive `x`, but the state is unbounded.
    Relu,
}

/// A cell that has fused kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CellKind {
    /// [`SimpleRnn`](crate::SimpleRnn).
    Simple(Nonlinearity),
    /// [`Lstm`](crate::Lstm).
    Lstm,
    /// [`Gru`](crate::Gru) with the reset gate applied after the recurrent product.
    Gru,
    /// [`Gru`](crate::Gru) with the reset gate applied before the recurrent product.
    GruBefore,
}

impl CellKind {
    /// Return whether the input and the recurrent bias can be added up beforehand. They cannot if a gate scales the
    /// recurrent part alone.
    pub(crate) fn folds_bias(self) -> bool {
        self != Self::Gru
    }

    /// Return whether the cell has a cell state `c` beside its hidden state.
    pub(crate) fn has_cell_state(self) -> bool {
        self == Self::Lstm
    }

    /// Return whether a step has a second recurrent product, that of the last gate.
    pub(crate) fn has_second_product(self) -> bool {
        self == Self::GruBefore
    }

    /// Return whether every unit of the hidden state, before a projection, lies in [-1, 1] after each step from such a
    /// state.
    pub(crate) fn is_bounded(self) -> bool {
        self != Self::Simple(Nonlinearity::Relu)
    }

    /// Return the number of gates per unit.
    pub(crate) fn gates(self) -> usize {
        match self {
            Self::Simple(_) => 1,
            Self::Lstm => 4,
            Self::Gru | Self::GruBefore => 3,
        }
    }
}
