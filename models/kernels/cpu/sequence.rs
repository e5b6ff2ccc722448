//! A whole sequence of one layer in one direction, forward and backward: the recurrent product tile by
//! tile, and the cell's [`Pointwise`] part on each tile while it is at hand.
//!
//! What there is for every step lies as [`Steps`]: the gates of one vector of units side by side, padded to
//! whole vectors, as a tile of the product leaves them, and hidden and cell states likewise. Padding is zero
//! and stays so.
//!
//! The team splits the batch, and then nobody waits for anybody, or the units, and then all meet once a
//! step: see [`Plan`].

use std::ops::Range;

use pulp::Simd;

use super::cell::{Gradient, Pointwise, Unit};
use super::layout::Steps;
use super::memory::{Buffer, Shared};
use super::product::{NEAR, Panel, Panels, Rows, WIDEST, add_product, most_rows, multiply, tiles};
use super::simd::{Real, Vector};
use super::team::{Kernel, Member};

/// Sizes of a sequence.
#[derive(Clone, Copy, Debug)]
pub(in crate::kernels) struct Shape {
    pub batch: usize,
    pub time: usize,
    /// Units.
    pub hidden: usize,
    /// Features of the output: the projection's, or `hidden`.
    pub output: usize,
    /// Gates of a unit.
    pub gates: usize,
}

/// What a sequence is run with, beside its numbers.
pub(in crate::kernels) struct Sequence<E> {
    pub shape: Shape,
    /// Steps of each row; all where `None`.
    pub lengths: Option<Vec<usize>>,
    /// From the last step to the first.
    pub reverse: bool,
    /// How much of the old state stays.
    pub zoneout: Zoneout<E>,
    /// What the hidden state is multiplied by where it enters the product, (batch, padded output).
    pub thin: Option<Vec<E>>,
}

/// How much of the old state stays in the new one.
pub(in crate::kernels) enum Zoneout<E> {
    /// Nothing.
    Off,
    /// The same share of everything, as outside training.
    Share(E),
    /// All where a mask is one, nothing where it is zero: of the hidden and of the cell state, as [`Steps`] of
    /// outputs and of units.
    Masks(Vec<E>, Vec<E>),
}

/// Rounds up to whole vectors.
pub(in crate::kernels) fn padded(size: usize, lanes: usize) -> usize {
    size.div_ceil(lanes) * lanes
}

/// How the team divides a sequence.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Numbers of a vector.
    pub lanes: usize,
    /// Vectors of hidden units.
    pub units: usize,
    /// Vectors of outputs.
    pub outputs: usize,
    /// Members of the team.
    pub members: usize,
    /// By rows of the batch rather than by units.
    pub by_rows: bool,
}

/// Rows whose products go before their pointwise part where they are deep, and a part of a panel's depth is
/// to serve them all: their sums stay in a core's nearest cache.
const ROWS: usize = 48;

/// Multiplications of a step below which a barrier would take longer than half the step.
const FEW: usize = 50_000;

/// Multiplications of a sequence below which a second thread would take longer to wake up.
const FEWEST: usize = 500_000;

impl Plan {
    pub(super) fn new<E>(shape: Shape, lanes: usize, threads: usize) -> Self {
        let Shape { batch, time, hidden, output, gates } = shape;
        let (units, outputs) = (hidden.div_ceil(lanes), output.div_ceil(lanes));
        let weights = gates * hidden * output;
        let step = batch * weights;
        // Members that split the units read half the weights each, which matters where they come from afar.
        let by_rows = batch >= 2 * threads && (weights * size_of::<E>() <= NEAR || step < FEW);
        let members = match (by_rows, step * time < FEWEST) {
            (_, true) => 1,
            (true, _) => threads,
            (false, _) if step < FEW => 1,
            (false, _) => threads.min(units).min(outputs),
        };
        Self { lanes, units, outputs, members, by_rows }
    }

    /// Where `count` numbers of every lane of every unit lie.
    pub(super) fn of_units(&self, shape: Shape, count: usize) -> Steps {
        Steps { batch: shape.batch, time: shape.time, vectors: self.units, width: count * self.lanes }
    }

    /// Where the outputs lie.
    pub(super) fn of_outputs(&self, shape: Shape) -> Steps {
        Steps { vectors: self.outputs, ..self.of_units(shape, 1) }
    }

    /// The batch's rows of one member, and whether it must wait for others at every step.
    fn rows(&self, batch: usize, member: Member<'_>) -> (Range<usize>, bool) {
        if self.by_rows { (member.share(batch), false) } else { (0..batch, member.count > 1) }
    }

