//! The steps of the backward pass.

use std::ops::Range;

use pulp::Simd;

use super::super::cell::{CellGradient, Pointwise};
use super::super::memory::Buffer;
use super::super::product::{GradientOperand, LeftRows, Panel, SumVector, add_product};
use super::super::simd::Vector;
use super::super::workers::{Kernel, Worker};
use super::arguments::SavedActivations;
use super::packed::StepPanels;
use super::plan::Plan;
use super::sequence::Sequence;
use super::shape::SequenceShape;
use super::step_product::{StepProduct, WorkerProducts};

/// The backward pass of a sequence.
pub(super) struct BackwardPass<'a, O: GradientOperand, C, const G: usize, const K: usize> {
    pub(super) cell: C,
    pub(super) sequence: &'a Sequence<O::Sum>,
    pub(super) plan: Plan,
    pub(super) saved: &'a SavedActivations<O::Sum>,
    /// Right-hand sides of the backward products: from gates to hidden state, and from outputs of the projection
    /// (or of the second product) to units.
    pub(super) panels: &'a StepPanels<O>,
    /// The gradient of the outputs, (batch, time, output).
    pub(super) d_ys: &'a [O::Sum],
    /// The gradient of the state, padded: at first of the final, at last of the initial state.
    pub(super) dh: &'a Buffer<O::Sum>,
    pub(super) dc: &'a Buffer<O::Sum>,
    /// The gradient of the input's part of the gates.
    pub(super) d_gates: &'a Buffer<O>,
    /// The gradient of the recurrent product; the same buffer unless the cell has
    /// [`Pointwise::SEPARATE_PRODUCT_GRADIENT`].
    pub(super) d_product: &'a Buffer<O>,
    /// The gradient of the projection or of the second product, in the layout of outputs.
    pub(super) d_second: &'a Buffer<O>,
}

impl<O: GradientOperand, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel
    for BackwardPass<'_, O, C, G, K>
{
    /// # Safety
    /// All buffers must have the sizes that the fields of [`BackwardPass`] state.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let time = self.sequence.shape.time;
        let active = &*self.sequence.active;
        let WorkerProducts { recurrent, second, synchronises, sums } =
            WorkerProducts::new(&self.plan, active, self.panels, worker);
        let sums = sums.at(0);
        // SAFETY: rows and columns are within the sizes that the caller promises. Workers write different rows,
        // or different columns of them, and read those of others only after a barrier.
        unsafe {
            worker.wait();
            // One more round than there are steps: the last one computes the gradient of the initial state.
            for position in (0..=time).rev() {
                let round = BackwardRound { pass: self, position };
                recurrent.run(simd, &StateGradient(&round), round.later_rows().max(round.rows()), sums);
                if let Some(second) = second.as_ref().filter(|_| position > 0) {
                    if synchronises {
                        worker.wait();
                    }
                    second.run(simd, &SecondGradient(&round), round.rows(), sums);
                }
                if synchronises {
                    worker.wait();
                }
            }
        }
    }
}

/// One round of the backward pass. It passes the gradient back through the recurrent product of the step at
/// `position`, if there is such a step, and then through the cell at `position - 1`.
///
/// All functions are unsafe for the reason of [`BackwardPass::run`]; rows, units and outputs must be within the
/// sizes, `unit` and `output` counted in vectors. All but [`BackwardRound::hidden`] need `position > 0`.
struct BackwardRound<'a, O: GradientOperand, C, const G: usize, const K: usize> {
    pass: &'a BackwardPass<'a, O, C, G, K>,
    position: usize,
}

