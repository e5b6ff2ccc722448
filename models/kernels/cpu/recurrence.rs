//! From slices to [`Forward`] and [`Backward`] and back: checks sizes, makes buffers, picks the cell.

use pulp::Simd;

use super::Isa;
use super::backward::Backward;
use super::cell::{GruBeforeUnit, GruUnit, LstmUnit, Pointwise, SimpleUnit};
use super::forward::Forward;
use super::memory::{Buffer, Shared, filled};
use super::packed::{Packed, Products};
use super::panels::Panels;
use super::product::{OUTER_WIDEST, outer, sums};
use super::project::{gate_order, weight_row};
use super::sequence::{Kept, Plan, Sequence, Shape, Zoneout};
use super::simd::Real;
use super::workers::{self, Kernel, Worker};
use crate::kernels::cell_kind::CellKind;

/// What a recurrence reads, beside the [`Sequence`].
#[derive(Clone, Copy)]
pub(crate) struct Inputs<'a, E> {
    /// (gates * hidden, output).
    pub weight: &'a [E],
    /// (batch, output).
    pub h: &'a [E],
    /// (batch, hidden), for a cell with a cell state.
    pub c: Option<&'a [E]>,
    /// The recurrent bias, (gates * hidden), where it is not part of `gates`.
    pub bias: Option<&'a [E]>,
    /// (output, hidden).
    pub projection: Option<&'a [E]>,
}

/// What the backward pass needs.
pub(crate) struct Saved<E> {
    kept: Kept<E>,
    h: Buffer<E>,
    c: Buffer<E>,
}

/// What [`forward`] finds.
pub(crate) struct Outputs<E> {
    /// (batch, time, output).
    pub ys: Vec<E>,
    /// The final state: (batch, output) hidden, then (batch, hidden) cell.
    pub state: Vec<E>,
    /// What [`backward`] needs, where it was asked for.
    pub saved: Option<Saved<E>>,
}

/// Gradients of what [`forward`] read.
pub(crate) struct Gradients<E> {
    /// Of the input's part of the gates.
    pub gates: Buffer<E>,
    pub weight: Vec<E>,
    pub h: Vec<E>,
    pub c: Option<Vec<E>>,
    pub bias: Option<Vec<E>>,
    pub projection: Option<Vec<E>>,
}

/// (rows, columns) with every row padded to whole vectors; zeros without values.
fn padded_rows<E: Real>(
    values: Option<&[E]>,
    rows: usize,
    columns: usize,
    vectors: usize,
    lanes: usize,
) -> Buffer<E> {
    let buffer = Buffer::<E>::zeros(rows * vectors * lanes);
    for row in 0..values.map_or(0, |_| rows) {
        let values = &values.unwrap_or_default()[row * columns..][..columns];
        // SAFETY: a row of the buffer has at least `columns` numbers, and nobody else knows of it yet.
        unsafe { buffer.at(row * vectors * lanes).copy_from_nonoverlapping(values.as_ptr(), columns) };
    }
    buffer
}

/// The reverse of [`padded_rows`], appended to `to`.
///
/// # Safety
/// The buffer must be written.
unsafe fn unpadded_rows<E: Real>(
    buffer: &Buffer<E>,
    rows: usize,
    columns: usize,
    wide: usize,
    to: &mut Vec<E>,
) {
    for row in 0..rows {
        // SAFETY: a row of the buffer has at least `columns` numbers.
        to.extend_from_slice(unsafe { std::slice::from_raw_parts(buffer.at(row * wide), columns) });
    }
}

