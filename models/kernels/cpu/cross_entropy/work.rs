//! Inputs and outputs of the stages of a cross-entropy.

use super::super::memory::{Buffer, SharedPtr};
use super::super::product::{Operand, Operands, Panels};
use super::super::simd::Float;
use super::shape::LossShape;

/// The inputs and buffers of a cross-entropy, shared by its stages.
///
/// The stages are functions of this struct in the other files of this directory. Those that are unsafe all have
/// one condition: every slice and buffer must have the size stated here, and every argument be within the sizes.
/// Workers write the scores, weights and bias of their own classes, and their own columns of the rows' gradients;
/// a barrier separates them from what other workers read.
pub(super) struct LossWork<'a, O: Operand> {
    pub(super) shape: LossShape,
    /// (classes, features), as sums and as operands.
    pub(super) weight: &'a [O::Sum],
    pub(super) weight_operands: &'a Operands<'a, O>,
    /// (rows, features).
    pub(super) rows: &'a [O::Sum],
    /// (classes).
    pub(super) bias: &'a [O::Sum],
    /// (rows), each below the number of classes.
    pub(super) targets: &'a [u32],
    pub(super) smoothing: f64,
    pub(super) workers: usize,
    pub(super) buffers: &'a LossBuffers<O::Sum>,
    /// The rows of each set, packed as columns of the scores' product.
    pub(super) columns: &'a [Panels<O>],
    /// The rows of each set, packed as right-hand side of the weights' gradient; none without gradients.
    pub(super) operands: &'a [Panels<O>],
    pub(super) gradients: Option<LossGradientPtrs<O::Sum>>,
}

/// The intermediate results of a cross-entropy.
pub(super) struct LossBuffers<E> {
    /// The scores of a set, (classes, set rows); then their exponentials; then their gradients.
    pub(super) scores: Buffer<E>,
    /// The highest score of a block in each row, and the sum of `exp(score - highest)`, (blocks, set rows).
    pub(super) highest: Buffer<E>,
    pub(super) sums: Buffer<E>,
    /// Without gradients, the first class of a block with the highest score, counted from the block's first,
    /// (blocks, set rows).
    pub(super) first: Buffer<E>,
    /// With smoothing, the sum of a block's scores in each row, (blocks, set rows).
    pub(super) totals: Buffer<E>,
    /// The score of the target, (rows).
    pub(super) target_scores: Buffer<E>,
    /// (rows).
    pub(super) losses: Buffer<E>,
    /// 1 where the target has the highest score, else 0, (rows).
    pub(super) correct: Buffer<E>,
}

impl<E: Float> LossBuffers<E> {
    pub(super) fn new(shape: LossShape) -> Self {
        let per_block = || Buffer::new(shape.blocks() * shape.set_rows);
        let per_row = || Buffer::new(shape.rows);
        Self {
            scores: Buffer::new(shape.set_rows * shape.classes),
            highest: per_block(),
            sums: per_block(),
            first: per_block(),
            totals: per_block(),
            target_scores: per_row(),
            losses: per_row(),
            correct: per_row(),
        }
    }
}

/// Destinations of the gradients, in the sizes of the inputs.
pub(super) struct LossGradientPtrs<E> {
    pub(super) rows: SharedPtr<E>,
    pub(super) weight: SharedPtr<E>,
    pub(super) bias: SharedPtr<E>,
}

impl<O: Operand> LossWork<'_, O> {
    /// Return the address of the scores of a class.
    pub(super) fn scores_of(&self, class: usize) -> *mut O::Sum {
        self.buffers.scores.at(class * self.shape.set_rows)
    }

    /// Return the index of a block's number for a column of the set.
    pub(super) fn block_index(&self, block: usize, column: usize) -> usize {
        block * self.shape.set_rows + column
    }
}
