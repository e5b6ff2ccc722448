//! Packing a set of rows, and its scores.

use std::ops::Range;

use pulp::Simd;

use super::super::product::{Operand, SumVector, dense};
use super::super::simd::Vector;
use super::super::workers::Worker;
use super::work::LossWork;

impl<O: Operand> LossWork<'_, O> {
    /// Pack the rows of a set.
    #[inline(always)]
    pub(super) unsafe fn pack<S: Simd>(&self, simd: S, index: usize, set: Range<usize>, worker: Worker<'_>) {
        let features = self.shape.features;
        let row = |row: usize| {
            let row = set.start + row;
            (row < set.end).then(|| self.rows[row * features..][..features].as_ptr())
        };
        // SAFETY: the rows are cut to the depth or width of the panels.
        unsafe {
            let columns = &self.columns[index];
            for panel in columns.share(worker) {
                columns.pack_transposed(simd, panel, row);
            }
        }
    }

    /// Compute `W h + b` of some classes.
    #[inline(always)]
    pub(super) unsafe fn score<S: Simd>(&self, simd: S, index: usize, classes: Range<usize>) {
        let lanes = self.shape.lanes;
        let columns = &self.columns[index];
        // SAFETY: as stated for `LossWork`.
        unsafe {
            let left = |class| self.weight_operands.rows(class, 1);
            dense(
                simd,
                classes,
                (left, |_| usize::MAX),
                columns,
                columns.all(),
                |class, panel, tile| {
                    let bias = Vector::splat(simd, self.bias[class]);
                    for group in 0..panel.groups {
                        bias.store(tile.add(group * lanes));
                    }
                },
                |class, panel, tile| {
                    let to = self.scores_of(class).add(panel.first * lanes);
                    SumVector::<S, O>::copy(simd, tile, to, panel.groups * lanes);
                },
            );
        }
    }

    /// Keep the scores of the targets before they become exponentials.
    pub(super) unsafe fn save_target_scores(&self, set: Range<usize>, classes: Range<usize>) {
        for (column, row) in set.enumerate() {
            let target = self.targets[row] as usize;
            if classes.contains(&target) {
                // SAFETY: as stated for `LossWork`.
                unsafe { *self.buffers.target_scores.at(row) = *self.scores_of(target).add(column) };
            }
        }
    }
}
