//! The pointwise part of one step of a cell on plain matrices, for recurrences whose products are computed elsewhere,
//! and the tanh of a slice.

use pulp::Simd;

use super::cell::{CellGradient, GruUnit, LstmUnit, Pointwise, SimpleUnit};
use super::memory::SharedPtr;
use super::real::Real;
use super::simd::{AllDigits, Isa, Vector};
use super::tuning::PARALLEL_POINTWISE_UNITS;
use super::workers::{Kernel, Worker, run_kernel, threads_for};
use crate::kernels::cell_kind::CellKind;

/// The numbers that a step reads.
#[derive(Clone, Copy)]
pub(crate) struct StepInputs<'a, E> {
    /// The input's part of the gates, (rows, gates * hidden).
    pub(crate) x: &'a [E],
    /// The recurrent product, without bias, (rows, gates * hidden).
    pub(crate) product: &'a [E],
    /// The recurrent bias, (gates * hidden), unless it is part of `x`.
    pub(crate) bias: Option<&'a [E]>,
    /// (rows, hidden).
    pub(crate) h: &'a [E],
    /// (rows, hidden), for a cell with a cell state.
    pub(crate) c: Option<&'a [E]>,
}

/// The results of [`step`].
pub(crate) struct StepOutputs<E> {
    /// (rows, hidden).
    pub(crate) h: Vec<E>,
    /// (rows, hidden), for a cell with a cell state.
    pub(crate) c: Option<Vec<E>>,
    /// The numbers that [`step_backward`] needs.
    pub(crate) saved: Vec<E>,
}

/// The gradients of the inputs of [`step`].
pub(crate) struct StepGradients<E> {
    /// (rows, gates * hidden).
    pub(crate) x: Vec<E>,
    /// (rows, gates * hidden).
    pub(crate) product: Vec<E>,
    /// The gradient of the old hidden state without the path through the product, (rows, hidden).
    pub(crate) h: Vec<E>,
    /// The gradient of the old cell state, (rows, hidden), for a cell with a cell state.
    pub(crate) c: Option<Vec<E>>,
}

/// Return how many numbers [`step`] saves for each unit.
///
/// # Panics
/// As [`step`].
pub(crate) fn saved_per_unit(kind: CellKind) -> usize {
    match kind {
        CellKind::Simple(_) => 1,
        CellKind::Lstm | CellKind::Gru => 4,
        CellKind::GruBefore => panic!("invariant: a step with a second product is not pointwise"),
    }
}

/// Compute the new state of every unit; `rows` and `hidden` are the sizes of the matrices.
///
/// # Panics
/// If a slice does not have its size, or the kind of cell has a second product.
pub(crate) fn step<E: Real>(
    isa: Isa,
    kind: CellKind,
    (rows, hidden): (usize, usize),
    inputs: &StepInputs<'_, E>,
) -> StepOutputs<E> {
    let shape = StepShape { rows, hidden };
    match kind {
        CellKind::Simple(nonlinearity) => forward::<E, _, 1, 1>(isa, SimpleUnit(nonlinearity), shape, inputs),
        CellKind::Lstm => forward::<E, _, 4, 4>(isa, LstmUnit, shape, inputs),
        CellKind::Gru => forward::<E, _, 3, 4>(isa, GruUnit, shape, inputs),
        CellKind::GruBefore => panic!("invariant: a step with a second product is not pointwise"),
    }
}

/// Compute the gradients of the inputs of [`step`], from the numbers that it saved, the old state `h` and `c`, and the
/// gradients `dh` and `dc` of the new state.
///
/// # Panics
/// As [`step`].
pub(crate) fn step_backward<E: Real>(
    isa: Isa,
    kind: CellKind,
    (rows, hidden): (usize, usize),
    saved: &[E],
    (h, c): (&[E], Option<&[E]>),
    (dh, dc): (&[E], Option<&[E]>),
) -> StepGradients<E> {
    let shape = StepShape { rows, hidden };
    let state = StateAndGradient { h, c, dh, dc };
    match kind {
        CellKind::Simple(nonlinearity) => {
            backward::<E, _, 1, 1>(isa, SimpleUnit(nonlinearity), shape, saved, state)
        }
        CellKind::Lstm => backward::<E, _, 4, 4>(isa, LstmUnit, shape, saved, state),
        CellKind::Gru => backward::<E, _, 3, 4>(isa, GruUnit, shape, saved, state),
        CellKind::GruBefore => panic!("invariant: a step with a second product is not pointwise"),
    }
}

