//! Gradients of the mean loss.

use std::ops::Range;

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::product::{
    GradientOperand, LeftRows, Panel, PanelShape, Panels, SumVector, TileProduct, dense,
};
use super::super::simd::{Float, MAX_LANES, Vector};
use super::super::tuning::CLASS_DEPTH_BLOCK;
use super::super::workers::Worker;
use super::work::{LossGradientPtrs, LossWork};

impl<O: GradientOperand> LossWork<'_, O> {
    /// Pack the rows of a set for the weights' gradient, if there is one.
    #[inline(always)]
    pub(super) unsafe fn pack_operands<S: Simd>(
        &self,
        simd: S,
        index: usize,
        set: Range<usize>,
        worker: Worker<'_>,
    ) {
        let Some(operands) = self.operands.get(index) else { return };
        let features = self.shape.features;
        let row = |row: usize| Some(self.rows[(set.start + row) * features..][..features].as_ptr());
        for panel in operands.share(worker) {
            // SAFETY: the rows are cut to the width of the panels.
            unsafe { operands.pack_rows(simd, panel, (set.len(), features), row) };
        }
    }

    /// Set the gradients of some classes to zero, for a batch without rows.
    pub(super) unsafe fn clear_gradients(&self, classes: Range<usize>, gradients: &LossGradientPtrs<O::Sum>) {
        let features = self.shape.features;
        // SAFETY: as stated for `LossWork`.
        unsafe {
            gradients.weight.at(classes.start * features).write_bytes(0, classes.len() * features);
            gradients.bias.at(classes.start).write_bytes(0, classes.len());
        }
    }

    /// Replace the exponentials of a block by the gradients of its scores, and add up those of its bias.
    #[inline(always)]
    pub(super) unsafe fn gradient_of_scores<S: Simd>(
        &self,
        simd: S,
        set: Range<usize>,
        block: usize,
        gradients: &LossGradientPtrs<O::Sum>,
    ) {
        let (rows, classes) = (self.shape.rows, self.shape.classes_of(block));
        let spread = O::Sum::nearest(self.smoothing / (self.shape.classes * rows) as f64);
        let spread = [spread; MAX_LANES];
        // SAFETY: as stated for `LossWork`.
        unsafe {
            for column in (0..set.len()).step_by(self.shape.lanes) {
                // The lanes beyond the last row get a zero gradient.
                let count = set.len() - column;
                let factor: SumVector<S, O> =
                    Vector::load_first(simd, self.buffers.sums.at(self.block_index(block, column)), count);
                let spread = Vector::load_first(simd, spread.as_ptr(), count);
                for class in classes.clone() {
                    let scores = self.scores_of(class).add(column);
                    (Vector::load(simd, scores) * factor - spread).store(scores);
                }
            }
            let weight = O::Sum::nearest((1. - self.smoothing) / rows as f64);
            for (column, row) in set.clone().enumerate() {
                let target = self.targets[row] as usize;
                if classes.contains(&target) {
                    *self.scores_of(target).add(column) -= weight;
                }
            }
            for class in classes {
                self.gradient_of_bias(simd, set.clone(), class, gradients);
                O::round_in_place(simd, self.scores_of(class), set.len());
            }
        }
    }

    /// Add the gradients of a class's scores to that of its bias.
    #[inline(always)]
    unsafe fn gradient_of_bias<S: Simd>(
        &self,
        simd: S,
        set: Range<usize>,
        class: usize,
        gradients: &LossGradientPtrs<O::Sum>,
    ) {
        let lanes = self.shape.lanes;
        // SAFETY: as stated for `LossWork`.
        unsafe {
            let mut sum: SumVector<S, O> = Vector::zero(simd);
            for column in (0..set.len()).step_by(lanes) {
                sum = sum + Vector::load(simd, self.scores_of(class).add(column));
            }
            let mut parts = [O::Sum::ZERO; MAX_LANES];
            sum.store(parts.as_mut_ptr());
            let sum = parts[..lanes].iter().fold(O::Sum::ZERO, |a, &b| a + b);
            let bias = gradients.bias.at(class);
            *bias = if set.start == 0 { sum } else { *bias + sum };
        }
    }

    /// Return the address of the gradients of a class's scores, as operands. It is that of the scores.
    fn score_operands(&self, class: usize) -> *const O {
        self.scores_of(class).cast_const().cast()
    }

    /// Return the distance between the gradients of two classes' scores, in operands.
    fn score_stride(&self) -> usize {
        self.shape.set_rows * (size_of::<O::Sum>() / size_of::<O>())
    }

    /// Compute `d W += d s h^T` for some classes.
    #[inline(always)]
    pub(super) unsafe fn gradient_of_weights<S: Simd>(
        &self,
        simd: S,
        index: usize,
        classes: Range<usize>,
        gradients: &LossGradientPtrs<O::Sum>,
    ) {
        let features = self.shape.features;
        let operands = &self.operands[index];
        // SAFETY: as stated for `LossWork`.
        unsafe {
            let result = |class: usize, panel: Panel| {
                let first = operands.first_column(panel);
                (gradients.weight.at(class * features + first), operands.width(panel).min(features - first))
            };
            let left = |class| LeftRows::new(self.score_operands(class), self.score_stride());
            dense(
                simd,
                classes,
                (left, |_| usize::MAX),
                operands,
                operands.all(),
                |class, panel, tile| {
                    SumVector::<S, O>::clear(simd, tile, operands.width(panel));
                    if index > 0 {
                        let (from, count) = result(class, panel);
                        SumVector::<S, O>::copy(simd, from, tile, count);
                    }
                },
                |class, panel, tile| {
                    let (to, count) = result(class, panel);
                    SumVector::<S, O>::copy(simd, tile, to, count);
                },
            );
        }
    }

    /// Compute `d h = W^T d s` for one worker's share of the features.
    ///
    /// Classes are the outer loop: the scores of a block of them stay in the cache while all panels read them. The cost
    /// is one pass over the sums for each block.
    #[inline(always)]
    pub(super) unsafe fn gradient_of_rows<S: Simd>(
        &self,
        simd: S,
        set: Range<usize>,
        worker: Worker<'_>,
        gradients: &LossGradientPtrs<O::Sum>,
    ) {
        let (features, classes, lanes) = (self.shape.features, self.shape.classes, self.shape.lanes);
        let depth = CLASS_DEPTH_BLOCK.min(classes);
        let shape = PanelShape { depth, groups: features.div_ceil(lanes), group_vectors: 1, lanes };
        let weights = Panels::new(shape, self.workers);
        let columns: usize = weights.share(worker).map(|panel| weights.width(panel)).sum();
        let buffer = Buffer::<O::Sum>::new(set.len() * columns);
        // The sums of each panel follow those of the one before.
        let sums = |before: usize| buffer.at(set.len() * before);
        // SAFETY: as stated for `LossWork`; the panels are this worker's own.
        unsafe {
            SumVector::<S, O>::clear(simd, sums(0), set.len() * columns);
            for from in (0..classes).step_by(CLASS_DEPTH_BLOCK) {
                let classes = from..classes.min(from + CLASS_DEPTH_BLOCK);
                let mut before = 0;
                for panel in weights.share(worker) {
                    self.add_rows_product(simd, set.len(), (&weights, panel), classes.clone(), sums(before));
                    before += weights.width(panel);
                }
            }
            let mut before = 0;
            for panel in weights.share(worker) {
                let (width, first) = (weights.width(panel), weights.first_column(panel));
                for (r, row) in set.clone().enumerate() {
                    let to = gradients.rows.at(row * features + first);
                    let from = sums(before).add(r * width);
                    SumVector::<S, O>::copy(simd, from, to, width.min(features - first));
                }
                before += width;
            }
        }
    }

    /// Pack the weights of some classes into one panel, and add their part of the rows' gradients.
    #[inline(always)]
    unsafe fn add_rows_product<S: Simd>(
        &self,
        simd: S,
        rows: usize,
        (weights, panel): (&Panels<O>, Panel),
        classes: Range<usize>,
        sums: *mut O::Sum,
    ) {
        let (features, vectors, width) = (self.shape.features, weights.vectors(panel), weights.width(panel));
        // SAFETY: as stated for `LossWork`.
        unsafe {
            let row = |k: usize| Some(self.weight.as_ptr().add((classes.start + k) * features));
            weights.pack_rows(simd, panel, (classes.len(), features), row);
            for rows in O::split_rows(0..rows, O::max_rows::<S>(vectors)) {
                let scores = self.score_operands(classes.start).add(rows.start);
                let product = TileProduct {
                    depth: classes.len(),
                    left: LeftRows::transposed(scores, self.score_stride()),
                    panel: weights.row(panel, 0).cast_const(),
                    tile: sums.add(rows.start * width),
                    prefetch: std::ptr::null(),
                };
                O::multiply::<S>(simd, (rows.len(), vectors), product);
            }
        }
    }
}