/// Refuses what the kernels would read or write out of bounds.
fn check<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize>(
    sequence: &Sequence<E>,
    inputs: &Inputs<'_, E>,
    plan: &Plan,
) {
    let Shape { batch, hidden, output, gates, .. } = sequence.shape;
    let shape = sequence.shape;
    assert_eq!(gates, G, "{shape:?}");
    assert_eq!(inputs.weight.len(), gates * hidden * output, "{shape:?}");
    assert_eq!(inputs.h.len(), batch * output, "{shape:?}");
    assert_eq!(inputs.c.map(<[E]>::len), C::CELL_STATE.then_some(batch * hidden), "{shape:?}");
    assert!(inputs.bias.is_none_or(|bias| bias.len() == gates * hidden), "{shape:?}");
    assert!(
        inputs.projection.map_or(output == hidden, |weight| weight.len() == output * hidden),
        "{shape:?}"
    );
    // Only a cell that never looks at its hidden state can have one of another width.
    assert!(inputs.projection.is_none() || C::CELL_STATE, "{shape:?}");
    assert!(sequence.lengths.as_ref().is_none_or(|lengths| lengths.len() == batch), "{shape:?}");
    let recurrent_mask = plan.outputs * plan.lanes * batch;
    assert!(sequence.recurrent_mask.as_ref().is_none_or(|mask| mask.len() == recurrent_mask), "{shape:?}");
    if let Zoneout::Masks(h, c) = &sequence.zoneout {
        let steps = (plan.of_outputs(shape).len(), plan.of_units(shape, 1).len());
        assert_eq!((h.len(), c.len()), steps, "{shape:?}");
    }
}

/// Runs the sequence, from the input's part of the gates as [`SequenceLayout`]. `keep` asks
/// for what [`backward`] needs.
pub(crate) fn forward<E: Real>(
    isa: Isa,
    unit: CellKind,
    sequence: &Sequence<E>,
    gates: Buffer<E>,
    inputs: &Inputs<'_, E>,
    packed: Option<&Packed<E>>,
    keep: bool,
) -> Outputs<E> {
    match unit {
        CellKind::Simple(nonlinearity) => {
            forward_with::<E, _, 1, 1>(SimpleUnit(nonlinearity), isa, sequence, gates, inputs, packed, keep)
        }
        CellKind::Lstm => forward_with::<E, _, 4, 4>(LstmUnit, isa, sequence, gates, inputs, packed, keep),
        CellKind::Gru => forward_with::<E, _, 3, 4>(GruUnit, isa, sequence, gates, inputs, packed, keep),
        CellKind::GruBefore => {
            forward_with::<E, _, 3, 3>(GruBeforeUnit, isa, sequence, gates, inputs, packed, keep)
        }
    }
}

struct ForwardWork<'a, E, C, const G: usize, const K: usize> {
    pass: Forward<'a, E, C, G, K>,
    own: Option<&'a Packed<E>>,
    products: Products<'a, E>,
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel for ForwardWork<'_, E, C, G, K> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: `steps` lets all workers meet before it uses the panels; sizes were checked.
        unsafe {
            if let Some(own) = self.own {
                own.fill(simd, self.pass.sequence.shape, self.products, worker);
            }
            self.pass.run(simd, worker);
        }
    }
}