/// The sizes of a step.
#[derive(Clone, Copy, Debug)]
struct StepShape {
    rows: usize,
    hidden: usize,
}

impl StepShape {
    /// Return the number of units.
    fn len(self) -> usize {
        self.rows * self.hidden
    }

    fn workers(self) -> usize {
        threads_for(self.len(), PARALLEL_POINTWISE_UNITS)
    }

    /// Return the first unit of each vector of a row, and the number of its units.
    fn vectors(self, lanes: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..self.hidden).step_by(lanes).map(move |unit| (unit, lanes.min(self.hidden - unit)))
    }

    /// Return the index of a unit of a row in (rows, blocks, hidden).
    fn at(self, row: usize, blocks: usize, block: usize, unit: usize) -> usize {
        (row * blocks + block) * self.hidden + unit
    }
}

/// The state before a step and the gradients of the state after it.
#[derive(Clone, Copy)]
struct StateAndGradient<'a, E> {
    h: &'a [E],
    c: Option<&'a [E]>,
    dh: &'a [E],
    dc: Option<&'a [E]>,
}

fn forward<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize>(
    isa: Isa,
    cell: C,
    shape: StepShape,
    inputs: &StepInputs<'_, E>,
) -> StepOutputs<E> {
    let (len, gates) = (shape.len(), G * shape.hidden);
    assert_eq!((inputs.x.len(), inputs.product.len()), (shape.rows * gates, shape.rows * gates), "gates");
    assert!(inputs.bias.is_none_or(|bias| bias.len() == gates), "bias for {shape:?}");
    assert_eq!(inputs.h.len(), len, "hidden state for {shape:?}");
    assert_eq!(inputs.c.map(<[E]>::len), C::CELL_STATE.then_some(len), "cell state for {shape:?}");
    let mut h = vec![E::zero(); len];
    let mut c = vec![E::zero(); if C::CELL_STATE { len } else { 0 }];
    let mut saved = vec![E::zero(); K * len];
    let kernel = PointwiseForward::<_, _, G, K> {
        cell,
        shape,
        inputs,
        h: SharedPtr::new(&mut h),
        c: SharedPtr::new(&mut c),
        saved: SharedPtr::new(&mut saved),
    };
    // SAFETY: sizes were checked above.
    unsafe { run_kernel(isa, shape.workers(), &kernel) };
    StepOutputs { h, c: C::CELL_STATE.then_some(c), saved }
}

struct PointwiseForward<'a, E, C, const G: usize, const K: usize> {
    cell: C,
    shape: StepShape,
    inputs: &'a StepInputs<'a, E>,
    h: SharedPtr<E>,
    /// Empty for a cell without a cell state.
    c: SharedPtr<E>,
    /// (rows, K, hidden).
    saved: SharedPtr<E>,
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel
    for PointwiseForward<'_, E, C, G, K>
{
    /// # Safety
    /// Every slice and output must have the size of the shape.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Self { cell, shape, inputs, h, c, saved } = self;
        for row in worker.share(shape.rows) {
            for (unit, count) in shape.vectors(E::lanes::<S>()) {
                // SAFETY: the caller's promise; workers write different rows.
                unsafe {
                    let gates = |values: &[E], row| -> [Vector<S, E>; G] {
                        std::array::from_fn(|gate| {
                            let from = values.as_ptr().add(shape.at(row, G, gate, unit));
                            Vector::load_first(simd, from, count)
                        })
                    };
                    let at = shape.at(row, 1, 0, unit);
                    let old = |values: &[E]| Vector::load_first(simd, values.as_ptr().add(at), count);
                    let zeros = [Vector::zero(simd); G];
                    let x = gates(inputs.x, row);
                    let bias = inputs.bias.map_or(zeros, |bias| gates(bias, 0));
                    let start = cell.start(x, bias);
                    let product = gates(inputs.product, row);
                    let sums = std::array::from_fn(|gate| start[gate] + product[gate]);
                    let old_c = inputs.c.map_or(zeros[0], old);
                    let new = cell.forward::<AllDigits, _, _>(x, sums, old(inputs.h), old_c);
                    new.h.store_first(h.at(at), count);
                    if C::CELL_STATE {
                        new.c.store_first(c.at(at), count);
                    }
                    for (index, value) in new.saved.into_iter().enumerate() {
                        value.store_first(saved.at(shape.at(row, K, index, unit)), count);
                    }
                }
            }
        }
    }
}

