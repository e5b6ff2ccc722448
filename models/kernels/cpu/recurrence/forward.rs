//! The entry point of the forward pass.

use pulp::{Simd, WithSimd};

use super::super::cell::{GruBeforeUnit, GruUnit, LstmUnit, Pointwise, SimpleUnit, state_limit};
use super::super::memory::{Buffer, filled};
use super::super::padding::{gate_order, padded_rows, unpadded_rows};
use super::super::product::{Operand, SequenceLayout};
use super::super::project::{InputShape, LayerInput, StepProjection, project};
use super::super::simd::Isa;
use super::super::workers::{Kernel, Worker, run_kernel, threads};
use super::arguments::{RecurrenceInputs, RecurrenceOutputs, SavedActivations, check};
use super::chunked_input::ChunkedInput;
use super::forward_pass::ForwardPass;
use super::packed::{PackedRecurrence, StepWeights};
use super::plan::Plan;
use super::sequence::Sequence;
use super::shape::SequenceShape;
use crate::kernels::cell_kind::CellKind;

/// Run a sequence over an input. `save` requests what [`backward`](super::backward()) needs.
///
/// With `packed`, made from the same weights, the weights are not packed again.
///
/// # Panics
/// If a slice does not have the size of the sequence's shape, the input is that of another sequence, or `packed` was
/// made for another kind of cell, shape or vector length, or divided among other workers than the packed weights of the
/// input.
pub(crate) fn forward<O: Operand>(
    isa: Isa,
    kind: CellKind,
    sequence: &Sequence<O::Sum>,
    input: LayerInput<'_, O>,
    inputs: &RecurrenceInputs<'_, O::Sum>,
    packed: Option<&PackedRecurrence<O>>,
    save: bool,
) -> RecurrenceOutputs<O::Sum> {
    let threads = threads();
    ForwardCall { isa, kind, sequence, input, inputs, packed, save, threads, may_chunk: true }.run()
}

/// The arguments of [`forward`].
struct ForwardCall<'a, O: Operand> {
    isa: Isa,
    kind: CellKind,
    sequence: &'a Sequence<O::Sum>,
    input: LayerInput<'a, O>,
    inputs: &'a RecurrenceInputs<'a, O::Sum>,
    packed: Option<&'a PackedRecurrence<O>>,
    save: bool,
    /// The most workers.
    threads: usize,
    /// Whether the input's part of the gates may be computed in chunks of steps, where [`Plan::chunk_steps`] says so.
    may_chunk: bool,
}

