//! The backward products of a projection.

use std::sync::Arc;

use pulp::{Simd, WithSimd};

use super::super::active_steps::ActiveSteps;
use super::super::memory::{Buffer, SharedPtr, filled};
use super::super::padding::weight_row;
use super::super::product::{GradientOperand, PanelShape, Panels, column_sums, dense, outer, steps_left};
use super::super::simd::{Float, Isa, Vector};
use super::super::workers::{Kernel, Worker, run_kernel};
use super::shape::{InputShape, splits_rows};

/// The gradient of the input's part of the gates, as the backward pass of the recurrence leaves it.
pub(crate) struct GateGradients<O> {
    /// In [`SequenceLayout`](super::super::product::SequenceLayout); unwritten beyond the active steps.
    elements: Buffer<O>,
    active: Arc<ActiveSteps>,
    lanes: usize,
}

impl<O: GradientOperand> GateGradients<O> {
    /// `elements` must be written in all active steps, in vectors of `lanes`.
    pub(in crate::kernels::cpu) fn new(elements: Buffer<O>, active: Arc<ActiveSteps>, lanes: usize) -> Self {
        Self { elements, active, lanes }
    }
}

/// Gradients of the arguments of [`project`](super::project).
pub(crate) struct ProjectionGradients<E> {
    /// (batch, time, input), if requested.
    pub(crate) xs: Option<Vec<E>>,
    /// (gates * hidden, input).
    pub(crate) weight: Vec<E>,
    /// (gates * hidden).
    pub(crate) bias: Vec<E>,
}

/// Compute the gradients of a projection from that of its gates. Steps beyond the lengths have no part in them.
///
/// # Panics
/// If a slice or the gradient of the gates does not have the size of `shape`, or that gradient has another vector
/// length.
pub(crate) fn project_backward<O: GradientOperand>(
    isa: Isa,
    shape: InputShape,
    xs: &[O::Sum],
    weight: &[O::Sum],
    d_gates: &GateGradients<O>,
    wants_xs: bool,
) -> ProjectionGradients<O::Sum> {
    let lanes = isa.lanes::<O::Sum>();
    let GateGradients { elements: d_gates, active, lanes: found } = d_gates;
    assert_eq!(*found, lanes, "vector length of the gradient of the gates");
    let InputShape { input, hidden, gates, .. } = shape;
    let (rows, gate_width) = (shape.rows(), shape.gate_width(lanes));
    assert_eq!(
        (xs.len(), weight.len(), d_gates.len()),
        (rows * input, gates * hidden * input, rows * gate_width),
        "sizes of xs, weight and gates for {shape:?}"
    );
    assert_eq!(active.size(), (shape.batch, shape.time), "steps for {shape:?}");
    let steps = active.in_batch_order();
    let workers = shape.workers(steps.len(), lanes);
    let panels = |depth| PanelShape { depth, groups: input.div_ceil(lanes), group_vectors: 1, lanes };
    let weights = wants_xs.then(|| Panels::new(panels(gate_width), workers));
    let inputs = Panels::with_max_vectors(O::OUTER_VECTORS, panels(steps.len()), workers);
    let mut d_xs = None;
    let mut d_bias = vec![O::Sum::ZERO; gates * hidden];
    // SAFETY: sizes were checked above. The kernel writes every element of both results: `outer` reaches every
    // row of the weights, `dense` every active row of the input, and the others are cleared.
    let d_weight = unsafe {
        filled(weight.len(), |d_weight| {
            let mut run = |d_xs| {
                let (weights, inputs, steps) = (weights.as_ref(), &inputs, &steps);
                let d_bias = SharedPtr::new(&mut d_bias);
                let kernel = ProjectionBackward {
                    shape,
                    active,
                    steps,
                    xs,
                    weight,
                    d_gates,
                    weights,
                    inputs,
                    d_xs,
                    d_weight,
                    d_bias,
                };
                run_kernel(isa, workers, &kernel);
            };
            match wants_xs {
                true => d_xs = Some(filled(xs.len(), run)),
                false => run(SharedPtr::new(&mut [])),
            }
        })
    };
    ProjectionGradients { xs: d_xs, weight: d_weight, bias: d_bias }
}

/// The kernel of [`project_backward`].
struct ProjectionBackward<'a, O: GradientOperand> {
    shape: InputShape,
    active: &'a ActiveSteps,
    /// Step and row of each active step, in the order of sums over steps.
    steps: &'a [(usize, usize)],
    xs: &'a [O::Sum],
    weight: &'a [O::Sum],
    d_gates: &'a Buffer<O>,
    /// Panels of the weights, whose depth is in the order of the gates; for the gradient of `xs`.
    weights: Option<&'a Panels<O>>,
    /// Panels of `xs`, for the gradient of the weights.
    inputs: &'a Panels<O>,
    d_xs: SharedPtr<O::Sum>,
    d_weight: SharedPtr<O::Sum>,
    d_bias: SharedPtr<O::Sum>,
}