fn backward<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize>(
    isa: Isa,
    cell: C,
    shape: StepShape,
    saved: &[E],
    state: StateAndGradient<'_, E>,
) -> StepGradients<E> {
    let len = shape.len();
    assert_eq!(saved.len(), K * len, "saved activations for {shape:?}");
    assert_eq!((state.h.len(), state.dh.len()), (len, len), "hidden state for {shape:?}");
    let cells = C::CELL_STATE.then_some(len);
    assert_eq!(
        (state.c.map(<[E]>::len), state.dc.map(<[E]>::len)),
        (cells, cells),
        "cell state for {shape:?}"
    );
    let mut x = vec![E::zero(); G * len];
    let mut product = vec![E::zero(); G * len];
    let mut h = vec![E::zero(); len];
    let mut c = vec![E::zero(); if C::CELL_STATE { len } else { 0 }];
    let kernel = PointwiseBackward::<_, _, G, K> {
        cell,
        shape,
        saved,
        state,
        x: SharedPtr::new(&mut x),
        product: SharedPtr::new(&mut product),
        h: SharedPtr::new(&mut h),
        c: SharedPtr::new(&mut c),
    };
    // SAFETY: sizes were checked above.
    unsafe { run_kernel(isa, shape.workers(), &kernel) };
    StepGradients { x, product, h, c: C::CELL_STATE.then_some(c) }
}

struct PointwiseBackward<'a, E, C, const G: usize, const K: usize> {
    cell: C,
    shape: StepShape,
    saved: &'a [E],
    state: StateAndGradient<'a, E>,
    x: SharedPtr<E>,
    product: SharedPtr<E>,
    h: SharedPtr<E>,
    /// Empty for a cell without a cell state.
    c: SharedPtr<E>,
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel
    for PointwiseBackward<'_, E, C, G, K>
{
    /// # Safety
    /// Every slice and output must have the size of the shape.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Self { cell, shape, saved, state, .. } = self;
        for row in worker.share(shape.rows) {
            for (unit, count) in shape.vectors(E::lanes::<S>()) {
                // SAFETY: the caller's promise; workers write different rows.
                unsafe {
                    let saved: [Vector<S, E>; K] = std::array::from_fn(|index| {
                        let from = saved.as_ptr().add(shape.at(row, K, index, unit));
                        Vector::load_first(simd, from, count)
                    });
                    let at = shape.at(row, 1, 0, unit);
                    let load = |values: &[E]| Vector::load_first(simd, values.as_ptr().add(at), count);
                    let load_c = |values: Option<&[E]>| values.map_or(Vector::zero(simd), load);
                    let CellGradient { x, product, h, c } = cell.backward::<AllDigits, _, _>(
                        saved,
                        load(state.h),
                        load_c(state.c),
                        load(state.dh),
                        load_c(state.dc),
                    );
                    for gate in 0..G {
                        let to = shape.at(row, G, gate, unit);
                        x[gate].store_first(self.x.at(to), count);
                        product[gate].store_first(self.product.at(to), count);
                    }
                    if let Some(h) = h {
                        h.store_first(self.h.at(at), count);
                    }
                    if C::CELL_STATE {
                        c.store_first(self.c.at(at), count);
                    }
                }
            }
        }
    }
}

/// Replace values by their tanh.
pub(crate) fn tanh<E: Real>(isa: Isa, values: &mut [E]) {
    let count = values.len();
    let kernel = Tanh { values: SharedPtr::new(values), count };
    // SAFETY: `values` has `count` elements.
    unsafe { run_kernel(isa, threads_for(count, PARALLEL_POINTWISE_UNITS), &kernel) };
}

/// The kernel of [`tanh`].
struct Tanh<E> {
    values: SharedPtr<E>,
    count: usize,
}

impl<E: Real> Kernel for Tanh<E> {
    /// # Safety
    /// There must be `count` values.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let lanes = E::lanes::<S>();
        for vector in worker.share(self.count.div_ceil(lanes)) {
            let (from, count) = (vector * lanes, lanes.min(self.count - vector * lanes));
            // SAFETY: the caller's promise; workers have different vectors.
            unsafe {
                let to = self.values.at(from);
                Vector::<S, E>::load_first(simd, to, count).tanh().store_first(to, count);
            }
        }
    }
}