    /// One member's panels.
    fn panels<E: Real>(&self, panels: &Panels<E>, member: Member<'_>) -> Vec<Panel> {
        if self.by_rows { panels.all().to_vec() } else { panels.of(member).collect() }
    }
}

impl<E: Real> Sequence<E> {
    /// The step that comes at `position` in the order of the recurrence.
    fn step(&self, position: usize) -> usize {
        if self.reverse { self.shape.time - 1 - position } else { position }
    }

    fn is_active(&self, row: usize, t: usize) -> bool {
        self.lengths.as_ref().is_none_or(|lengths| t < lengths[row])
    }

    /// The share of the old hidden state that stays.
    ///
    /// # Safety
    /// Row, step and column must be within the sequence.
    #[inline(always)]
    unsafe fn stays_h<S: Simd>(&self, simd: S, at: usize) -> Option<Vector<S, E>> {
        match &self.zoneout {
            Zoneout::Off => None,
            Zoneout::Share(share) => Some(Vector::splat(simd, *share)),
            // SAFETY: the caller's promise.
            Zoneout::Masks(h, _) => Some(unsafe { Vector::load(simd, h.as_ptr().add(at)) }),
        }
    }

    /// The share of the old cell state that stays.
    ///
    /// # Safety
    /// As [`Sequence::stays_h`].
    #[inline(always)]
    unsafe fn stays_c<S: Simd>(&self, simd: S, at: usize) -> Option<Vector<S, E>> {
        match &self.zoneout {
            Zoneout::Off => None,
            Zoneout::Share(share) => Some(Vector::splat(simd, *share)),
            // SAFETY: the caller's promise.
            Zoneout::Masks(_, c) => Some(unsafe { Vector::load(simd, c.as_ptr().add(at)) }),
        }
    }

    /// Thins what enters the recurrent product, or the gradient that leaves it.
    ///
    /// # Safety
    /// `at` must be within (batch, padded output).
    #[inline(always)]
    unsafe fn thinned<S: Simd>(&self, simd: S, h: Vector<S, E>, at: usize) -> Vector<S, E> {
        match &self.thin {
            // SAFETY: the caller's promise.
            Some(thin) => h * unsafe { Vector::load(simd, thin.as_ptr().add(at)) },
            None => h,
        }
    }
}

/// `stays` of `old`, the rest of `new`.
#[inline(always)]
fn mixed<S: Simd, E: Real>(
    stays: Option<Vector<S, E>>,
    old: Vector<S, E>,
    new: Vector<S, E>,
) -> Vector<S, E> {
    match stays {
        Some(stays) => stays.mul_add(old, stays.complement() * new),
        None => new,
    }
}

/// The weights of a sequence, ready for the products of one pass.
#[derive(Clone, Copy)]
pub(super) struct Recurrent<'a, E> {
    /// Of the recurrent product.
    pub hidden: &'a Panels<E>,
    /// Of the projection, or of the second product of a cell that has one.
    pub projection: Option<&'a Panels<E>>,
}