impl<O: GradientOperand, C: Pointwise<G, K>, const G: usize, const K: usize> BackwardRound<'_, O, C, G, K> {
    /// Return the time step of the cell.
    #[inline(always)]
    fn t(&self) -> usize {
        self.pass.sequence.time_step(self.position - 1)
    }

    /// Return the number of rows at the time step of the cell.
    fn rows(&self) -> usize {
        if self.position == 0 { 0 } else { self.pass.sequence.active.count(self.t()) }
    }

    /// Return the number of rows at the time step at `position`.
    fn later_rows(&self) -> usize {
        let sequence = self.pass.sequence;
        match self.position < sequence.shape.time {
            true => sequence.active.count(sequence.time_step(self.position)),
            false => 0,
        }
    }

    /// Return the time step whose state the cell has read, unless the cell's is the first active step of the row.
    #[inline(always)]
    fn step_before(&self, row: usize) -> Option<usize> {
        let sequence = self.pass.sequence;
        let t = (self.position > 1).then(|| sequence.time_step(self.position - 2))?;
        (row < sequence.active.count(t)).then_some(t)
    }

    /// Return the index of the first of `count` numbers per unit at the time step of the cell.
    #[inline(always)]
    fn unit_index(&self, count: usize, row: usize, unit: usize) -> usize {
        self.pass.plan.unit_layout(self.pass.sequence.shape, count).at(self.t(), unit, row)
    }

    /// Return the index of the first operand of the gates of a unit at the time step of the cell.
    #[inline(always)]
    fn gate_index(&self, row: usize, unit: usize) -> usize {
        self.pass.plan.unit_operands::<O>(self.pass.sequence.shape, G).at(self.t(), unit, row)
    }

    /// Return the index of the first operand of the second product at the time step of the cell.
    #[inline(always)]
    fn second_index(&self, row: usize, output: usize) -> usize {
        self.pass.plan.output_operands::<O>(self.pass.sequence.shape).at(self.t(), output, row)
    }

    /// Complete the gradient of one vector of the hidden state after the cell, and pass it on. `product` is the part
    /// through the recurrent product of the later step.
    #[inline(always)]
    unsafe fn hidden<S: Simd>(&self, simd: S, (row, output): (usize, usize), product: SumVector<S, O>) {
        let (pass, sequence) = (self.pass, self.pass.sequence);
        let SequenceShape { time, output: features, .. } = sequence.shape;
        let column = output * pass.plan.lanes;
        let h_index = row * pass.plan.h_width() + column;
        // SAFETY: the caller's promise.
        unsafe {
            let state = pass.dh.at(h_index);
            let dh = sequence.masked(simd, product, h_index) + Vector::load(simd, state);
            if row >= self.rows() {
                dh.store(state);
                return;
            }
            let t = self.t();
            let index = pass.plan.output_layout(sequence.shape).at(t, output, row);
            let dy = pass.d_ys.as_ptr().add((sequence.active.sequence(row) * time + t) * features + column);
            let dh = dh + Vector::load_first(simd, dy, features - column);
            // Zoneout passes a part to the state before the cell.
            let (retained_dh, dh) = sequence.retained_h(simd, index).blend_backward(dh);
            retained_dh.unwrap_or(dh.zeroed()).store(state);
            if C::SECOND_PRODUCT {
                self.finish(simd, (row, output), dh);
            } else if pass.panels.second.is_some() {
                O::store_rounded(dh, pass.d_second.at(self.second_index(row, output)));
            } else {
                self.cell(simd, (row, output), dh);
            }
        }
    }

    /// Compute the backward pass of [`Pointwise::finish`] for one vector of units whose new hidden state has the
    /// gradient `dh`: write the gradients of the second product and of the gates that it does not depend on.
    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, simd: S, (row, unit): (usize, usize), dh: SumVector<S, O>) {
        let pass = self.pass;
        let Plan { lanes, output_vectors, .. } = pass.plan;
        // SAFETY: the caller's promise.
        unsafe {
            let saved = Vector::load_all(simd, pass.saved.cells.at(self.unit_index(K, row, unit)));
            let (gates, direct) = pass.cell.finish_backward(saved, self.old_h(simd, row, unit), dh);
            let d_gates = pass.d_gates.at(self.gate_index(row, unit));
            let gates = self.without_padding(unit, gates);
            for (g, gate) in gates.iter().enumerate() {
                O::store_rounded(*gate, d_gates.add(g * lanes));
            }
            O::store_rounded(gates[G - 1], pass.d_second.at(self.second_index(row, unit)));
            let state = pass.dh.at((row * output_vectors + unit) * lanes);
            (Vector::load(simd, state) + direct).store(state);
        }
    }

    /// Return the hidden state before the cell, whose outputs are its units.
    #[inline(always)]
    unsafe fn old_h<S: Simd>(&self, simd: S, row: usize, unit: usize) -> SumVector<S, O> {
        let pass = self.pass;
        let address = match self.step_before(row) {
            Some(t) => pass.saved.h.at(pass.plan.output_layout(pass.sequence.shape).at(t, unit, row)),
            None => pass.saved.initial_h.at((row * pass.plan.output_vectors + unit) * pass.plan.lanes),
        };
        // SAFETY: the caller's promise.
        unsafe { Vector::load(simd, address) }
    }

    /// Return the cell state before the cell.
    #[inline(always)]
    unsafe fn old_c<S: Simd>(
        &self,
        simd: S,
        cs: &Buffer<O::Sum>,
        (row, unit): (usize, usize),
    ) -> SumVector<S, O> {
        let pass = self.pass;
        let address = match self.step_before(row) {
            Some(t) => cs.at(pass.plan.unit_layout(pass.sequence.shape, 1).at(t, unit, row)),
            None => pass.saved.initial_c.at((row * pass.plan.unit_vectors + unit) * pass.plan.lanes),
        };
        // SAFETY: the caller's promise.
        unsafe { Vector::load(simd, address) }
    }

    /// Compute the backward pass of [`Pointwise::forward`] for one vector of units. `dh` is the gradient of the new
    /// hidden state or of the operand of the second product. Write the gradients of the gates, and replace the gradient
    /// of the state by that of the state before the cell.
    #[inline(always)]
    unsafe fn cell<S: Simd>(&self, simd: S, (row, unit): (usize, usize), dh: SumVector<S, O>) {
        let (pass, sequence) = (self.pass, self.pass.sequence);
        let Plan { lanes, unit_vectors, output_vectors, .. } = pass.plan;
        // SAFETY: the caller's promise.
        unsafe {
            let zero = Vector::zero(simd);
            let (mut h, mut c, mut dc) = (zero, zero, zero);
            let h_index = (row * output_vectors + unit) * lanes;
            if C::SECOND_PRODUCT {
                h = sequence.masked(simd, self.old_h(simd, row, unit), h_index);
            } else if pass.panels.second.is_none() {
                h = self.old_h(simd, row, unit);
            }
            let state = pass.dc.at(if C::CELL_STATE { (row * unit_vectors + unit) * lanes } else { 0 });
            // Zoneout passes this part to the state before the cell.
            let mut retained_dc = None;
            if let Some(cs) = &pass.saved.c {
                c = self.old_c(simd, cs, (row, unit));
                dc = Vector::load(simd, state);
                let retained = sequence.retained_c(simd, self.unit_index(1, row, unit));
                (retained_dc, dc) = retained.blend_backward(dc);
            }
            let saved = Vector::load_all(simd, pass.saved.cells.at(self.unit_index(K, row, unit)));
            let gradient: CellGradient<S, O::Sum, G> =
                pass.cell.backward::<O::Digits, _, _>(saved, h, c, dh, dc);
            self.store_gates((row, unit), &gradient);
            if C::CELL_STATE {
                let dc = retained_dc.map_or(gradient.c, |retained_dc| gradient.c + retained_dc);
                dc.store(state);
            }
            if let Some(mut direct) = gradient.h {
                if C::SECOND_PRODUCT {
                    direct = sequence.masked(simd, direct, h_index);
                }
                let state = pass.dh.at(h_index);
                (Vector::load(simd, state) + direct).store(state);
            }
        }
    }

    /// Return the gradients of the gates of a vector of units with zeros in its padding, which the depth of the
    /// products that follow includes. There they may be NaN: the padding of the weights is zero, and its product with
    /// an infinite input or gradient is NaN.
    #[inline(always)]
    fn without_padding<S: Simd>(&self, unit: usize, mut gates: [SumVector<S, O>; G]) -> [SumVector<S, O>; G] {
        let lanes = self.pass.plan.lanes;
        let units = self.pass.sequence.shape.hidden - unit * lanes;
        if units < lanes {
            // A loop, not a closure: closures are compiled without the instruction set.
            for gate in &mut gates {
                *gate = gate.first(units);
            }
        }
        gates
    }

    /// Write the gradients of the gates. [`BackwardRound::finish`] has written those of all but the first gate of
    /// a cell with a second product.
    #[inline(always)]
    unsafe fn store_gates<S: Simd>(
        &self,
        (row, unit): (usize, usize),
        gradient: &CellGradient<S, O::Sum, G>,
    ) {
        let (pass, lanes) = (self.pass, self.pass.plan.lanes);
        let index = self.gate_index(row, unit);
        // SAFETY: the caller's promise.
        unsafe {
            let d_gates = pass.d_gates.at(index);
            let count = if C::SECOND_PRODUCT { 1 } else { G };
            for (g, gate) in self.without_padding(unit, gradient.x).iter().take(count).enumerate() {
                O::store_rounded(*gate, d_gates.add(g * lanes));
            }
            if C::SEPARATE_PRODUCT_GRADIENT {
                let d_product = pass.d_product.at(index);
                for (g, gate) in self.without_padding(unit, gradient.product).iter().enumerate() {
                    O::store_rounded(*gate, d_product.add(g * lanes));
                }
            }
        }
    }
}

