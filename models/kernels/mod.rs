//! The recurrences on plain slices, for the processor: see `cpu/`.

#[allow(unsafe_code)]
pub(crate) mod cpu;

use crate::simple_rnn::Nonlinearity;

pub use cpu::{Level, keep_freed_memory, set_threads, threads};

/// The units that have fused kernels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// See [`SimpleRnn`](crate::SimpleRnn).
    Simple(Nonlinearity),
    /// See [`Lstm`](crate::Lstm).
    Lstm,
    /// See [`Gru`](crate::Gru), with the reset gate after the product.
    Gru,
    /// The same with the reset gate before it.
    GruBefore,
}

impl Unit {
    /// Whether the recurrent bias can join the input's part of the gates.
    pub(crate) fn folds_bias(self) -> bool {
        self != Self::Gru
    }

    /// Gates of a unit.
    pub(crate) fn gates(self) -> usize {
        match self {
            Self::Simple(_) => 1,
            Self::Lstm => 4,
            Self::Gru | Self::GruBefore => 3,
        }
    }
}
