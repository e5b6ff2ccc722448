//! The entry point of the backward pass.

use super::super::cell::{GruBeforeUnit, GruUnit, LstmUnit, Pointwise, SimpleUnit};
use super::super::memory::{Buffer, SharedPtr, filled};
use super::super::padding::{padded_rows, unpadded_rows};
use super::super::product::{GradientOperand, PanelShape, Panels};
use super::super::project::GateGradients;
use super::super::simd::{Float, Isa};
use super::super::workers::{run_kernel, threads};
use super::arguments::{RecurrenceGradients, RecurrenceInputs, SavedActivations, check};
use super::backward_pass::BackwardPass;
use super::packed::{StepPanels, StepWeights};
use super::plan::Plan;
use super::sequence::Sequence;
use super::shape::SequenceShape;
use super::weight_gradients::BackwardKernel;
use crate::kernels::cell_kind::CellKind;

/// Compute the gradients of what [`forward`](super::forward()) read, from those of its outputs, (batch, time,
/// output), and of its final state, (batch * output) hidden, then (batch * hidden) cell; `None` is a zero gradient.
///
/// # Panics
/// If a slice does not have the size of the sequence's shape, or `saved` is of other steps or another vector length.
pub(crate) fn backward<O: GradientOperand>(
    isa: Isa,
    kind: CellKind,
    sequence: &Sequence<O::Sum>,
    inputs: &RecurrenceInputs<'_, O::Sum>,
    saved: &SavedActivations<O::Sum>,
    (d_ys, d_state): (&[O::Sum], Option<&[O::Sum]>),
) -> RecurrenceGradients<O> {
    let run = BackwardCall { isa, sequence, inputs, saved, d_ys, d_state };
    match kind {
        CellKind::Simple(nonlinearity) => run.with_cell::<O, _, 1, 1>(SimpleUnit(nonlinearity)),
        CellKind::Lstm => run.with_cell::<O, _, 4, 4>(LstmUnit),
        CellKind::Gru => run.with_cell::<O, _, 3, 4>(GruUnit),
        CellKind::GruBefore => run.with_cell::<O, _, 3, 3>(GruBeforeUnit),
    }
}

/// The packed operands and intermediate gradients of a backward pass.
struct Workspace<O: GradientOperand> {
    /// Right-hand sides of the products of a step: gates to hidden state, and outputs of the second product to units.
    panels: StepPanels<O>,
    /// The operands of the recurrent product of all steps, as right-hand side.
    operands: Panels<O>,
    /// The operands of the projection or of the second product, likewise.
    second_operands: Option<Panels<O>>,
    d_gates: Buffer<O>,
    /// `None` unless the cell has [`Pointwise::SEPARATE_PRODUCT_GRADIENT`].
    d_product: Option<Buffer<O>>,
    d_second: Buffer<O>,
}

impl<O: GradientOperand> Workspace<O> {
    /// Make room for the pass of a cell over so many active steps; the kernel writes whatever it reads.
    fn new<C: Pointwise<G, K>, const G: usize, const K: usize>(
        plan: &Plan,
        shape: SequenceShape,
        steps: usize,
        has_second: bool,
    ) -> Self {
        let SequenceShape { batch, time, output, .. } = shape;
        let gate_width = plan.unit_vectors * G * plan.lanes;
        let panel_shape = |groups, depth| PanelShape { depth, groups, group_vectors: 1, lanes: plan.lanes };
        let step_panels = |groups, depth| Panels::new(panel_shape(groups, depth), plan.workers);
        let operand_panels =
            |groups| Panels::with_max_vectors(O::OUTER_VECTORS, panel_shape(groups, steps), plan.workers);
        Self {
            panels: StepPanels {
                hidden: step_panels(plan.output_vectors, gate_width),
                second: has_second.then(|| step_panels(plan.unit_vectors, output)),
            },
            operands: operand_panels(plan.output_vectors),
            second_operands: has_second.then(|| operand_panels(plan.unit_vectors)),
            d_gates: Buffer::new(batch * time * gate_width),
            d_product: C::SEPARATE_PRODUCT_GRADIENT.then(|| Buffer::new(batch * time * gate_width)),
            d_second: Buffer::new(if has_second { batch * time * plan.h_width() } else { 0 }),
        }
    }
}

/// The arguments of [`backward`].
struct BackwardCall<'a, E> {
    isa: Isa,
    sequence: &'a Sequence<E>,
    inputs: &'a RecurrenceInputs<'a, E>,
    saved: &'a SavedActivations<E>,
    d_ys: &'a [E],
    d_state: Option<&'a [E]>,
}

