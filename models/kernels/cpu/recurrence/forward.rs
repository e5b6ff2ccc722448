//! The entry point of the forward pass.

use pulp::Simd;

use super::super::cell::{GruBeforeUnit, GruUnit, LstmUnit, Pointwise, SimpleUnit};
use super::super::memory::{Buffer, filled};
use super::super::padding::{extend_unpadded, gate_order, padded_rows};
use super::super::product::Operand;
use super::super::simd::Isa;
use super::super::workers::{Kernel, Worker, run_kernel, threads};
use super::arguments::{RecurrenceInputs, RecurrenceOutputs, SavedActivations, check};
use super::forward_pass::ForwardPass;
use super::packed::{PackedRecurrence, StepWeights};
use super::plan::Plan;
use super::sequence::Sequence;
use super::shape::SequenceShape;
use crate::kernels::cell_kind::CellKind;

/// Run a sequence from the input's part of the gates, in [`SequenceLayout`](super::super::product::SequenceLayout).
/// `save` requests what [`backward`](super::backward()) needs.
///
/// With `packed`, made from the same weights, the weights are not packed again.
///
/// # Panics
/// If a slice does not have the size of the sequence's shape, or `packed` was made for another kind of cell, shape
/// or vector length.
pub(crate) fn forward<O: Operand>(
    isa: Isa,
    kind: CellKind,
    sequence: &Sequence<O::Sum>,
    gates: Buffer<O::Sum>,
    inputs: &RecurrenceInputs<'_, O::Sum>,
    packed: Option<&PackedRecurrence<O>>,
    save: bool,
) -> RecurrenceOutputs<O::Sum> {
    let run = Forward { isa, kind, sequence, gates, inputs, packed, save };
    match kind {
        CellKind::Simple(nonlinearity) => run.with_cell::<_, 1, 1>(SimpleUnit(nonlinearity)),
        CellKind::Lstm => run.with_cell::<_, 4, 4>(LstmUnit),
        CellKind::Gru => run.with_cell::<_, 3, 4>(GruUnit),
        CellKind::GruBefore => run.with_cell::<_, 3, 3>(GruBeforeUnit),
    }
}

/// The arguments of [`forward`].
struct Forward<'a, O: Operand> {
    isa: Isa,
    kind: CellKind,
    sequence: &'a Sequence<O::Sum>,
    gates: Buffer<O::Sum>,
    inputs: &'a RecurrenceInputs<'a, O::Sum>,
    packed: Option<&'a PackedRecurrence<O>>,
    save: bool,
}

impl<O: Operand> Forward<'_, O> {
    fn with_cell<C: Pointwise<G, K>, const G: usize, const K: usize>(
        self,
        cell: C,
    ) -> RecurrenceOutputs<O::Sum> {
        let Self { isa, kind, sequence, gates, inputs, packed, save } = self;
        let shape = sequence.shape;
        let SequenceShape { batch, time, hidden, output, .. } = shape;
        let lanes = isa.lanes::<O::Sum>();
        let plan = Plan::new::<O>(shape, lanes, threads());
        check::<O::Sum, C, G, K>(sequence, inputs, &plan);
        assert_eq!(gates.len(), plan.unit_layout(shape, G).len(), "gates for {shape:?}");
        assert!(
            packed.is_none_or(|packed| packed.fits(kind, shape, inputs.projection.is_some(), lanes)),
            "packed recurrent weights do not fit {kind:?} cells of {shape:?} in vectors of {lanes}"
        );
        let weights = StepWeights::new(C::SECOND_PRODUCT, shape, inputs.weight, inputs.projection);
        let has_second = weights.second.is_some();
        let fresh = packed
            .is_none()
            .then(|| PackedRecurrence::uninitialised(kind, shape, has_second, lanes, plan.workers));
        let packed = packed.or(fresh.as_ref()).expect("invariant: fresh if not packed");

        let (h_width, c_width) = (plan.h_width(), plan.c_width());
        let h = padded_rows(Some(inputs.h), (batch, output), h_width);
        let c = padded_rows(inputs.c, (batch, hidden), c_width);
        let bias = gate_order(inputs.bias, G, hidden, lanes);
        let (gates, saved) = match save {
            true => saved_activations::<O, C, G, K>(&plan, inputs, shape, gates),
            false => (Some(gates), None),
        };
        let operands = [Buffer::new(batch * h_width), Buffer::new(batch * h_width)];
        let second_operand = Buffer::new(if has_second { batch * c_width } else { 0 });
        let mut state = Vec::with_capacity(batch * (output + hidden));
        // SAFETY: every buffer has the size that `ForwardPass` states, and the kernel writes every output.
        let ys = unsafe {
            let ys = filled(batch * time * output, |ys| {
                let pass = ForwardPass {
                    cell,
                    sequence,
                    plan,
                    gates: gates.as_ref().or(saved.as_ref().map(|saved| &saved.cells)).unwrap_or(&bias),
                    bias: &bias,
                    panels: packed.panels(),
                    h: &h,
                    c: &c,
                    ys,
                    saved: saved.as_ref(),
                    operands: operands.each_ref(),
                    second_operand: &second_operand,
                };
                run_kernel(isa, plan.workers, &ForwardKernel { pass, fresh: fresh.as_ref(), weights });
            });
            extend_unpadded(&mut state, &h, (batch, output), h_width);
            if C::CELL_STATE {
                extend_unpadded(&mut state, &c, (batch, hidden), c_width);
            }
            ys
        };
        RecurrenceOutputs { ys, state, saved }
    }
}

/// Buffers for what the backward pass needs. The saved numbers of the cells replace their gates if they have the
/// same size; else the gates are returned too.
fn saved_activations<O: Operand, C: Pointwise<G, K>, const G: usize, const K: usize>(
    plan: &Plan,
    inputs: &RecurrenceInputs<'_, O::Sum>,
    shape: SequenceShape,
    gates: Buffer<O::Sum>,
) -> (Option<Buffer<O::Sum>>, Option<SavedActivations<O::Sum>>) {
    let SequenceShape { batch, hidden, output, .. } = shape;
    let per_unit = |count| Buffer::new(plan.unit_layout(shape, count).len());
    let (gates, cells) = if K == G { (None, gates) } else { (Some(gates), per_unit(K)) };
    let has_second = inputs.projection.is_some() || C::SECOND_PRODUCT;
    let saved = SavedActivations {
        cells,
        h: Buffer::new(plan.output_layout(shape).len()),
        c: C::CELL_STATE.then(|| per_unit(1)),
        second_operand: has_second.then(|| per_unit(1)),
        initial_h: padded_rows(Some(inputs.h), (batch, output), plan.h_width()),
        initial_c: padded_rows(inputs.c, (batch, hidden), plan.c_width()),
    };
    (gates, Some(saved))
}

/// Packs the weights if they are not packed, and runs the [`ForwardPass`].
struct ForwardKernel<'a, O: Operand, C, const G: usize, const K: usize> {
    pass: ForwardPass<'a, O, C, G, K>,
    /// The packing of the pass, if it is to be filled first.
    fresh: Option<&'a PackedRecurrence<O>>,
    weights: StepWeights<'a, O::Sum>,
}

impl<O: Operand, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel
    for ForwardKernel<'_, O, C, G, K>
{
    /// # Safety
    /// As [`ForwardPass::run`].
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise; the pass has a barrier before its first product.
        unsafe {
            if let Some(fresh) = self.fresh {
                fresh.pack(simd, self.pass.sequence.shape, self.weights, worker);
            }
            self.pass.run(simd, worker);
        }
    }
}