/// `d_product W_h`: from the gates of the later step to the hidden state between the two.
struct StateGradient<'a, O: GradientOperand, C, const G: usize, const K: usize>(
    &'a BackwardRound<'a, O, C, G, K>,
);

impl<O: GradientOperand, C: Pointwise<G, K>, const G: usize, const K: usize> StepProduct<O>
    for StateGradient<'_, O, C, G, K>
{
    #[inline(always)]
    unsafe fn start<S: Simd>(&self, simd: S, _row: usize, _output: usize, sums: *mut O::Sum) {
        // SAFETY: the caller's promise.
        unsafe { Vector::zero(simd).store(sums) };
    }

    /// Add the product for the rows that have a later step; that of the others is zero.
    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, simd: S, rows: Range<usize>, panel: Panel, sums: *mut O::Sum) {
        let (pass, position) = (self.0.pass, self.0.position);
        let sequence = pass.sequence;
        let rows = rows.start..rows.end.min(self.0.later_rows());
        if !rows.is_empty() {
            let layout = pass.plan.unit_operands::<O>(sequence.shape, G);
            // SAFETY: the caller's promise.
            unsafe {
                let d_product = pass.d_product.at(0).cast_const();
                let left = layout.rows_of_step(d_product, sequence.time_step(position), rows.start);
                add_product(simd, rows.len(), left, (&pass.panels.hidden, panel), sums);
            }
        }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, simd: S, row: usize, output: usize, sums: *mut O::Sum) {
        // SAFETY: the caller's promise.
        unsafe { self.0.hidden(simd, (row, output), Vector::load(simd, sums)) };
    }
}

