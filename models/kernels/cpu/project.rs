//! The input's part of the gates of a whole sequence, `x W^T + b`: one product forward, two backward.

use pulp::Simd;

use super::Isa;
use super::layout::SequenceLayout;
use super::memory::{Buffer, Shared, filled};
use super::panels::Panels;
use super::product::{OUTER_WIDEST, Rows, dense, outer, sums};
use super::sequence::padded;
use super::simd::{Real, Vector};
use super::workers::{self, Kernel, Worker};

/// Sizes of a projection of the input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    pub batch: usize,
    pub time: usize,
    /// Features of a step.
    pub input: usize,
    /// Units.
    pub hidden: usize,
    /// Gates of a unit.
    pub gates: usize,
}

impl Shape {
    /// Rows of the input.
    fn rows(self) -> usize {
        self.batch * self.time
    }

    /// Numbers of the gates of a row.
    fn wide(self, lanes: usize) -> usize {
        padded(self.hidden, lanes) * self.gates
    }

    /// Where the gates lie.
    fn steps(self, lanes: usize) -> SequenceLayout {
        let vectors = self.hidden.div_ceil(lanes);
        SequenceLayout { batch: self.batch, time: self.time, vectors, width: self.gates * lanes }
    }

    fn order(self) -> Order {
        Order { by_step: self.batch >= 6, batch: self.batch, time: self.time }
    }
}

/// In which order the products take the rows of the input: the whole batch step by step, or, where that is
/// too small for a tile, all steps row by row.
#[derive(Clone, Copy)]
struct Order {
    by_step: bool,
    batch: usize,
    time: usize,
}

impl Order {
    /// Step and row of number `at`.
    fn of(self, at: usize) -> (usize, usize) {
        if self.by_step { (at / self.batch, at % self.batch) } else { (at % self.time, at / self.time) }
    }

    /// How many one after another lie evenly apart.
    fn even(self) -> usize {
        if self.by_step { self.batch } else { self.time.max(1) }
    }
}

/// The row of a weight matrix, gate after gate, that column `column` of (units, gates, lanes) stands for;
/// none for padding.
pub(super) fn weight_row(column: usize, gates: usize, hidden: usize, lanes: usize) -> Option<usize> {
    let (vector, lane) = (column / lanes, column % lanes);
    let (unit, gate) = (vector / gates * lanes + lane, vector % gates);
    (unit < hidden).then_some(gate * hidden + unit)
}

/// A vector of one number a gate and unit, gate after gate, in the order of (units, gates, lanes).
pub(super) fn gate_order<E: Real>(
    values: Option<&[E]>,
    gates: usize,
    hidden: usize,
    lanes: usize,
) -> Buffer<E> {
    let wide = padded(hidden, lanes) * gates;
    let ordered = Buffer::zeros(wide);
    for (values, column) in values.iter().flat_map(|values| (0..wide).map(move |column| (values, column))) {
        if let Some(row) = weight_row(column, gates, hidden, lanes) {
            // SAFETY: `column` is below the buffer's size, and nobody else knows of the buffer yet.
            unsafe { *ordered.at(column) = values[row] };
        }
    }
    ordered
}

/// Panels of the input weights; to be packed by [`pack`].
pub(super) fn panels<E: Real>(shape: Shape, lanes: usize, workers: usize) -> Panels<E> {
    Panels::new(shape.input, shape.hidden.div_ceil(lanes), shape.gates, lanes, workers)
}

/// One worker's share of packing the weights, (gates * hidden, depth), as [`Panels`] whose columns are
/// (units, gates, lanes).
///
/// # Safety
/// The weights must be of that size, and nobody may use the panels before all workers have met.
#[inline(always)]
pub(super) unsafe fn pack<S: Simd, E: Real>(
    simd: S,
    panels: &Panels<E>,
    weight: &[E],
    (gates, hidden, lanes): (usize, usize, usize),
    worker: Worker<'_>,
) {
    let column = |column| {
        let row = weight_row(column, gates, hidden, lanes)?;
        Some(weight[row * panels.depth()..][..panels.depth()].as_ptr())
    };
    for panel in panels.of(worker) {
        // SAFETY: the rows were just cut to the panels' depth; the rest is the caller's promise.
        unsafe { panels.pack_transposed(simd, panel, column) };
    }
}

/// Rows for which it pays to split the rows rather than the panels.
fn many(rows: usize, workers: usize) -> bool {
    rows >= 24 * workers
}

/// Workers of the team worth waking for so many multiplications.
pub(super) fn workers(multiplications: usize) -> usize {
    if multiplications < 500_000 { 1 } else { workers::threads() }
}

