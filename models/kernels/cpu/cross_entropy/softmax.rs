//! The softmax of the scores, and the losses.
//!
//! The softmax is computed in two steps, which need one barrier between them. Each block of classes computes its
//! exponentials relative to its own highest score. Then one worker combines the blocks.

use std::ops::Range;

use pulp::Simd;

use super::super::product::{Operand, SumVector};
use super::super::simd::{Float, Vector};
use super::work::LossWork;

impl<O: Operand> LossWork<'_, O> {
    /// Replace the scores of a block by `exp(score - highest)`.
    #[inline(always)]
    pub(super) unsafe fn exponentials<S: Simd>(&self, simd: S, set: Range<usize>, block: usize) {
        let classes = self.shape.classes_of(block);
        for column in (0..set.len()).step_by(self.shape.lanes) {
            let index = self.block_index(block, column);
            // SAFETY: as stated for `LossWork`.
            unsafe {
                let scores = |class| self.scores_of(class).add(column);
                // Starts from a finite number, because -inf minus -inf is NaN.
                let mut highest: SumVector<S, O> = Vector::splat(simd, O::Sum::LOWEST);
                if self.gradients.is_some() {
                    for class in classes.clone() {
                        let score = Vector::load(simd, scores(class));
                        highest = score.if_greater(highest, score, highest);
                    }
                } else {
                    let (mut first, mut at) = (Vector::zero(simd), Vector::zero(simd));
                    for class in classes.clone() {
                        let score = Vector::load(simd, scores(class));
                        first = score.if_greater(highest, at, first);
                        highest = score.if_greater(highest, score, highest);
                        at = at + Vector::splat(simd, O::Sum::ONE);
                    }
                    first.store(self.buffers.first.at(index));
                }
                if self.smoothing > 0. {
                    let mut total: SumVector<S, O> = Vector::zero(simd);
                    for class in classes.clone() {
                        total = total + Vector::load(simd, scores(class));
                    }
                    total.store(self.buffers.totals.at(index));
                }
                let mut sum = Vector::zero(simd);
                for class in classes.clone() {
                    let exponential = (Vector::load(simd, scores(class)) - highest).exp();
                    exponential.store(scores(class));
                    sum = sum + exponential;
                }
                highest.store(self.buffers.highest.at(index));
                sum.store(self.buffers.sums.at(index));
            }
        }
    }

    /// Combine the blocks: compute the losses, and replace the sums by the factors that turn a block's exponentials
    /// into probabilities times the weight of a row in the mean.
    pub(super) unsafe fn reduce(&self, set: Range<usize>) {
        let (blocks, rows) = (self.shape.blocks(), self.shape.rows);
        for (column, row) in set.enumerate() {
            // SAFETY: as stated for `LossWork`.
            unsafe {
                let highest = |block| *self.buffers.highest.at(self.block_index(block, column));
                let sum = |block| self.buffers.sums.at(self.block_index(block, column));
                let top = (0..blocks).map(highest).fold(highest(0), |a, b| if a > b { a } else { b });
                // The logarithm of the factor from a block's exponentials to those relative to the highest score of
                // all.
                let scale = |block| -> f64 { (highest(block) - top).into() };
                let total: f64 = (0..blocks).map(|block| (*sum(block)).into() * scale(block).exp()).sum();
                let target_score = *self.buffers.target_scores.at(row);
                let loss =
                    total.ln() + (top - target_score).into() + self.smoothing_loss(column, target_score);
                *self.buffers.losses.at(row) = O::Sum::nearest(loss);
                // With gradients the count of correct rows may take any of several highest scores.
                let is_first = || self.gradients.is_some() || self.is_first(row, column, top);
                let is_correct = target_score >= top && is_first();
                *self.buffers.correct.at(row) = if is_correct { O::Sum::ONE } else { O::Sum::ZERO };
                for block in 0..blocks {
                    *sum(block) = O::Sum::nearest(scale(block).exp() / (total * rows as f64));
                }
            }
        }
    }

    /// Return the part of a row's loss that label smoothing adds: `e (s[target] - mean s)`.
    unsafe fn smoothing_loss(&self, column: usize, target_score: O::Sum) -> f64 {
        if self.smoothing == 0. {
            return 0.;
        }
        let target_score: f64 = target_score.into();
        // SAFETY: as stated for `LossWork`.
        let total =
            |block| -> f64 { unsafe { *self.buffers.totals.at(self.block_index(block, column)) }.into() };
        let total: f64 = (0..self.shape.blocks()).map(total).sum();
        self.smoothing * (target_score - total / self.shape.classes as f64)
    }

    /// Return whether no class before the target, whose score is the highest, shares it. Only without gradients.
    unsafe fn is_first(&self, row: usize, column: usize, top: O::Sum) -> bool {
        let target = self.targets[row] as usize;
        let block = self.shape.block_of(target);
        // A block has far fewer classes than a float counts exactly.
        let at = O::Sum::nearest((target - self.shape.classes_of(block).start) as f64);
        // SAFETY: as stated for `LossWork`.
        unsafe {
            let highest = |block| *self.buffers.highest.at(self.block_index(block, column));
            let first = *self.buffers.first.at(self.block_index(block, column));
            first == at && (0..block).all(|block| highest(block) != top)
        }
    }
}