impl<O: GradientOperand> Kernel for ProjectionBackward<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// Every slice, buffer and pointer must have the size of the shape.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise. Workers pack and write different panels, rows and columns, and read
        // panels that others packed only after the barrier.
        unsafe {
            self.pack(simd, worker);
            worker.wait();
            if let Some(weights) = self.weights {
                self.gradient_of_xs(simd, worker, weights);
            }
            self.gradient_of_weights(simd, worker);
        }
    }
}

/// The parts of [`ProjectionBackward::run`]; unsafe for the same reason.
impl<O: GradientOperand> ProjectionBackward<'_, O> {
    #[inline(always)]
    unsafe fn pack<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let InputShape { time, input, hidden, gates, .. } = self.shape;
        let lanes = O::Sum::lanes::<S>();
        // SAFETY: the caller's promise.
        unsafe {
            if let Some(weights) = self.weights {
                let row = |k| Some(self.weight.as_ptr().add(weight_row(k, gates, hidden, lanes)? * input));
                let size = (weights.depth(), input);
                for panel in weights.share(worker) {
                    weights.pack_rows(simd, panel, size, row);
                }
            }
            let row = |index: usize| {
                let (t, row) = self.steps[index];
                Some(self.xs.as_ptr().add((self.active.sequence(row) * time + t) * input))
            };
            let size = (self.inputs.depth(), input);
            for panel in self.inputs.share(worker) {
                self.inputs.pack_rows(simd, panel, size, row);
            }
        }
    }

    /// Compute `d_xs = d_gates weight`.
    #[inline(always)]
    unsafe fn gradient_of_xs<S: Simd>(&self, simd: S, worker: Worker<'_>, weights: &Panels<O>) {
        let InputShape { time, input, .. } = self.shape;
        let layout = self.shape.gradient_layout::<O>(O::Sum::lanes::<S>());
        let by_step = self.shape.is_by_step();
        let order = self.active.order(by_step);
        let d_gates = self.d_gates.at(0).cast_const();
        let (rows, panel_list) = match splits_rows(order.len(), worker.count) {
            true => (worker.share(order.len()), weights.all().to_vec()),
            false => (0..order.len(), weights.share(worker).collect()),
        };
        // SAFETY: the caller's promise.
        unsafe {
            let left = |index| {
                let (t, row) = order.step_and_row(index);
                match by_step {
                    true => layout.rows_of_step(d_gates, t, row),
                    false => layout.steps_of_row(d_gates, t, row),
                }
            };
            dense(
                simd,
                rows,
                (left, |index| order.run_end(index)),
                weights,
                &panel_list,
                |_, panel, tile| Vector::<S, O::Sum>::clear(simd, tile, weights.width(panel)),
                |index, panel, tile| {
                    let (t, row) = order.step_and_row(index);
                    let first = weights.first_column(panel);
                    let to = self.d_xs.at((self.active.sequence(row) * time + t) * input + first);
                    Vector::<S, O::Sum>::copy(simd, tile, to, weights.width(panel).min(input - first));
                },
            );
            for row in worker.share(self.shape.batch) {
                let steps = self.active.steps(row);
                let sequence = self.active.sequence(row);
                self.d_xs.at((sequence * time + steps) * input).write_bytes(0, (time - steps) * input);
            }
        }
    }

    /// Compute `d_weight = d_gates^T xs`, and the column sums of `d_gates`.
    #[inline(always)]
    unsafe fn gradient_of_weights<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let InputShape { input, hidden, gates, .. } = self.shape;
        let lanes = O::Sum::lanes::<S>();
        let layout = self.shape.gradient_layout::<O>(lanes);
        let d_gates = self.d_gates.at(0).cast_const();
        // SAFETY: the caller's promise.
        unsafe {
            let starts = layout.starts(self.steps);
            let left = steps_left(d_gates, &starts, layout);
            let result = |column| Some(self.d_weight.at(weight_row(column, gates, hidden, lanes)? * input));
            outer(simd, worker, left, self.inputs, input, result);
            column_sums(simd, worker, (d_gates, &starts, layout), |column, sums| {
                for (lane, &sum) in sums.iter().enumerate() {
                    if let Some(row) = weight_row(column + lane, gates, hidden, lanes) {
                        *self.d_bias.at(row) = sum;
                    }
                }
            });
        }
    }
}