struct Forward<'a, E> {
    shape: Shape,
    xs: &'a [E],
    /// None where the panels are packed already.
    weight: Option<&'a [E]>,
    panels: &'a Panels<E>,
    bias: &'a Buffer<E>,
    gates: &'a Buffer<E>,
}

impl<E: Real> Kernel for Forward<'_, E> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let (shape, lanes) = (self.shape, E::lanes::<S>());
        // SAFETY: `project` makes every buffer of the shape's size. Workers write different rows, or
        // different columns.
        unsafe {
            if let Some(weight) = self.weight {
                pack(simd, self.panels, weight, (shape.gates, shape.hidden, lanes), worker);
            }
            worker.wait();
            let (rows, panels) = match many(shape.rows(), worker.count) {
                true => (worker.share(shape.rows()), self.panels.all().to_vec()),
                false => (0..shape.rows(), self.panels.of(worker).collect()),
            };
            let order = shape.order();
            let row_step = if order.by_step { shape.time * shape.input } else { shape.input };
            let left = |at| {
                let (t, row) = order.of(at);
                Rows::new(self.xs.as_ptr().add((row * shape.time + t) * shape.input), row_step)
            };
            let steps = shape.steps(lanes);
            dense(
                simd,
                rows,
                (left, order.even()),
                self.panels,
                &panels,
                |_, panel, tile| {
                    let bias = self.bias.at(panel.first * steps.width);
                    Vector::<S, E>::copy(simd, bias, tile, panel.groups * steps.width);
                },
                |at, panel, tile| {
                    let (t, row) = order.of(at);
                    for unit in 0..panel.groups {
                        let to = self.gates.at(steps.at(t, panel.first + unit, row));
                        Vector::<S, E>::copy(simd, tile.add(unit * steps.width), to, steps.width);
                    }
                },
            );
        }
    }
}

/// The input's part of the gates, as [`SequenceLayout`], of `xs` (batch, time, input), `weight` (gates *
/// hidden, input) and `bias` (gates * hidden). With `packed`, the weights are those that it was packed from.
pub(crate) fn project<E: Real>(
    isa: Isa,
    shape: Shape,
    xs: &[E],
    weight: &[E],
    bias: Option<&[E]>,
    packed: Option<&PackedInput<E>>,
) -> Buffer<E> {
    let lanes = isa.lanes::<E>();
    let wide = shape.wide(lanes);
    assert_eq!(
        (xs.len(), weight.len()),
        (shape.rows() * shape.input, shape.gates * shape.hidden * shape.input),
        "{shape:?}"
    );
    let workers = workers(shape.rows() * shape.input * wide);
    let own;
    let panels = match packed {
        Some(packed) => &packed.0,
        None => {
            own = panels(shape, lanes, workers);
            &own
        }
    };
    let bias = gate_order(bias, shape.gates, shape.hidden, lanes);
    let weight = packed.is_none().then_some(weight);
    let gates = Buffer::new(shape.rows() * wide);
    let kernel = Forward { shape, xs, weight, panels, bias: &bias, gates: &gates };
    // SAFETY: sizes were checked above, and the kernel writes every row and column of the gates.
    unsafe { workers::run_kernel(isa, workers, &kernel) };
    gates
}

/// Input weights that do not change, packed once.
pub(crate) struct PackedInput<E>(pub(super) Panels<E>);

impl<E: Real> PackedInput<E> {
    /// Packs `weight`, (gates * hidden, input), for so many workers.
    pub(crate) fn new(isa: Isa, shape: Shape, weight: &[E], workers: usize) -> Self {
        struct Pack<'a, E>(&'a Panels<E>, &'a [E], Shape);
        impl<E: Real> Kernel for Pack<'_, E> {
            #[inline(always)]
            unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
                let &Self(panels, weight, Shape { gates, hidden, .. }) = self;
                // SAFETY: `pack` checks the weights row by row; nobody uses the panels yet.
                unsafe { pack(simd, panels, weight, (gates, hidden, E::lanes::<S>()), worker) };
            }
        }
        let panels = panels(shape, isa.lanes::<E>(), workers);
        // SAFETY: it asks for nothing.
        unsafe { workers::run_kernel(isa, 1, &Pack(&panels, weight, shape)) };
        Self(panels)
    }
}

struct Backward<'a, E> {
    shape: Shape,
    xs: &'a [E],
    weight: &'a [E],
    d_gates: &'a Buffer<E>,
    /// Panels of the weights, rows in the order of the gates, and of the input.
    weights: Option<&'a Panels<E>>,
    inputs: &'a Panels<E>,
    d_xs: Shared<E>,
    d_weight: Shared<E>,
    d_bias: Shared<E>,
}