fn forward_with<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize>(
    cell: C,
    isa: Isa,
    sequence: &Sequence<E>,
    gates: Buffer<E>,
    inputs: &Inputs<'_, E>,
    packed: Option<&Packed<E>>,
    keep: bool,
) -> Outputs<E> {
    let shape = sequence.shape;
    let Shape { batch, time, hidden, output, .. } = shape;
    let lanes = isa.lanes::<E>();
    let plan = Plan::new::<E>(shape, lanes, workers::threads());
    check::<E, C, G, K>(sequence, inputs, &plan);
    assert_eq!(gates.len(), plan.of_units(shape, G).len(), "{shape:?}");
    let products = Products::new(C::SECOND_PRODUCT, shape, inputs.weight, inputs.projection);
    let own = packed.is_none().then(|| Packed::empty(shape, &plan, products.second.is_some()));
    let weights = own.as_ref().or(packed).expect("invariant: one of the two was just made");
    let (wide_h, wide_c) = (plan.outputs * lanes, plan.units * lanes);
    let initial_h = padded_rows(Some(inputs.h), batch, output, plan.outputs, lanes);
    let initial_c = padded_rows(inputs.c, batch, hidden, plan.units, lanes);
    let [h, c] = [(&initial_h, wide_h), (&initial_c, wide_c)].map(|(initial, wide)| {
        let copy = Buffer::<E>::new(batch * wide);
        // SAFETY: both have that size, and the copy is new.
        unsafe { copy.at(0).copy_from_nonoverlapping(initial.at(0), batch * wide) };
        copy
    });
    // What is kept of a unit takes the place of its gates where it is as much.
    let (gates, kept_units) = match (keep, K == G) {
        (true, true) => (None, Some(gates)),
        (true, false) => (Some(gates), Some(Buffer::new(batch * time * plan.units * K * lanes))),
        (false, _) => (Some(gates), None),
    };
    let kept = kept_units.map(|units| Kept {
        units,
        h: Buffer::new(batch * time * wide_h),
        c: C::CELL_STATE.then(|| Buffer::new(batch * time * wide_c)),
        projected: products.second.map(|_| Buffer::new(batch * time * wide_c)),
    });
    let operands = [Buffer::new(batch * wide_h), Buffer::new(batch * wide_h)];
    let unprojected = Buffer::new(if products.second.is_some() { batch * wide_c } else { 0 });
    let bias = gate_order(inputs.bias, G, hidden, lanes);
    let mut state = Vec::with_capacity(batch * (output + hidden));
    // SAFETY: every size is that of `Forward`'s comments, and the kernel writes every output.
    let ys = unsafe {
        let ys = filled(batch * time * output, |ys| {
            let pass = Forward {
                cell,
                sequence,
                plan,
                gates: gates.as_ref().or(kept.as_ref().map(|kept| &kept.units)).unwrap_or(&bias),
                bias: &bias,
                weights: weights.views(),
                h: &h,
                c: &c,
                ys,
                kept: kept.as_ref(),
                operands: operands.each_ref(),
                unprojected: &unprojected,
            };
            workers::run_kernel(isa, plan.workers, &ForwardWork { pass, own: own.as_ref(), products });
        });
        unpadded_rows(&h, batch, output, wide_h, &mut state);
        if C::CELL_STATE {
            unpadded_rows(&c, batch, hidden, wide_c, &mut state);
        }
        ys
    };
    let saved = kept.map(|kept| Saved { kept, h: initial_h, c: initial_c });
    Outputs { ys, state, saved }
}

/// The gradients of what [`forward`] read, from those of its outputs and of its final state, which has none
/// where nothing looked at it.
pub(crate) fn backward<E: Real>(
    isa: Isa,
    unit: CellKind,
    sequence: &Sequence<E>,
    inputs: &Inputs<'_, E>,
    saved: &Saved<E>,
    gradient: (&[E], Option<&[E]>),
) -> Gradients<E> {
    match unit {
        CellKind::Simple(nonlinearity) => {
            backward_with::<E, _, 1, 1>(SimpleUnit(nonlinearity), isa, sequence, inputs, saved, gradient)
        }
        CellKind::Lstm => backward_with::<E, _, 4, 4>(LstmUnit, isa, sequence, inputs, saved, gradient),
        CellKind::Gru => backward_with::<E, _, 3, 4>(GruUnit, isa, sequence, inputs, saved, gradient),
        CellKind::GruBefore => {
            backward_with::<E, _, 3, 3>(GruBeforeUnit, isa, sequence, inputs, saved, gradient)
        }
    }
}