impl<E: Float> BackwardCall<'_, E> {
    fn with_cell<O: GradientOperand<Sum = E>, C: Pointwise<G, K>, const G: usize, const K: usize>(
        &self,
        cell: C,
    ) -> RecurrenceGradients<O> {
        let &Self { isa, sequence, inputs, saved, d_ys, .. } = self;
        let shape = sequence.shape;
        let lanes = isa.lanes::<E>();
        let plan = Plan::new::<O>(shape, lanes, threads());
        check::<E, C, G, K>(sequence, inputs, &plan);
        self.check_gradients::<C, G, K>(&plan);
        let (dh, dc) = self.final_state(&plan, C::CELL_STATE);
        let weights = StepWeights::new(C::SECOND_PRODUCT, shape, inputs.weight, inputs.projection);
        let steps = sequence.active.in_batch_order();
        let space = Workspace::<O>::new::<C, G, K>(&plan, shape, steps.len(), weights.second.is_some());
        let mut d_bias = inputs.bias.map(|bias| vec![E::ZERO; bias.len()]);
        let mut d_projection = inputs.projection.map(|weight| vec![E::ZERO; weight.len()]);
        // SAFETY: every buffer has the size that `BackwardPass` states; the kernel writes every gradient of the
        // weights.
        let d_weight = unsafe {
            filled(inputs.weight.len(), |d_weight| {
                let pass = BackwardPass {
                    cell,
                    sequence,
                    plan,
                    saved,
                    panels: &space.panels,
                    d_ys,
                    dh: &dh,
                    dc: &dc,
                    d_gates: &space.d_gates,
                    d_product: space.d_product.as_ref().unwrap_or(&space.d_gates),
                    d_second: &space.d_second,
                };
                let kernel = BackwardKernel {
                    pass,
                    weights,
                    steps: &steps,
                    operands: &space.operands,
                    second_operands: space.second_operands.as_ref(),
                    d_weight,
                    d_bias: d_bias.as_mut().map(|bias| SharedPtr::new(bias)),
                    d_projection: d_projection.as_mut().map(|weight| SharedPtr::new(weight)),
                };
                run_kernel(isa, plan.workers, &kernel);
            })
        };
        let SequenceShape { hidden, output, .. } = shape;
        let rows = sequence.active.rows();
        // SAFETY: the pass has left the gradient of the initial state in both buffers.
        let (d_h, d_c) = unsafe {
            let d_h = unpadded_rows(&dh, (rows, output), plan.h_width());
            (d_h, C::CELL_STATE.then(|| unpadded_rows(&dc, (rows, hidden), plan.c_width())))
        };
        RecurrenceGradients {
            // The pass has written the gradients of all active steps.
            gates: GateGradients::new(space.d_gates, sequence.active.clone(), lanes),
            weight: d_weight,
            h: d_h,
            c: d_c,
            bias: d_bias,
            projection: d_projection,
        }
    }

    /// Return the gradients of the final hidden state and, with `cell_state`, of the final cell state, in padded rows.
    fn final_state(&self, plan: &Plan, cell_state: bool) -> (Buffer<E>, Buffer<E>) {
        let SequenceShape { batch, hidden, output, .. } = self.sequence.shape;
        let (d_h, d_c) = self.d_state.map(|state| state.split_at(batch * output)).unzip();
        let sequences = self.sequence.active.sequences();
        let dh = padded_rows(d_h, (sequences, output), plan.h_width());
        (dh, padded_rows(d_c.filter(|_| cell_state), (sequences, hidden), plan.c_width()))
    }

    /// Refuse saved activations and gradients of other sizes.
    fn check_gradients<C: Pointwise<G, K>, const G: usize, const K: usize>(&self, plan: &Plan) {
        let shape = self.sequence.shape;
        let SequenceShape { batch, time, hidden, output, .. } = shape;
        let cells = if C::CELL_STATE { batch * hidden } else { 0 };
        assert_eq!(self.d_ys.len(), batch * time * output, "gradient of the outputs for {shape:?}");
        let fits = self.d_state.is_none_or(|state| state.len() == batch * output + cells);
        assert!(fits, "gradient of the state for {shape:?}");
        let SavedActivations { active, lanes, cells, h, c, second_operand, initial_h, initial_c } =
            self.saved;
        assert!(*lanes == plan.lanes && **active == *self.sequence.active, "saved steps for {shape:?}");
        let has_second = self.inputs.projection.is_some() || C::SECOND_PRODUCT;
        let units = plan.unit_layout(shape, 1).len();
        assert_eq!(
            (cells.len(), h.len(), c.as_ref().map(Buffer::len), second_operand.as_ref().map(Buffer::len)),
            (
                plan.unit_layout(shape, K).len(),
                plan.output_layout(shape).len(),
                C::CELL_STATE.then_some(units),
                has_second.then_some(units)
            ),
            "saved activations for {shape:?}"
        );
        let initial = (batch * plan.h_width(), batch * plan.c_width());
        assert_eq!((initial_h.len(), initial_c.len()), initial, "saved initial state for {shape:?}");
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::Arc;

    use super::super::super::active_steps::ActiveSteps;
    use super::super::super::bf16::RoundedF32;
    #[cfg(target_arch = "x86_64")]
    use super::super::super::bf16::{Bf16, has_pairs};
    use super::super::super::project::{InputShape, LayerInput, project_backward};
    use super::super::forward::forward;
    use super::super::sequence::Zoneout;
    use super::*;
    use crate::kernels::cell_kind::Nonlinearity;

    /// Compute the gradients of the hidden state, the recurrent weights and the input, if an input is infinite.
    fn gradients_of_an_infinite_input<O: GradientOperand<Sum = f32>>(isa: Isa, kind: CellKind) -> Vec<f32> {
        let (batch, time, hidden, gates) = (2, 4, 5, kind.gates());
        let shape = SequenceShape { batch, time, hidden, output: hidden, gates };
        let active = Arc::new(ActiveSteps::new(None, (batch, time)));
        let sequence = Sequence {
            shape,
            active: active.clone(),
            reverse: false,
            zoneout: Zoneout::Off,
            recurrent_mask: None,
        };
        let mut xs = vec![0.5f32; batch * time];
        xs[1] = f32::INFINITY;
        let (ih, weight) = (vec![0.1; gates * hidden], vec![0.1; gates * hidden * hidden]);
        let (h, bias) = (vec![0.; batch * hidden], vec![0.1; gates * hidden]);
        let shape = InputShape { batch, time, input: 1, hidden, gates };
        let input =
            LayerInput::<O> { shape, active: &active, xs: &xs, weight: &ih, bias: None, packed: None };
        let inputs = RecurrenceInputs {
            weight: &weight,
            h: &h,
            c: kind.has_cell_state().then_some(&h),
            bias: (!kind.folds_bias()).then_some(&bias),
            projection: None,
        };
        let saved = forward::<O>(isa, kind, &sequence, input, &inputs, None, true).saved.unwrap();
        let d_ys = vec![1.; batch * time * hidden];
        let found = backward::<O>(isa, kind, &sequence, &inputs, &saved, (&d_ys, None));
        let of_input = project_backward(isa, shape, &xs, &ih, &found.gates, true);
        let optional = [found.c, found.bias, of_input.xs].into_iter().flatten();
        [found.h, found.weight, of_input.bias].into_iter().chain(optional).flatten().collect()
    }

    #[test]
    fn an_infinite_input_leaves_other_gradients_finite() {
        let tanh = CellKind::Simple(Nonlinearity::Tanh);
        for kind in [tanh, CellKind::Lstm, CellKind::Gru, CellKind::GruBefore] {
            let check = |gradients: Vec<f32>, isa: Isa| {
                assert!(
                    gradients.iter().all(|x| x.is_finite()),
                    "{kind:?} with {}: {gradients:?}",
                    isa.name()
                );
            };
            for isa in Isa::available() {
                check(gradients_of_an_infinite_input::<f32>(isa, kind), isa);
                check(gradients_of_an_infinite_input::<RoundedF32>(isa, kind), isa);
            }
            #[cfg(target_arch = "x86_64")]
            for isa in Isa::available_for_bf16().into_iter().filter(|&isa| has_pairs(isa)) {
                check(gradients_of_an_infinite_input::<Bf16>(isa, kind), isa);
            }
        }
    }

    #[test]
    fn activations_of_other_steps_are_refused() {
        let isa = Isa::available()[0];
        let shape = SequenceShape { batch: 2, time: 3, hidden: 5, output: 5, gates: 3 };
        let sequence = |lengths: &[usize]| Sequence {
            shape,
            active: ActiveSteps::new(Some(lengths), (2, 3)).into(),
            reverse: false,
            zoneout: Zoneout::Off,
            recurrent_mask: None,
        };
        let (short, long) = (sequence(&[1, 2]), sequence(&[3, 2]));
        let (xs, ih, weight, h) = (vec![0.5f32; 6], vec![0.1; 15], vec![0.1; 75], vec![0.; 10]);
        let input = LayerInput {
            shape: InputShape { batch: 2, time: 3, input: 1, hidden: 5, gates: 3 },
            active: &short.active,
            xs: &xs,
            weight: &ih,
            bias: None,
            packed: None,
        };
        let inputs = RecurrenceInputs { weight: &weight, h: &h, c: None, bias: None, projection: None };
        let outputs = forward::<f32>(isa, CellKind::Gru, &short, input, &inputs, None, true);
        let (saved, d_ys) = (outputs.saved.unwrap(), vec![1.; 30]);
        let gradients = |sequence| {
            let run = || backward::<f32>(isa, CellKind::Gru, sequence, &inputs, &saved, (&d_ys, None)).h;
            catch_unwind(AssertUnwindSafe(run))
        };
        assert!(gradients(&short).unwrap().iter().all(|gradient| gradient.is_finite()));
        let problem = *gradients(&long).unwrap_err().downcast::<String>().unwrap();
        assert!(problem.starts_with("saved steps"), "{problem}");
    }
}