/// The gradient from the outputs of the projection, or of the second product, to its operand, and through the cell.
struct SecondGradient<'a, O: GradientOperand, C, const G: usize, const K: usize>(
    &'a BackwardRound<'a, O, C, G, K>,
);

impl<O: GradientOperand, C: Pointwise<G, K>, const G: usize, const K: usize> StepProduct<O>
    for SecondGradient<'_, O, C, G, K>
{
    #[inline(always)]
    unsafe fn start<S: Simd>(&self, simd: S, _row: usize, _unit: usize, sums: *mut O::Sum) {
        // SAFETY: the caller's promise.
        unsafe { Vector::zero(simd).store(sums) };
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, simd: S, rows: Range<usize>, panel: Panel, sums: *mut O::Sum) {
        let pass = self.0.pass;
        let Some(panels) = &pass.panels.second else { return };
        let layout = pass.plan.output_operands::<O>(pass.sequence.shape);
        // SAFETY: the caller's promise.
        unsafe {
            let d_second = pass.d_second.at(0).cast_const();
            let left: LeftRows<O> = layout.rows_of_step(d_second, self.0.t(), rows.start);
            add_product(simd, rows.len(), left, (panels, panel), sums);
        }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, simd: S, row: usize, unit: usize, sums: *mut O::Sum) {
        // SAFETY: the caller's promise.
        unsafe { self.0.cell(simd, (row, unit), Vector::load(simd, sums)) };
    }
}
