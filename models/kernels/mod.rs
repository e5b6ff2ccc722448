//! The recurrences themselves, one call for a whole sequence.
//!
//! [`mod@reference`] says what they are, in plain candle ops on any device. `fused.rs` is the same, a node or
//! two of candle's graph for a sequence, where there are kernels for the device: see `cpu/`.

pub(crate) mod activity;
#[allow(unsafe_code)]
mod cpu;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod fused;
pub(crate) mod masked;
pub mod reference;
mod sink;
mod stream;

use crate::simple_rnn::Nonlinearity;

pub use cpu::{Level, keep_freed_memory, set_threads, threads};
pub use cross_entropy::Score;
pub use sink::{Backward, backward};
pub use stream::Stream;

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