impl<O: Operand> ForwardCall<'_, O> {
    fn run(self) -> RecurrenceOutputs<O::Sum> {
        match self.kind {
            CellKind::Simple(nonlinearity) => self.with_cell::<_, 1, 1>(SimpleUnit(nonlinearity)),
            CellKind::Lstm => self.with_cell::<_, 4, 4>(LstmUnit),
            CellKind::Gru => self.with_cell::<_, 3, 4>(GruUnit),
            CellKind::GruBefore => self.with_cell::<_, 3, 3>(GruBeforeUnit),
        }
    }

    fn with_cell<C: Pointwise<G, K>, const G: usize, const K: usize>(
        self,
        cell: C,
    ) -> RecurrenceOutputs<O::Sum> {
        let Self { isa, kind, sequence, input, inputs, packed, save, threads, may_chunk } = self;
        let shape = sequence.shape;
        let SequenceShape { batch, time, hidden, output, .. } = shape;
        let lanes = isa.lanes::<O::Sum>();
        let plan = Plan::new::<O>(shape, lanes, threads);
        check::<O::Sum, C, G, K>(sequence, inputs, &plan);
        check_packed(packed, kind, shape, inputs.projection.is_some(), lanes);
        check_input(&input, sequence);
        let weights = StepWeights::new(C::SECOND_PRODUCT, shape, inputs.weight, inputs.projection);
        let has_second = weights.second.is_some();
        let fresh = packed
            .is_none()
            .then(|| PackedRecurrence::uninitialised(kind, shape, has_second, lanes, plan.workers));
        let packed = packed.or(fresh.as_ref()).expect("invariant: fresh if not packed");

        let (h_width, c_width) = (plan.h_width(), plan.c_width());
        let active = &*sequence.active;
        let h = padded_rows(Some(inputs.h), (active.sequences(), output), h_width);
        let c = padded_rows(inputs.c, (active.sequences(), hidden), c_width);
        let bias = gate_order(inputs.bias, G, hidden, lanes);
        let chunk = plan.chunk_steps::<O>(shape, input.shape.input).filter(|_| may_chunk);
        let (gates, input) = gates_of(isa, &plan, shape, input, (chunk, save && K == G));
        if let Some(input) = &input {
            let divides = input.projection.packed().panels().divides_as(&packed.panels().hidden);
            assert!(divides, "packed weights of input and recurrence that are divided among other workers");
        }
        let (gates, saved) = match save {
            true => saved_activations::<O, C, G, K>(&plan, inputs, sequence, gates),
            false => (Some(gates), None),
        };
        let [h_len, second_len] = [batch * h_width, if has_second { batch * c_width } else { 0 }];
        let rounded = |len: usize| Buffer::new(if O::IS_SCALED { 0 } else { len });
        let unrounded = |len: usize| Buffer::new(if O::IS_SCALED { len } else { 0 });
        let operands = [rounded(h_len), rounded(h_len)];
        let second_operand = rounded(second_len);
        let unrounded = [h_len, h_len, second_len].map(unrounded);
        // SAFETY: every buffer has the size that `ForwardPass` states, and the kernel writes every output.
        let (ys, state) = unsafe {
            let ys = filled(batch * time * output, |ys| {
                let pass = ForwardPass {
                    cell,
                    sequence,
                    plan,
                    gates: gates.as_ref().or(saved.as_ref().map(|saved| &saved.cells)).unwrap_or(&bias),
                    input: input.as_ref(),
                    bias: &bias,
                    panels: packed.panels(),
                    h: &h,
                    c: &c,
                    ys,
                    saved: saved.as_ref(),
                    operands: operands.each_ref(),
                    second_operand: &second_operand,
                    unrounded: unrounded.each_ref(),
                    limit: state_limit(kind, inputs.projection.is_some()),
                };
                run_kernel(isa, plan.workers, &ForwardKernel { pass, fresh: fresh.as_ref(), weights });
            });
            let mut state = unpadded_rows(&h, (active.rows(), output), h_width);
            if C::CELL_STATE {
                state.extend(unpadded_rows(&c, (active.rows(), hidden), c_width));
            }
            (ys, state)
        };
        RecurrenceOutputs { ys, state, saved }
    }
}

/// Refuse packed weights of other cells or sizes.
///
/// # Panics
/// If `packed` was made for another kind of cell, shape or vector length.
fn check_packed<O: Operand>(
    packed: Option<&PackedRecurrence<O>>,
    kind: CellKind,
    shape: SequenceShape,
    projects: bool,
    lanes: usize,
) {
    assert!(
        packed.is_none_or(|packed| packed.fits(kind, shape, projects, lanes)),
        "packed recurrent weights do not fit {kind:?} cells of {shape:?} in vectors of {lanes}"
    );
}

/// Refuse the input of another sequence: its gates would not be those that the recurrence reads.
///
/// # Panics
/// If the sizes or the steps of the input are not those of the sequence.
fn check_input<O: Operand>(input: &LayerInput<'_, O>, sequence: &Sequence<O::Sum>) {
    let SequenceShape { batch, time, hidden, gates, .. } = sequence.shape;
    let InputShape { input: features, .. } = input.shape;
    let expected = InputShape { batch, time, input: features, hidden, gates };
    assert_eq!(input.shape, expected, "input of a recurrence");
    assert!(*input.active == *sequence.active, "steps of input and recurrence for {expected:?}");
}

/// Return the gates of all steps, or memory for them and their computation `chunk` steps at a time. `keeps` says that
/// the gates of all steps need memory.
///
/// # Panics
/// If a slice of the input does not have the size of its shape.
fn gates_of<'a, O: Operand>(
    isa: Isa,
    plan: &Plan,
    shape: SequenceShape,
    input: LayerInput<'a, O>,
    (chunk, keeps): (Option<usize>, bool),
) -> (Buffer<O::Sum>, Option<ChunkedInput<'a, O>>) {
    let layout = plan.unit_layout(shape, shape.gates);
    let Some(steps) = chunk else {
        let gates = project(isa, &input);
        assert_eq!(gates.len(), layout.len(), "gates for {shape:?}");
        return (gates, None);
    };
    let memory = if keeps { layout } else { SequenceLayout { time: steps, ..layout } };
    let projection = StepProjection::new(input, plan.lanes, plan.workers);
    (Buffer::new(memory.len()), Some(ChunkedInput { projection, steps, keeps }))
}

