//! The forward pass of a sequence: see `sequence.rs`.

use pulp::Simd;

use super::cell::{CellOutput, Pointwise};
use super::memory::{Buffer, Shared};
use super::product::{Rows, WIDEST, add_product, most_rows, multiply, tiles};
use super::sequence::{Kept, Plan, ROWS, Recurrent, Sequence, Shape, mixed};
use super::simd::{Real, Vector};
use super::workers::{Kernel, Worker};

/// The forward pass of a sequence.
pub(super) struct Forward<'a, E, C, const G: usize, const K: usize> {
    pub cell: C,
    pub sequence: &'a Sequence<E>,
    pub plan: Plan,
    /// The input's part of the gates; the same memory as what is kept of the units, where that is as much. A cell
    /// with a second product keeps its units there in any case.
    pub gates: &'a Buffer<E>,
    /// The recurrent bias, (units, G, lanes).
    pub bias: &'a Buffer<E>,
    pub weights: Recurrent<'a, E>,
    /// The state, (batch, padded output) and (batch, padded hidden): initial before, final after.
    pub h: &'a Buffer<E>,
    pub c: &'a Buffer<E>,
    /// (batch, time, output).
    pub ys: Shared<E>,
    pub kept: Option<&'a Kept<E>>,
    /// What enters the product, twice (batch, padded output): for this step, and for the next.
    pub operands: [&'a Buffer<E>; 2],
    /// What enters the projection, or the second product, (batch, padded hidden).
    pub unprojected: &'a Buffer<E>,
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel for Forward<'_, E, C, G, K> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller promises the sizes of all buffers.
        unsafe { self.steps(simd, worker) }
    }
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Forward<'_, E, C, G, K> {
    /// # Safety
    /// All buffers must have the sizes that `Forward` gives them.
    #[inline(always)]
    unsafe fn steps<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Plan { lanes, units, outputs, .. } = self.plan;
        let Shape { batch, time, output, .. } = self.sequence.shape;
        let (wide_h, wide_c) = (outputs * lanes, units * lanes);
        let gate_steps = self.plan.of_units(self.sequence.shape, G);
        let (rows, waits) = self.plan.rows(batch, worker);
        let panels = self.plan.panels(self.weights.hidden, worker);
        let projection = self.weights.projection.map(|panels| (panels, self.plan.panels(panels, worker)));
        let tile = Buffer::<E>::new(ROWS * WIDEST * lanes);
        let tile = tile.at(0);
        // SAFETY: rows, units and columns are within the sizes that the caller promises. Workers write
        // different rows, or different columns of them, and read others' only after waiting for them.
        unsafe {
            for row in worker.share(batch) {
                for column in (0..wide_h).step_by(lanes) {
                    let h = Vector::load(simd, self.h.at(row * wide_h + column));
                    let h = self.sequence.masked(simd, h, row * wide_h + column);
                    h.store(self.operands[0].at(row * wide_h + column));
                }
            }
            worker.wait();
            for position in 0..time {
                let t = self.sequence.step(position);
                let [from, to] = [position % 2, (position + 1) % 2].map(|at| self.operands[at]);
                for &panel in &panels {
                    let width = panel.groups * G * lanes;
                    // Tile by tile: the pointwise part of one overlaps with the product of the next.
                    for rows in tiles(rows.clone(), most_rows::<S>(panel.groups * G)) {
                        let gates = |row: usize, group: usize| {
                            let at = gate_steps.at(t, panel.first + group, row);
                            Vector::load_all::<G>(simd, self.gates.at(at))
                        };
                        for (at, row) in rows.clone().enumerate() {
                            for group in 0..panel.groups {
                                let bias = self.bias.at((panel.first + group) * G * lanes);
                                let start = self.cell.start(gates(row, group), Vector::load_all(simd, bias));
                                let to = tile.add(at * width + group * G * lanes);
                                (0..G).for_each(|g| start[g].store(to.add(g * lanes)));
                            }
                        }
                        let left = Rows::new(from.at(rows.start * wide_h), wide_h);
                        let right = self.weights.hidden.row(panel, 0).cast_const();
                        let size = (rows.len(), panel.groups * G);
                        multiply(simd, size, output, left, right, tile, std::ptr::null());
                        for (at, row) in rows.enumerate() {
                            for group in 0..panel.groups {
                                let product = tile.add(at * width + group * G * lanes);
                                let product = Vector::load_all(simd, product);
                                let unit = panel.first + group;
                                let h = self.unit(simd, (row, t, unit), gates(row, group), product);
                                if projection.is_none() {
                                    self.output(simd, (row, t, unit * lanes), h, to);
                                } else {
                                    h.store(self.unprojected.at(row * wide_c + unit * lanes));
                                }
                            }
                        }
                    }
                }
                if let Some((weights, panels)) = &projection {
                    if waits {
                        worker.wait();
                    }
                    for &panel in panels {
                        let width = panel.groups * lanes;
                        for rows in tiles(rows.clone(), ROWS) {
                            Vector::<S, E>::clear(simd, tile, rows.len() * width);
                            if C::SECOND_PRODUCT {
                                for (at, row) in rows.clone().enumerate() {
                                    for group in 0..panel.groups {
                                        let kept = self.gates.at(gate_steps.at(t, panel.first + group, row));
                                        let last = Vector::<S, E>::load(simd, kept.add((K - 1) * lanes));
                                        last.store(tile.add(at * width + group * lanes));
                                    }
                                }
                            }
                            let left = Rows::new(self.unprojected.at(rows.start * wide_c), wide_c);
                            add_product(simd, rows.len(), left, (*weights, panel), tile);
                            for (at, row) in rows.enumerate() {
                                for group in 0..panel.groups {
                                    let mut h = Vector::load(simd, tile.add(at * width + group * lanes));
                                    if C::SECOND_PRODUCT {
                                        let kept = self.gates.at(gate_steps.at(t, panel.first + group, row));
                                        let old = self.h.at(row * wide_h + (panel.first + group) * lanes);
                                        let (of, old) =
                                            (Vector::load_all(simd, kept), Vector::load(simd, old));
                                        let [new, last] = self.cell.finish(of, h, old);
                                        last.store(kept.add((K - 1) * lanes));
                                        h = new;
                                    }
                                    self.output(simd, (row, t, (panel.first + group) * lanes), h, to);
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

    /// One vector of units at one step: updates the cell state, keeps what is kept, and returns the new
    /// hidden state.
    #[inline(always)]
    unsafe fn unit<S: Simd>(
        &self,
        simd: S,
        (row, t, unit): (usize, usize, usize),
        gates: [Vector<S, E>; G],
        product: [Vector<S, E>; G],
    ) -> Vector<S, E> {
        let Plan { lanes, units, outputs, .. } = self.plan;
        let at = |count| self.plan.of_units(self.sequence.shape, count).at(t, unit, row);
        // SAFETY: as in `steps`, whose promise this is.
        unsafe {
            let zero = Vector::zero(simd);
            let at_h = (row * outputs + unit) * lanes;
            let h = match self.weights.projection {
                // What enters the second product is made of what enters the first.
                _ if C::SECOND_PRODUCT => {
                    self.sequence.masked(simd, Vector::load(simd, self.h.at(at_h)), at_h)
                }
                // With a projection the hidden state has other columns, and no such cell looks at it.
                Some(_) => zero,
                None => Vector::load(simd, self.h.at(at_h)),
            };
            let state = self.c.at(if C::CELL_STATE { (row * units + unit) * lanes } else { 0 });
            let c = if C::CELL_STATE { Vector::load(simd, state) } else { zero };
            let new: CellOutput<S, E, K> = self.cell.forward(gates, product, h, c);
            let c = match (C::CELL_STATE, self.sequence.is_active(row, t)) {
                (true, true) => {
                    let stays = self.sequence.stays_c(simd, at(1));
                    let c = mixed(stays, c, new.c);
                    c.store(state);
                    c
                }
                _ => c,
            };
            if C::SECOND_PRODUCT {
                // The second half of the step needs it, whether or not it is kept.
                let to = self.gates.at(at(K));
                (0..K).for_each(|k| new.kept[k].store(to.add(k * lanes)));
            }
            if let Some(kept) = self.kept {
                if !C::SECOND_PRODUCT {
                    let to = kept.units.at(at(K));
                    (0..K).for_each(|k| new.kept[k].store(to.add(k * lanes)));
                }
                if let Some(cs) = &kept.c {
                    c.store(cs.at(at(1)));
                }
                if let Some(projected) = &kept.projected {
                    new.h.store(projected.at(at(1)));
                }
            }
            new.h
        }
    }

    /// The output at some columns of one row and step: updates the hidden state and what enters the next
    /// product.
    #[inline(always)]
    unsafe fn output<S: Simd>(
        &self,
        simd: S,
        (row, t, column): (usize, usize, usize),
        h: Vector<S, E>,
        operand: &Buffer<E>,
    ) {
        let wide = self.plan.outputs * self.plan.lanes;
        let Shape { time, output, .. } = self.sequence.shape;
        let at = self.plan.of_outputs(self.sequence.shape).at(t, column / self.plan.lanes, row);
        // SAFETY: as in `steps`, whose promise this is.
        unsafe {
            let state = self.h.at(row * wide + column);
            let old = Vector::load(simd, state);
            let (h, y) = if self.sequence.is_active(row, t) {
                let h = mixed(self.sequence.stays_h(simd, at), old, h);
                h.store(state);
                (h, h)
            } else {
                (old, old.zeroed())
            };
            y.store_first(self.ys.at((row * time + t) * output + column), output - column);
            self.sequence.masked(simd, h, row * wide + column).store(operand.at(row * wide + column));
            if let Some(kept) = self.kept {
                h.store(kept.h.at(at));
            }
        }
    }
}