struct BackwardWork<'a, E, C, const G: usize, const K: usize> {
    pass: Backward<'a, E, C, G, K>,
    products: Products<'a, E>,
    /// What entered the recurrent product, and what was projected, as right sides of the last products.
    operands: &'a Panels<E>,
    projected: Option<&'a Panels<E>>,
    d_weight: Shared<E>,
    d_bias: Option<Shared<E>>,
    d_projection: Option<Shared<E>>,
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel for BackwardWork<'_, E, C, G, K> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Backward { sequence, plan, kept, weights, .. } = self.pass;
        let Shape { batch, time, hidden, output, .. } = sequence.shape;
        let Plan { lanes, units, outputs, .. } = plan;
        let (wide_g, steps) = (units * G * lanes, batch * time);
        // Rows of the weights that the first product is for.
        let gates = self.products.first.len() / output.max(1);
        // SAFETY: sizes were checked by `backward_with`. Workers pack and write different panels, rows and
        // columns, and read others' behind a barrier.
        unsafe {
            let row = |k| {
                let row = weight_row(k, G, hidden, lanes)?;
                Some(self.products.first.get(row * output..)?.as_ptr()).filter(|_| row < gates)
            };
            let panels = weights.hidden;
            panels.of(worker).for_each(|panel| panels.pack_rows(panel, 0..wide_g, output, row));
            if let (Some(panels), Some(second)) = (weights.projection, self.products.second) {
                let row = |k: usize| Some(second.as_ptr().add(k * hidden));
                panels.of(worker).for_each(|panel| panels.pack_rows(panel, 0..output, hidden, row));
            }
            self.pass.run(simd, worker);
            let output_steps = plan.of_outputs(sequence.shape);
            let before = |at: usize, vector: usize| {
                let (t, row) = output_steps.step_and_row(at);
                let before = if sequence.reverse { t + 1 } else { t.wrapping_sub(1) };
                match before < time {
                    true => kept.h.at(output_steps.at(before, vector, row)).cast_const(),
                    false => self.pass.h.at((row * outputs + vector) * lanes).cast_const(),
                }
            };
            for panel in self.operands.of(worker) {
                self.operands.pack_vectors(simd, panel, before);
                if let Some(recurrent_mask) = &sequence.recurrent_mask {
                    let first = panel.first * lanes;
                    for at in 0..steps {
                        let (_, row) = output_steps.step_and_row(at);
                        let recurrent_mask =
                            &recurrent_mask[row * outputs * lanes + first..][..panel.groups * lanes];
                        let operand = self.operands.row(panel, at);
                        recurrent_mask
                            .iter()
                            .enumerate()
                            .for_each(|(at, &recurrent_mask)| *operand.add(at) *= recurrent_mask);
                    }
                }
            }
            if let (Some(panels), Some(projected)) = (self.projected, &kept.projected) {
                let unit_steps = plan.of_units(sequence.shape, 1);
                let vector = |at, vector| {
                    let (t, row) = unit_steps.step_and_row(at);
                    projected.at(unit_steps.at(t, vector, row)).cast_const()
                };
                panels.of(worker).for_each(|panel| panels.pack_vectors(simd, panel, vector));
            }
            worker.wait();
            let gate_steps = plan.of_units(sequence.shape, G);
            let d_product = self.pass.d_product.at(0).cast_const();
            let left = |at, vector| {
                let (t, row) = gate_steps.step_and_row(at);
                d_product.add(gate_steps.at(t, vector, row))
            };
            let result = |column| {
                let row = weight_row(column, G, hidden, lanes)?;
                (row < gates).then(|| self.d_weight.at(row * output))
            };
            outer(simd, worker, (left, units, gate_steps.width), self.operands, output, result);
            if let Some(d_bias) = self.d_bias {
                sums(simd, worker, (d_product, gate_steps), |column, sums| {
                    for (lane, &sum) in sums.iter().enumerate() {
                        if let Some(row) = weight_row(column + lane, G, hidden, lanes) {
                            *d_bias.at(row) = sum;
                        }
                    }
                });
            }
            let d_second = match C::SECOND_PRODUCT {
                true => Some(Shared::from(self.d_weight.at(gates * output))),
                false => self.d_projection,
            };
            if let (Some(panels), Some(d_second)) = (self.projected, d_second) {
                let d_projected = self.pass.d_projected.at(0).cast_const();
                let left = |at, vector| {
                    let (t, row) = output_steps.step_and_row(at);
                    d_projected.add(output_steps.at(t, vector, row))
                };
                let result = |row| (row < output).then(|| d_second.at(row * hidden));
                outer(simd, worker, (left, outputs, lanes), panels, hidden, result);
            }
        }
    }
}