/// The gates of all steps, if they do not share a buffer with the saved numbers of the cells.
type GatesBuffer<O> = Option<Buffer<<O as Operand>::Sum>>;

/// Make buffers for what the backward pass needs. The saved numbers of the cells replace their gates if they have the
/// same size; else the gates are returned too.
fn saved_activations<O: Operand, C: Pointwise<G, K>, const G: usize, const K: usize>(
    plan: &Plan,
    inputs: &RecurrenceInputs<'_, O::Sum>,
    Sequence { shape, active, .. }: &Sequence<O::Sum>,
    gates: Buffer<O::Sum>,
) -> (GatesBuffer<O>, Option<SavedActivations<O::Sum>>) {
    let (shape, sequences) = (*shape, active.sequences());
    let SequenceShape { hidden, output, .. } = shape;
    let per_unit = |count| Buffer::new(plan.unit_layout(shape, count).len());
    let (gates, cells) = if K == G { (None, gates) } else { (Some(gates), per_unit(K)) };
    let has_second = inputs.projection.is_some() || C::SECOND_PRODUCT;
    let saved = SavedActivations {
        active: active.clone(),
        lanes: plan.lanes,
        cells,
        h: Buffer::new(plan.output_layout(shape).len()),
        c: C::CELL_STATE.then(|| per_unit(1)),
        second_operand: has_second.then(|| per_unit(1)),
        initial_h: padded_rows(Some(inputs.h), (sequences, output), plan.h_width()),
        initial_c: padded_rows(inputs.c, (sequences, hidden), plan.c_width()),
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
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// As [`ForwardPass::run`].
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise; the pass has a barrier before its first product.
        unsafe {
            if let Some(fresh) = self.fresh {
                fresh.pack(simd, self.pass.sequence.shape, self.weights, worker);
            }
            if let Some(input) = self.pass.input {
                input.projection.pack(simd, worker);
            }
            self.pass.run(simd, worker);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::super::super::active_steps::ActiveSteps;
    #[cfg(target_arch = "x86_64")]
    use super::super::super::bf16::{Bf16, has_pairs};
    use super::super::super::int8::Int8;
    #[cfg(target_arch = "x86_64")]
    use super::super::super::product::GradientOperand;
    #[cfg(target_arch = "x86_64")]
    use super::super::super::project::project_backward;
    #[cfg(target_arch = "x86_64")]
    use super::super::backward::backward;
    use super::super::sequence::Zoneout;
    use super::*;
    use crate::kernels::cell_kind::Nonlinearity;

    const SHAPE: SequenceShape = SequenceShape { batch: 2, time: 3, hidden: 20, output: 20, gates: 3 };
    const INPUT: InputShape = InputShape { batch: 2, time: 3, input: 5, hidden: 20, gates: 3 };

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|index| (index as f32 * 0.37).sin() / 4.).collect()
    }

    /// Compute the outputs of cells of `kind` and [`SHAPE`].
    fn outputs(isa: Isa, kind: CellKind, packed: Option<&PackedRecurrence<f32>>) -> Vec<f32> {
        outputs_of(isa, kind, INPUT, &ActiveSteps::new(None, (2, 3)), packed)
    }

    /// Compute the outputs of cells of `kind` and [`SHAPE`] over an input of this shape and these steps.
    fn outputs_of(
        isa: Isa,
        kind: CellKind,
        shape: InputShape,
        steps: &ActiveSteps,
        packed: Option<&PackedRecurrence<f32>>,
    ) -> Vec<f32> {
        let sequence = Sequence {
            shape: SHAPE,
            active: ActiveSteps::new(None, (2, 3)).into(),
            reverse: false,
            zoneout: Zoneout::Off,
            recurrent_mask: None,
        };
        let InputShape { batch, time, input, hidden, gates } = shape;
        let (xs, ih) = (values(batch * time * input), values(gates * hidden * input));
        let input = LayerInput { shape, active: steps, xs: &xs, weight: &ih, bias: None, packed: None };
        let (weight, h) = (values(3 * 20 * 20), values(2 * 20));
        let inputs = RecurrenceInputs { weight: &weight, h: &h, c: None, bias: None, projection: None };
        forward(isa, kind, &sequence, input, &inputs, packed, false).ys
    }

    fn packed(isa: Isa, kind: CellKind, shape: SequenceShape, projects: bool) -> PackedRecurrence<f32> {
        let weight = values(shape.gates * shape.hidden * shape.output);
        let projection = projects.then(|| values(shape.hidden * shape.output));
        PackedRecurrence::new(isa, kind, shape, &weight, projection.as_deref(), 3)
    }

    #[test]
    fn packed_weights_change_no_bit() {
        for (isa, kind) in
            Isa::available().into_iter().flat_map(|isa| [(isa, CellKind::Gru), (isa, CellKind::GruBefore)])
        {
            let packed = packed(isa, kind, SHAPE, false);
            assert_eq!(
                outputs(isa, kind, Some(&packed)),
                outputs(isa, kind, None),
                "{kind:?}, {}",
                isa.name()
            );
        }
    }

    #[test]
    fn packed_weights_of_other_cells_or_sizes_are_refused() {
        let isa = Isa::available()[0];
        let gru = CellKind::Gru;
        let wide = SequenceShape { hidden: 40, output: 40, ..SHAPE };
        let narrow = SequenceShape { hidden: 1, output: 1, ..SHAPE };
        let deep = SequenceShape { output: 24, ..SHAPE };
        let lstm = SequenceShape { gates: 4, ..SHAPE };
        for (kind, shape, projects) in [
            (CellKind::GruBefore, SHAPE, false),
            (CellKind::Lstm, lstm, false),
            (CellKind::Lstm, SHAPE, false),
            (gru, wide, false),
            (gru, narrow, false),
            (gru, deep, false),
            (gru, SHAPE, true),
        ] {
            let packed = packed(isa, kind, shape, projects);
            let refused = catch_unwind(AssertUnwindSafe(|| outputs(isa, gru, Some(&packed))));
            let message = *refused.unwrap_err().downcast::<String>().unwrap();
            assert!(message.starts_with("packed recurrent weights do not fit"), "{kind:?}: {message}");
        }
    }

    #[test]
    fn inputs_of_other_sequences_are_refused() {
        let isa = Isa::available()[0];
        let swapped = InputShape { batch: 3, time: 2, ..INPUT };
        for (shape, steps, message) in [
            (swapped, ActiveSteps::new(None, (3, 2)), "input of a recurrence"),
            (INPUT, ActiveSteps::new(Some(&[3, 1]), (2, 3)), "steps of input and recurrence"),
        ] {
            let run = || outputs_of(isa, CellKind::Gru, shape, &steps, None);
            let problem = *catch_unwind(AssertUnwindSafe(run)).unwrap_err().downcast::<String>().unwrap();
            assert!(problem.contains(message), "{problem}");
        }
    }

    /// A sequence of several chunks for one worker, whose last chunk has one step, and its operands.
    struct Chunked {
        kind: CellKind,
        sequence: Sequence<f32>,
        input: InputShape,
        xs: Vec<f32>,
        weights: [Vec<f32>; 2],
        biases: [Vec<f32>; 2],
        state: [Vec<f32>; 2],
    }

    impl Chunked {
        const BATCH: usize = 5;
        const HIDDEN: usize = 70;
        const INPUT: usize = 7;

        fn new<O: Operand<Sum = f32>>(kind: CellKind, reverse: bool, lanes: usize) -> Self {
            let (batch, hidden, gates) = (Self::BATCH, Self::HIDDEN, kind.gates());
            let shape = |time| SequenceShape { batch, time, hidden, output: hidden, gates };
            let plan = |time| Plan::new::<O>(shape(time), lanes, 1);
            let steps_of = |time| plan(time).chunk_steps::<O>(shape(time), Self::INPUT);
            let steps = steps_of(1 << 16).expect("chunks");
            let time = 3 * steps + 1;
            assert_eq!(steps_of(time), Some(steps));
            let lengths = [time - 1, 0, 2 * steps, time, steps - 1];
            Self {
                kind,
                sequence: Sequence {
                    shape: shape(time),
                    active: ActiveSteps::new(Some(&lengths), (batch, time)).into(),
                    reverse,
                    zoneout: Zoneout::Off,
                    recurrent_mask: None,
                },
                input: InputShape { batch, time, input: Self::INPUT, hidden, gates },
                xs: values(batch * time * Self::INPUT),
                // Small recurrent weights keep gradients finite over so many steps.
                weights: [(Self::INPUT, 1.), (hidden, 0.2)].map(|(inputs, scale)| {
                    values(gates * hidden * inputs).into_iter().map(|x| x * scale).collect()
                }),
                biases: [0, 1].map(|from| values(gates * hidden + from)[from..].to_vec()),
                state: [2, 3].map(|from| values(batch * hidden + from)[from..].to_vec()),
            }
        }

        fn inputs(&self) -> RecurrenceInputs<'_, f32> {
            RecurrenceInputs {
                weight: &self.weights[1],
                h: &self.state[0],
                c: self.kind.has_cell_state().then_some(&self.state[1]),
                bias: (!self.kind.folds_bias()).then_some(&self.biases[1]),
                projection: None,
            }
        }

        fn outputs<O: Operand<Sum = f32>>(
            &self,
            isa: Isa,
            chunks: bool,
            save: bool,
        ) -> RecurrenceOutputs<f32> {
            let input = LayerInput {
                shape: self.input,
                active: &self.sequence.active,
                xs: &self.xs,
                weight: &self.weights[0],
                bias: Some(&self.biases[0]),
                packed: None,
            };
            let call = ForwardCall::<O> {
                isa,
                kind: self.kind,
                sequence: &self.sequence,
                input,
                inputs: &self.inputs(),
                packed: None,
                save,
                threads: 1,
                may_chunk: chunks,
            };
            call.run()
        }

        fn check_outputs<O: Operand<Sum = f32>>(&self, isa: Isa, save: bool) {
            let [found, expected] = [true, false].map(|chunks| self.outputs::<O>(isa, chunks, save));
            let what = format!("{:?} with {}", self.kind, isa.name());
            assert!(found.ys == expected.ys && found.state == expected.state, "{what}");
        }

        #[cfg(target_arch = "x86_64")]
        fn check_gradients<O: GradientOperand<Sum = f32>>(&self, isa: Isa) {
            let d_ys = values(self.sequence.shape.batch * self.sequence.shape.time * Self::HIDDEN);
            let gradients = |chunks| {
                let saved = self.outputs::<O>(isa, chunks, true).saved.unwrap();
                let found =
                    backward::<O>(isa, self.kind, &self.sequence, &self.inputs(), &saved, (&d_ys, None));
                let of_input =
                    project_backward(isa, self.input, &self.xs, &self.weights[0], &found.gates, true);
                let input = [of_input.xs.unwrap(), of_input.weight, of_input.bias];
                (found.weight, found.h, found.c, found.bias, input)
            };
            let (found, expected) = (gradients(true), gradients(false));
            assert!(found.0.iter().any(|&x| x != 0.) && found.0.iter().all(|x| x.is_finite()));
            assert!(found == expected, "{:?} with {}", self.kind, isa.name());
        }
    }

    #[test]
    fn chunks_of_the_input_change_no_bit() {
        for (kind, reverse) in
            [CellKind::Lstm, CellKind::Gru].into_iter().flat_map(|kind| [(kind, false), (kind, true)])
        {
            for isa in Isa::available_for_int8() {
                Chunked::new::<Int8>(kind, reverse, isa.lanes::<f32>()).check_outputs::<Int8>(isa, false);
            }
            #[cfg(target_arch = "x86_64")]
            for isa in Isa::available_for_bf16().into_iter().filter(|&isa| has_pairs(isa)) {
                let case = Chunked::new::<Bf16>(kind, reverse, isa.lanes::<f32>());
                case.check_outputs::<Bf16>(isa, false);
                case.check_outputs::<Bf16>(isa, true);
                case.check_gradients::<Bf16>(isa);
            }
        }
    }

    #[test]
    fn nonlinearities_share_a_packing() {
        let isa = Isa::available()[0];
        let shape = SequenceShape { gates: 1, ..SHAPE };
        let packed = packed(isa, CellKind::Simple(Nonlinearity::Tanh), shape, false);
        let relu = CellKind::Simple(Nonlinearity::Relu);
        assert!(packed.fits(relu, shape, false, isa.lanes::<f32>()));
    }
}
