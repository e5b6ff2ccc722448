//! The products after the backward pass: gradients of the recurrent weights, the recurrent bias and the projection.

use pulp::{Simd, WithSimd};

use super::super::cell::Pointwise;
use super::super::memory::SharedPtr;
use super::super::padding::weight_row;
use super::super::product::{GradientOperand, Panels, column_sums, outer, steps_left};
use super::super::simd::{Float, Isa, Vector};
use super::super::workers::{Kernel, Worker};
use super::backward_pass::BackwardPass;
use super::packed::StepWeights;
use super::plan::Plan;
use super::shape::SequenceShape;

/// The whole backward kernel: packs the weights, runs the [`BackwardPass`], packs the operands of the forward
/// products, and sums the gradients of the weights over all rows and steps.
pub(super) struct BackwardKernel<'a, O: GradientOperand, C, const G: usize, const K: usize> {
    pub(super) pass: BackwardPass<'a, O, C, G, K>,
    pub(super) weights: StepWeights<'a, O::Sum>,
    /// Step and row of each active step: the rows of the products over the whole sequence.
    pub(super) steps: &'a [(usize, usize)],
    /// The operands of the recurrent product of all steps, as right-hand side.
    pub(super) operands: &'a Panels<O>,
    /// The operands of the projection or of the second product.
    pub(super) second_operands: Option<&'a Panels<O>>,
    pub(super) d_weight: SharedPtr<O::Sum>,
    pub(super) d_bias: Option<SharedPtr<O::Sum>>,
    pub(super) d_projection: Option<SharedPtr<O::Sum>>,
}

impl<O: GradientOperand, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel
    for BackwardKernel<'_, O, C, G, K>
{
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// All buffers must have the sizes that the fields of [`BackwardPass`] state; the weights, and the gradients of
    /// weights, those of the shape.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise. Workers pack and write different panels, rows and columns, and read those
        // of others only after a barrier, of which the pass has one before its first step.
        unsafe {
            self.pack_weights(simd, worker);
            self.pass.run(simd, worker);
            self.pack_operands(simd, worker);
            self.pack_second_operands(simd, worker);
            worker.wait();
            self.gradient_of_weights(simd, worker);
            self.gradient_of_second(simd, worker);
        }
    }
}

/// The parts of [`BackwardKernel::run`]; unsafe for the same reason.
impl<O: GradientOperand, C: Pointwise<G, K>, const G: usize, const K: usize> BackwardKernel<'_, O, C, G, K> {
    /// Return the number of rows of the weights of the first product.
    fn first_rows(&self) -> usize {
        self.weights.first.len() / self.pass.sequence.shape.output.max(1)
    }

    /// Pack the right-hand sides of the backward products.
    #[inline(always)]
    unsafe fn pack_weights<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let SequenceShape { hidden, output, .. } = self.pass.sequence.shape;
        let first_rows = self.first_rows();
        // SAFETY: the caller's promise.
        unsafe {
            let row = |k| {
                let row = weight_row(k, G, hidden, self.pass.plan.lanes)?;
                Some(self.weights.first.get(row * output..)?.as_ptr()).filter(|_| row < first_rows)
            };
            let panels = &self.pass.panels.hidden;
            let size = (panels.depth(), output);
            for panel in panels.share(worker) {
                panels.pack_rows(simd, panel, size, row);
            }
            if let (Some(panels), Some(second)) = (&self.pass.panels.second, self.weights.second) {
                let row = |k: usize| Some(second.as_ptr().add(k * hidden));
                for panel in panels.share(worker) {
                    panels.pack_rows(simd, panel, (output, hidden), row);
                }
            }
        }
    }

    /// Pack the operands of the recurrent product of each step: the hidden states before it, after recurrent dropout.
    #[inline(always)]
    unsafe fn pack_operands<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let (sequence, saved) = (self.pass.sequence, self.pass.saved);
        let Plan { lanes, output_vectors, .. } = self.pass.plan;
        let layout = self.pass.plan.output_layout(sequence.shape);
        // SAFETY: the caller's promise.
        unsafe {
            let operand = |index: usize, output: usize| {
                let (t, row) = self.steps[index];
                let h_index = (row * output_vectors + output) * lanes;
                let before = if sequence.reverse { t + 1 } else { t.wrapping_sub(1) };
                let h = match before < sequence.shape.time && row < sequence.active.count(before) {
                    true => saved.h.at(layout.at(before, output, row)),
                    false => saved.initial_h.at(h_index),
                };
                sequence.masked(simd, Vector::load(simd, h), h_index)
            };
            for panel in self.operands.share(worker) {
                self.operands.pack_vectors(simd, panel, operand);
            }
        }
    }

    /// Pack the operands of the projection or of the second product.
    #[inline(always)]
    unsafe fn pack_second_operands<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let (Some(panels), Some(saved)) = (self.second_operands, &self.pass.saved.second_operand) else {
            return;
        };
        let layout = self.pass.plan.unit_layout(self.pass.sequence.shape, 1);
        // SAFETY: the caller's promise.
        unsafe {
            let operand = |index, unit| {
                let (t, row) = self.steps[index];
                Vector::load(simd, saved.at(layout.at(t, unit, row)))
            };
            for panel in panels.share(worker) {
                panels.pack_vectors(simd, panel, operand);
            }
        }
    }

    /// Compute `d_product^T operands`, and the column sums of `d_product`.
    #[inline(always)]
    unsafe fn gradient_of_weights<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let SequenceShape { hidden, output, .. } = self.pass.sequence.shape;
        let (lanes, first_rows) = (O::Sum::lanes::<S>(), self.first_rows());
        let layout = self.pass.plan.unit_operands::<O>(self.pass.sequence.shape, G);
        let d_product = self.pass.d_product.at(0).cast_const();
        // SAFETY: the caller's promise.
        unsafe {
            let starts = layout.starts(self.steps);
            let left = steps_left(d_product, &starts, layout);
            let result = |column| {
                let row = weight_row(column, G, hidden, lanes)?;
                (row < first_rows).then(|| self.d_weight.at(row * output))
            };
            outer(simd, worker, left, self.operands, output, result);
            let Some(d_bias) = self.d_bias else { return };
            column_sums(simd, worker, (d_product, &starts, layout), |column, sums| {
                for (lane, &sum) in sums.iter().enumerate() {
                    if let Some(row) = weight_row(column + lane, G, hidden, lanes) {
                        *d_bias.at(row) = sum;
                    }
                }
            });
        }
    }

    /// Compute the gradient of the projection, or of the last gate's rows of the weights.
    #[inline(always)]
    unsafe fn gradient_of_second<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let SequenceShape { hidden, output, .. } = self.pass.sequence.shape;
        let layout = self.pass.plan.output_operands::<O>(self.pass.sequence.shape);
        // SAFETY: the caller's promise.
        unsafe {
            let d_weight = match C::SECOND_PRODUCT {
                true => Some(SharedPtr::from(self.d_weight.at(self.first_rows() * output))),
                false => self.d_projection,
            };
            let (Some(panels), Some(d_weight)) = (self.second_operands, d_weight) else { return };
            let d_second = self.pass.d_second.at(0).cast_const();
            let starts = layout.starts(self.steps);
            let left = steps_left(d_second, &starts, layout);
            let result = |row| (row < output).then(|| d_weight.at(row * hidden));
            outer(simd, worker, left, panels, hidden, result);
        }
    }
}