/// What the backward pass needs of the forward pass.
pub(in crate::kernels) struct Kept<E> {
    /// K numbers of every unit, as [`Steps`], like all that follows.
    pub(super) units: Buffer<E>,
    /// The hidden state after each step.
    pub(super) h: Buffer<E>,
    /// The cell state after each step.
    pub(super) c: Option<Buffer<E>>,
    /// What was projected, or entered the second product.
    pub(super) projected: Option<Buffer<E>>,
}

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
    unsafe fn run<S: Simd>(&self, simd: S, member: Member<'_>) {
        // SAFETY: the caller promises the sizes of all buffers.
        unsafe { self.steps(simd, member) }
    }
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Forward<'_, E, C, G, K> {
    /// # Safety
    /// All buffers must have the sizes that `Forward` gives them.
    #[inline(always)]
    unsafe fn steps<S: Simd>(&self, simd: S, member: Member<'_>) {
        let Plan { lanes, units, outputs, .. } = self.plan;
        let Shape { batch, time, output, .. } = self.sequence.shape;
        let (wide_h, wide_c) = (outputs * lanes, units * lanes);
        let gate_steps = self.plan.of_units(self.sequence.shape, G);
        let (rows, waits) = self.plan.rows(batch, member);
        let panels = self.plan.panels(self.weights.hidden, member);
        let projection = self.weights.projection.map(|panels| (panels, self.plan.panels(panels, member)));
        let tile = Buffer::<E>::new(ROWS * WIDEST * lanes);
        let tile = tile.at(0);
        // SAFETY: rows, units and columns are within the sizes that the caller promises. Members write
        // different rows, or different columns of them, and read others' only after waiting for them.
        unsafe {
            for row in member.share(batch) {
                for column in (0..wide_h).step_by(lanes) {
                    let h = Vector::load(simd, self.h.at(row * wide_h + column));
                    let h = self.sequence.thinned(simd, h, row * wide_h + column);
                    h.store(self.operands[0].at(row * wide_h + column));
                }
            }
            member.wait();
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
                        member.wait();
                    }
                    for &panel in panels {
                        let width = panel.groups * lanes;
                        for rows in tiles(rows.clone(), ROWS) {
                            Vector::<S, E>::clear(simd, tile, rows.len() * width);
                            if C::TWICE {
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
                                    if C::TWICE {
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
                    member.wait();
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
                _ if C::TWICE => self.sequence.thinned(simd, Vector::load(simd, self.h.at(at_h)), at_h),
                // With a projection the hidden state has other columns, and no such cell looks at it.
                Some(_) => zero,
                None => Vector::load(simd, self.h.at(at_h)),
            };
            let state = self.c.at(if C::CELL_STATE { (row * units + unit) * lanes } else { 0 });
            let c = if C::CELL_STATE { Vector::load(simd, state) } else { zero };
            let new: Unit<S, E, K> = self.cell.forward(gates, product, h, c);
            let c = match (C::CELL_STATE, self.sequence.is_active(row, t)) {
                (true, true) => {
                    let stays = self.sequence.stays_c(simd, at(1));
                    let c = mixed(stays, c, new.c);
                    c.store(state);
                    c
                }
                _ => c,
            };
            if C::TWICE {
                // The second half of the step needs it, whether or not it is kept.
                let to = self.gates.at(at(K));
                (0..K).for_each(|k| new.kept[k].store(to.add(k * lanes)));
            }
            if let Some(kept) = self.kept {
                if !C::TWICE {
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
            self.sequence.thinned(simd, h, row * wide + column).store(operand.at(row * wide + column));
            if let Some(kept) = self.kept {
                h.store(kept.h.at(at));
            }
        }
    }
}

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
    /// The gradient of the recurrent product; the same memory unless the cell is [`Pointwise::APART`].
    pub d_product: &'a Buffer<E>,
    /// The gradient of what the projection or the second product gave, as [`Steps`] of outputs.
    pub d_projected: &'a Buffer<E>,
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel for Backward<'_, E, C, G, K> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, member: Member<'_>) {
        // SAFETY: the caller promises the sizes of all buffers.
        unsafe { self.steps(simd, member) }
    }
}

impl<E: Real, C: Pointwise<G, K>, const G: usize, const K: usize> Backward<'_, E, C, G, K> {
    /// # Safety
    /// All buffers must have the sizes that `Backward` gives them.
    #[inline(always)]
    unsafe fn steps<S: Simd>(&self, simd: S, member: Member<'_>) {
        let Plan { lanes, outputs, .. } = self.plan;
        let Shape { batch, time, output, .. } = self.sequence.shape;
        let wide_h = outputs * lanes;
        let gate_steps = self.plan.of_units(self.sequence.shape, G);
        let output_steps = self.plan.of_outputs(self.sequence.shape);
        let (rows, waits) = self.plan.rows(batch, member);
        let panels = self.plan.panels(self.weights.hidden, member);
        let projection = self.weights.projection.map(|panels| (panels, self.plan.panels(panels, member)));
        let tile = Buffer::<E>::new(ROWS * WIDEST * lanes);
        let tile = tile.at(0);
        // SAFETY: as in `Forward::steps`.
        unsafe {
            member.wait();
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
                                let product = self.sequence.thinned(simd, product, row * wide_h + column);
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
                                if C::TWICE {
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
                        member.wait();
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
                    member.wait();
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
                if C::APART {
                    Vector::<S, E>::clear(simd, d_product, G * lanes);
                }
                return;
            }
            let zero = Vector::zero(simd);
            let (mut h, mut c, mut dc) = (zero, zero, zero);
            let at_h = (row * outputs + unit) * lanes;
            if C::TWICE {
                h = self.sequence.thinned(simd, self.before(simd, row, position, unit), at_h);
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
            (0..if C::TWICE { 1 } else { G }).for_each(|g| gradient.x[g].store(d_gates.add(g * lanes)));
            if C::APART {
                (0..G).for_each(|g| gradient.product[g].store(d_product.add(g * lanes)));
            }
            if C::CELL_STATE {
                let dc = stays.map_or(gradient.c, |stays| gradient.c + stays);
                dc.store(state);
            }
            if let Some(mut direct) = gradient.h {
                if C::TWICE {
                    direct = self.sequence.thinned(simd, direct, at_h);
                }
                let state = self.dh.at(at_h);
                (Vector::load(simd, state) + direct).store(state);
            }
        }
    }
}