impl<E: Real> Kernel for Backward<'_, E> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let (shape, lanes) = (self.shape, E::lanes::<S>());
        let Shape { time, input, hidden, gates, .. } = shape;
        let (rows, wide, steps) = (shape.rows(), shape.wide(lanes), shape.steps(lanes));
        // SAFETY: `project_backward` makes every buffer of the shape's size. Workers write different rows
        // and columns, and read panels that others packed behind the barrier.
        unsafe {
            if let Some(weights) = self.weights {
                let row = |k| Some(self.weight.as_ptr().add(weight_row(k, gates, hidden, lanes)? * input));
                weights.of(worker).for_each(|panel| weights.pack_rows(panel, 0..wide, input, row));
            }
            let row = |at: usize| {
                let (t, row) = steps.step_and_row(at);
                Some(self.xs.as_ptr().add((row * time + t) * input))
            };
            self.inputs.of(worker).for_each(|panel| self.inputs.pack_rows(panel, 0..rows, input, row));
            worker.wait();
            let d_gates = self.d_gates.at(0).cast_const();
            if let Some(weights) = self.weights {
                let (some, panels) = match many(rows, worker.count) {
                    true => (worker.share(rows), weights.all().to_vec()),
                    false => (0..rows, weights.of(worker).collect()),
                };
                let order = shape.order();
                let left = |at| {
                    let (t, row) = order.of(at);
                    if order.by_step { steps.rows(d_gates, t, row) } else { steps.steps(d_gates, t, row) }
                };
                dense(
                    simd,
                    some,
                    (left, order.even()),
                    weights,
                    &panels,
                    |_, panel, tile| Vector::<S, E>::clear(simd, tile, panel.groups * lanes),
                    |at, panel, tile| {
                        let (t, row) = order.of(at);
                        let first = panel.first * lanes;
                        let to = self.d_xs.at((row * time + t) * input + first);
                        Vector::<S, E>::copy(simd, tile, to, (panel.groups * lanes).min(input - first));
                    },
                );
            }
            let left = |at, vector| {
                let (t, row) = steps.step_and_row(at);
                d_gates.add(steps.at(t, vector, row))
            };
            let result = |column| Some(self.d_weight.at(weight_row(column, gates, hidden, lanes)? * input));
            outer(simd, worker, (left, steps.vectors, steps.width), self.inputs, input, result);
            sums(simd, worker, (d_gates, steps), |column, sums| {
                for (lane, &sum) in sums.iter().enumerate() {
                    if let Some(row) = weight_row(column + lane, gates, hidden, lanes) {
                        *self.d_bias.at(row) = sum;
                    }
                }
            });
        }
    }
}

/// Gradients of [`project`]: of `xs` where `wants_xs`, of the weights, and of the bias.
pub(crate) fn project_backward<E: Real>(
    isa: Isa,
    shape: Shape,
    xs: &[E],
    weight: &[E],
    d_gates: &Buffer<E>,
    wants_xs: bool,
) -> (Option<Vec<E>>, Vec<E>, Vec<E>) {
    let lanes = isa.lanes::<E>();
    let Shape { input, hidden, gates, .. } = shape;
    let (rows, wide) = (shape.rows(), shape.wide(lanes));
    assert_eq!(
        (xs.len(), weight.len(), d_gates.len()),
        (rows * input, gates * hidden * input, rows * wide),
        "{shape:?}"
    );
    let workers = workers(rows * input * wide);
    let columns = input.div_ceil(lanes);
    let weights = wants_xs.then(|| Panels::new(wide, columns, 1, lanes, workers));
    let inputs = Panels::no_wider_than(OUTER_WIDEST, rows, columns, 1, lanes, workers);
    let mut d_xs = None;
    let mut d_bias = vec![E::zero(); gates * hidden];
    // SAFETY: the kernel writes every element of what is filled: `outer` reaches every row of the weights,
    // `dense` every row of the input.
    let d_weight = unsafe {
        filled(weight.len(), |d_weight| {
            let mut run = |d_xs| {
                let (weights, inputs) = (weights.as_ref(), &inputs);
                let d_bias = Shared::new(&mut d_bias);
                let kernel = Backward { shape, xs, weight, d_gates, weights, inputs, d_xs, d_weight, d_bias };
                workers::run_kernel(isa, workers, &kernel);
            };
            match wants_xs {
                true => d_xs = Some(filled(xs.len(), run)),
                false => run(Shared::new(&mut [])),
            }
        })
    };
    (d_xs, d_weight, d_bias)
}
