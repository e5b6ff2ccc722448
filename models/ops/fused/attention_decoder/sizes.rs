//! The sizes of a decoder, and the shares of its workers.

use std::ops::Range;

use super::steps::Steps;
use crate::kernels::cpu::threads;

/// The least number of rows of a worker's share: with fewer, a product is bound by reading its weights.
const MIN_ROWS: usize = 8;

/// The sizes of a batch and a decoder.
#[derive(Clone, Copy)]
pub(super) struct DecoderSizes {
    pub(super) batch: usize,
    pub(super) target: usize,
    pub(super) source: usize,
    pub(super) hidden: usize,
    /// Features of the keys.
    pub(super) features: usize,
    /// Features of the values.
    pub(super) width: usize,
    /// Rows of the recurrent weights: gates * hidden.
    pub(super) gates: usize,
    /// Features of the embedding in the operand of the feeding weights; 0 if `gates` contains their product.
    pub(super) fed: usize,
}

impl DecoderSizes {
    /// Return the ranges of rows that workers take.
    pub(super) fn shares(&self) -> Vec<Range<usize>> {
        let rows = self.batch.div_ceil(threads().min(self.batch / MIN_ROWS).max(1)).max(1);
        (0..self.batch).step_by(rows).map(|first| first..self.batch.min(first + rows)).collect()
    }

    /// Return the sizes of an array of the target's steps.
    pub(super) fn steps(&self, features: usize) -> Steps {
        Steps { steps: self.target, features }
    }
}
