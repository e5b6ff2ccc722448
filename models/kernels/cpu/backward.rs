//! The backward pass of a sequence: see `sequence.rs`.

use pulp::Simd;

use super::cell::{Gradient, Pointwise};
use super::memory::Buffer;
use super::product::{WIDEST, add_product, tiles};
use super::sequence::{Kept, Plan, ROWS, Recurrent, Sequence, Shape};
use super::simd::{Real, Vector};
use super::workers::{Kernel, Worker};

/// The backward pass of a sequence.
pub(super) struct Backward<'a, E, C, const G: usize, const K: usize> {
    pub cell: C,
    pub sequence: &'a Sequence<E>,
    pub plan: Plan,
    pub kept: &'a Kept<E>,
    /// The initial state, padded as in [`Forward`].
    pub h: &'a Buffer<E>,
    pub c: &'a Buffer<E>,
    /// Of the backward products: from gates to the hidden state, and from the projection to the units.
    pub weights: Recurrent<'a, E>,
    /// The gradient of the outputs, (batch, time, output).
    pub d_ys: &'a [E],
    /// The gradient of the state, padded: of the final one before, of the initial one after.
    pub dh: &'a Buffer<E>,
    pub dc: &'a Buffer<E>,
    /// The gradient of the input's part of the gates.
    pub d_gates: &'a Buffer<E>,
    /// The gradient of the recurrent product; the same memory unless the cell is [`Pointwise::SEPARATE_PRODUCT_GRADIENT`].
    pub d_product: &'a Buffer<E>,
    /// The gradient of what the projection or the second product gave, as [`SequenceLayout`] of outputs.
    pub d_projected: &'a Buffer<E>,
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel for Backward<'_, E, C, G, K> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller promises the sizes of all buffers.
        unsafe { self.steps(simd, worker) }
    }
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Backward<'_, E, C, G, K> {
    /// # Safety
    /// All buffers must have the sizes that `Backward` gives them.
    #[inline(always)]
    unsafe fn steps<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Plan { lanes, outputs, .. } = self.plan;
        let Shape { batch, time, output, .. } = self.sequence.shape;
        let wide_h = outputs * lanes;
        let gate_steps = self.plan.of_units(self.sequence.shape, G);
        let output_steps = self.plan.of_outputs(self.sequence.shape);
        let (rows, waits) = self.plan.rows(batch, worker);
        let panels = self.plan.panels(self.weights.hidden, worker);
        let projection = self.weights.projection.map(|panels| (panels, self.plan.panels(panels, worker)));
        let tile = Buffer::<E>::new(ROWS * WIDEST * lanes);
        let tile = tile.at(0);
        // SAFETY: as in `Forward::steps`.
        unsafe {
            worker.wait();
            // One round more than there are steps: the last takes the gradient to the initial state.
            for position in (0..=time).rev() {
                for &panel in &panels {
                    let width = panel.groups * lanes;
                    for rows in tiles(rows.clone(), ROWS) {
                        Vector::<S, E>::clear(simd, tile, rows.len() * width);
                        if position < time {
                            let t = self.sequence.step(position);
                            let left = gate_steps.rows(self.d_product.at(0).cast_const(), t, rows.start);
                            add_product(simd, rows.len(), left, (self.weights.hidden, panel), tile);
                        }
                        for (place, row) in rows.enumerate() {
                            for group in 0..panel.groups {
                                let column = (panel.first + group) * lanes;
                                let product = Vector::load(simd, tile.add(place * width + group * lanes));
                                let product = self.sequence.masked(simd, product, row * wide_h + column);
                                let state = self.dh.at(row * wide_h + column);
                                let mut dh = product + Vector::load(simd, state);
                                if position == 0 {
                                    dh.store(state);
                                    continue;
                                }
                                let t = self.sequence.step(position - 1);
                                let at = output_steps.at(t, panel.first + group, row);
                                let mut stays = dh;
                                if self.sequence.is_active(row, t) {
                                    let dy = self.d_ys.as_ptr().add((row * time + t) * output + column);
                                    dh = dh + Vector::load_first(simd, dy, output - column);
                                    stays = dh.zeroed();
                                    if let Some(share) = self.sequence.stays_h(simd, at) {
                                        stays = dh * share;
                                        dh = dh * share.complement();
                                    }
                                } else {
                                    dh = dh.zeroed();
                                }
                                stays.store(state);
                                if C::SECOND_PRODUCT {
                                    self.finish(simd, (row, position, panel.first + group), dh);
                                } else if projection.is_some() {
                                    dh.store(self.d_projected.at(at));
                                } else {
                                    self.unit(simd, (row, position, panel.first + group), dh);
                                }
                            }
                        }
                    }
                }
                if let Some((weights, panels)) = projection.as_ref().filter(|_| position > 0) {
                    if waits {
                        worker.wait();
                    }
                    for &panel in panels {
                        let width = panel.groups * lanes;
                        for rows in tiles(rows.clone(), ROWS) {
                            Vector::<S, E>::clear(simd, tile, rows.len() * width);
                            let t = self.sequence.step(position - 1);
                            let left = output_steps.rows(self.d_projected.at(0).cast_const(), t, rows.start);
                            add_product(simd, rows.len(), left, (*weights, panel), tile);
                            for (at, row) in rows.enumerate() {
                                for group in 0..panel.groups {
                                    let dh = Vector::load(simd, tile.add(at * width + group * lanes));
                                    self.unit(simd, (row, position, panel.first + group), dh);
                                }
                            }
                        }
                    }
                }
                if waits {
                    worker.wait();
                }
            }
        }
    }

    /// The second half of such a step, for a cell with a second product: writes the gradients of that product
    /// and of the gates that it does not depend on.
    #[inline(always)]
    unsafe fn finish<S: Simd>(
        &self,
        simd: S,
        (row, position, unit): (usize, usize, usize),
        dh: Vector<S, E>,
    ) {
        let Plan { lanes, outputs, .. } = self.plan;
        let t = self.sequence.step(position - 1);
        let at = |count| self.plan.of_units(self.sequence.shape, count).at(t, unit, row);
        // SAFETY: as in `steps`, whose promise this is.
        unsafe {
            let kept = Vector::load_all(simd, self.kept.units.at(at(K)));
            let (gates, direct) = self.cell.finish_backward(kept, self.before(simd, row, position, unit), dh);
            (0..G).for_each(|g| gates[g].store(self.d_gates.at(at(G)).add(g * lanes)));
            gates[G - 1].store(self.d_projected.at(at(1)));
            let state = self.dh.at((row * outputs + unit) * lanes);
            (Vector::load(simd, state) + direct).store(state);
        }
    }

    /// The hidden state before a step.
    ///
    /// # Safety
    /// As in `steps`; without a projection, when outputs are units.
    #[inline(always)]
    unsafe fn before<S: Simd>(&self, simd: S, row: usize, position: usize, unit: usize) -> Vector<S, E> {
        let at = match position > 1 {
            true => {
                let steps = self.plan.of_outputs(self.sequence.shape);
                self.kept.h.at(steps.at(self.sequence.step(position - 2), unit, row))
            }
            false => self.h.at((row * self.plan.outputs + unit) * self.plan.lanes),
        };
        // SAFETY: the caller's promise.
        unsafe { Vector::load(simd, at) }
    }

    /// One vector of units at the step before `position` in the recurrence, whose new hidden state (or, for a
    /// cell with a second product, what entered that) has the gradient `dh`: writes the gradients of the gates and moves those of the state a step back.
    #[inline(always)]
    unsafe fn unit<S: Simd>(&self, simd: S, (row, position, unit): (usize, usize, usize), dh: Vector<S, E>) {
        let Plan { lanes, units, outputs, .. } = self.plan;
        let t = self.sequence.step(position - 1);
        let before = (position > 1).then(|| self.sequence.step(position - 2));
        let at = |count, t| self.plan.of_units(self.sequence.shape, count).at(t, unit, row);
        // SAFETY: as in `steps`, whose promise this is.
        unsafe {
            let [d_gates, d_product] = [self.d_gates, self.d_product].map(|to| to.at(at(G, t)));
            if !self.sequence.is_active(row, t) {
                Vector::<S, E>::clear(simd, d_gates, G * lanes);
                if C::SEPARATE_PRODUCT_GRADIENT {
                    Vector::<S, E>::clear(simd, d_product, G * lanes);
                }
                return;
            }
            let zero = Vector::zero(simd);
            let (mut h, mut c, mut dc) = (zero, zero, zero);
            let at_h = (row * outputs + unit) * lanes;
            if C::SECOND_PRODUCT {
                h = self.sequence.masked(simd, self.before(simd, row, position, unit), at_h);
            } else if self.weights.projection.is_none() {
                h = self.before(simd, row, position, unit);
            }
            let state = self.dc.at(if C::CELL_STATE { (row * units + unit) * lanes } else { 0 });
            let mut stays = None;
            if let Some(cs) = &self.kept.c {
                c = Vector::load(
                    simd,
                    match before {
                        Some(before) => cs.at(at(1, before)),
                        None => self.c.at((row * units + unit) * lanes),
                    },
                );
                dc = Vector::load(simd, state);
                if let Some(share) = self.sequence.stays_c(simd, at(1, t)) {
                    stays = Some(dc * share);
                    dc = dc * share.complement();
                }
            }
            let kept = Vector::load_all(simd, self.kept.units.at(at(K, t)));
            let gradient: Gradient<S, E, G> = self.cell.backward(kept, h, c, dh, dc);
            // Of a cell with a second product the last gates are written by `finish`.
            (0..if C::SECOND_PRODUCT { 1 } else { G })
                .for_each(|g| gradient.x[g].store(d_gates.add(g * lanes)));
            if C::SEPARATE_PRODUCT_GRADIENT {
                (0..G).for_each(|g| gradient.product[g].store(d_product.add(g * lanes)));
            }
            if C::CELL_STATE {
                let dc = stays.map_or(gradient.c, |stays| gradient.c + stays);
                dc.store(state);
            }
            if let Some(mut direct) = gradient.h {
                if C::SECOND_PRODUCT {
                    direct = self.sequence.masked(simd, direct, at_h);
                }
                let state = self.dh.at(at_h);
                (Vector::load(simd, state) + direct).store(state);
            }
        }
    }
}