fn backward_with<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize>(
    cell: C,
    isa: Isa,
    sequence: &Sequence<E>,
    inputs: &Inputs<'_, E>,
    saved: &Saved<E>,
    (d_ys, d_state): (&[E], Option<&[E]>),
) -> Gradients<E> {
    let shape = sequence.shape;
    let Shape { batch, time, hidden, output, .. } = shape;
    let lanes = isa.lanes::<E>();
    let plan = Plan::new::<E>(shape, lanes, workers::threads());
    check::<E, C, G, K>(sequence, inputs, &plan);
    let Plan { units, outputs, workers, .. } = plan;
    let (wide_h, wide_c, wide_g) = (outputs * lanes, units * lanes, units * G * lanes);
    let cells = if C::CELL_STATE { batch * hidden } else { 0 };
    assert_eq!(d_ys.len(), batch * time * output, "{shape:?}");
    assert!(d_state.is_none_or(|state| state.len() == batch * output + cells), "{shape:?}");
    let (d_h, d_c) = d_state.map(|state| state.split_at(batch * output)).unzip();
    let dh = padded_rows(d_h, batch, output, outputs, lanes);
    let dc = padded_rows(d_c.filter(|_| C::CELL_STATE), batch, hidden, units, lanes);
    let products = Products::new(C::SECOND_PRODUCT, shape, inputs.weight, inputs.projection);
    let projects = products.second.is_some();
    let weights = Packed {
        hidden: Panels::new(wide_g, outputs, 1, lanes, workers),
        projection: projects.then(|| Panels::new(output, units, 1, lanes, workers)),
    };
    let operands = Panels::no_wider_than(OUTER_WIDEST, batch * time, outputs, 1, lanes, workers);
    let projected =
        projects.then(|| Panels::no_wider_than(OUTER_WIDEST, batch * time, units, 1, lanes, workers));
    let d_projected = Buffer::new(if projects { batch * time * wide_h } else { 0 });
    let gates = Buffer::new(batch * time * wide_g);
    let apart = C::SEPARATE_PRODUCT_GRADIENT.then(|| Buffer::new(batch * time * wide_g));
    let mut bias = inputs.bias.map(|bias| vec![E::zero(); bias.len()]);
    let mut projection = inputs.projection.map(|weight| vec![E::zero(); weight.len()]);
    // SAFETY: every size is that of `Backward`'s comments; the kernel writes every gradient of the weights.
    let weight = unsafe {
        filled(inputs.weight.len(), |d_weight| {
            let pass = Backward {
                cell,
                sequence,
                plan,
                kept: &saved.kept,
                h: &saved.h,
                c: &saved.c,
                weights: weights.views(),
                d_ys,
                dh: &dh,
                dc: &dc,
                d_gates: &gates,
                d_product: apart.as_ref().unwrap_or(&gates),
                d_projected: &d_projected,
            };
            let kernel = BackwardWork {
                pass,
                products,
                operands: &operands,
                projected: projected.as_ref(),
                d_weight,
                d_bias: bias.as_mut().map(|bias| Shared::new(bias)),
                d_projection: projection.as_mut().map(|weight| Shared::new(weight)),
            };
            workers::run_kernel(isa, workers, &kernel);
        })
    };
    let mut h = Vec::with_capacity(batch * output);
    let mut c = Vec::with_capacity(cells);
    // SAFETY: the pass has left the gradient of the initial state in both.
    unsafe {
        unpadded_rows(&dh, batch, output, wide_h, &mut h);
        if C::CELL_STATE {
            unpadded_rows(&dc, batch, hidden, wide_c, &mut c);
        }
    }
    Gradients { gates, weight, h, c: C::CELL_STATE.then_some(c), bias, projection }
}
