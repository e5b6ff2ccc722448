//! The steps of the forward pass.

use std::ops::Range;

use pulp::Simd;

use super::super::cell::{CellOutput, Pointwise};
use super::super::memory::{Buffer, SharedPtr};
use super::super::product::{Operand, Panel, SumVector, TileProduct, add_product};
use super::super::simd::{Float, Vector};
use super::super::workers::{Kernel, Worker};
use super::arguments::SavedActivations;
use super::chunked_input::ChunkedInput;
use super::packed::StepPanels;
use super::plan::Plan;
use super::rounded_rows::{RoundedRows, store};
use super::sequence::Sequence;
use super::shape::SequenceShape;
use super::step_product::{StepProduct, WorkerProducts};

/// The forward pass of a sequence.
pub(super) struct ForwardPass<'a, O: Operand, C, const G: usize, const K: usize> {
    pub(super) cell: C,
    pub(super) sequence: &'a Sequence<O::Sum>,
    pub(super) plan: Plan,
    /// The input's part of the gates, whose place the sums of the recurrent product take if a tile starts from it. The
    /// same memory as `saved.cells` if that has the same size; a cell with a second product keeps its saved numbers
    /// here in any case.
    pub(super) gates: &'a Buffer<O::Sum>,
    /// The input, if its part of the gates is computed a few steps at a time.
    pub(super) input: Option<&'a ChunkedInput<'a, O>>,
    /// The recurrent bias, in the order of the gates.
    pub(super) bias: &'a Buffer<O::Sum>,
    pub(super) panels: &'a StepPanels<O>,
    /// The state, (batch, padded output) and (batch, padded hidden): before the pass the initial one, after it the
    /// final one.
    pub(super) h: &'a Buffer<O::Sum>,
    pub(super) c: &'a Buffer<O::Sum>,
    /// (batch, time, output).
    pub(super) ys: SharedPtr<O::Sum>,
    pub(super) saved: Option<&'a SavedActivations<O::Sum>>,
    /// The operand of the recurrent product, (batch, padded output), twice: of this step and of the next.
    pub(super) operands: [&'a Buffer<O>; 2],
    /// The operand of the projection or of the second product, (batch, padded hidden).
    pub(super) second_operand: &'a Buffer<O>,
    /// The three in place of those, if operands are scaled: each worker then rounds the rows that it reads.
    pub(super) unrounded: [&'a Buffer<O::Sum>; 3],
    /// The bound of the hidden state as operand of the recurrent product, or zero without one.
    pub(super) limit: O::Sum,
}

impl<O: Operand, C: Pointwise<G, K>, const G: usize, const K: usize> Kernel for ForwardPass<'_, O, C, G, K> {
    /// # Safety
    /// All buffers must have the sizes that the fields of [`ForwardPass`] state.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let SequenceShape { batch, time, hidden, output, .. } = self.sequence.shape;
        let active = &*self.sequence.active;
        let WorkerProducts { recurrent, second, synchronises, sums } =
            WorkerProducts::new(&self.plan, active, self.panels, worker);
        let sums = sums.at(0);
        // SAFETY: rows and columns are within the sizes that the caller promises. Workers write different rows,
        // or different columns of them, and read those of others only after a barrier.
        unsafe {
            for row in worker.share(batch) {
                self.first_operands(simd, row);
                self.clear_padding(row);
            }
            worker.wait();
            let rows = self.plan.rows(active, worker).rows;
            let part = self.input.map(|input| input.part(&self.plan, rows.clone(), worker));
            let gates = (self.gates, self.plan.unit_layout(self.sequence.shape, G));
            let rounded = RoundedRows::new(self.sequence.shape, second.is_some(), rows);
            for position in 0..time {
                if let Some(part) = &part {
                    part.chunk(simd, self.sequence, position, gates);
                }
                let t = self.sequence.time_step(position);
                let slot = self.input.map_or(t, |input| input.slot(position, t));
                let [operand, next_operand] = [position % 2, (position + 1) % 2].map(|at| self.operands[at]);
                let now = position % 2;
                let step = ForwardStep { pass: self, t, slot, now, operand, next_operand, rounded: &rounded };
                let batch = active.count(t);
                rounded.round(simd, batch, (self.unrounded[now], self.plan.h_width()), (output, self.limit));
                recurrent.run(simd, &RecurrentProduct(&step), batch, sums);
                if let Some(second) = &second {
                    if synchronises {
                        worker.wait();
                    }
                    rounded.round(
                        simd,
                        batch,
                        (self.unrounded[2], self.plan.c_width()),
                        (hidden, O::Sum::ONE),
                    );
                    second.run(simd, &SecondProduct(&step), batch, sums);
                }
                if synchronises {
                    worker.wait();
                }
            }
        }
    }
}

impl<O: Operand, C: Pointwise<G, K>, const G: usize, const K: usize> ForwardPass<'_, O, C, G, K> {
    /// Write the operands of the first step of a row, which in a reverse recurrence may be at any position.
    ///
    /// # Safety
    /// As [`ForwardPass::run`]; `row` must be within the batch.
    #[inline(always)]
    unsafe fn first_operands<S: Simd>(&self, simd: S, row: usize) {
        let width = self.plan.h_width();
        for index in (row * width..(row + 1) * width).step_by(self.plan.lanes) {
            // SAFETY: the caller's promise.
            unsafe {
                let h = Vector::load(simd, self.h.at(index));
                let h = self.sequence.masked(simd, h, index);
                for at in 0..2 {
                    store::<S, O>(h, (self.operands[at], self.unrounded[at]), index);
                }
            }
        }
    }

    /// Write zeros to the outputs of a row beyond its active steps.
    ///
    /// # Safety
    /// As [`ForwardPass::run`]; `row` must be within the batch.
    unsafe fn clear_padding(&self, row: usize) {
        let SequenceShape { time, output, .. } = self.sequence.shape;
        let (steps, sequence) = (self.sequence.active.steps(row), self.sequence.active.sequence(row));
        // SAFETY: the caller's promise.
        unsafe { self.ys.at((sequence * time + steps) * output).write_bytes(0, (time - steps) * output) };
    }
}

/// One time step. All functions are unsafe for the reason of [`ForwardPass::run`]; rows, units and outputs must be
/// within the sizes, `unit` and `output` counted in vectors.
struct ForwardStep<'a, O: Operand, C, const G: usize, const K: usize> {
    pass: &'a ForwardPass<'a, O, C, G, K>,
    t: usize,
    /// The step of the memory of the gates.
    slot: usize,
    /// The index of this step's operand among the two.
    now: usize,
    operand: &'a Buffer<O>,
    next_operand: &'a Buffer<O>,
    rounded: &'a RoundedRows<O>,
}

impl<O: Operand, C: Pointwise<G, K>, const G: usize, const K: usize> ForwardStep<'_, O, C, G, K> {
    /// Return the address of the input's part of the gates.
    #[inline(always)]
    fn gates(&self, row: usize, unit: usize) -> *mut O::Sum {
        let pass = self.pass;
        pass.gates.at(pass.plan.unit_layout(pass.sequence.shape, G).at(self.slot, unit, row))
    }

    /// Update the cell state of one vector of units, save what the backward pass needs, and return the new hidden
    /// state, or the operand of the second product.
    #[inline(always)]
    unsafe fn pointwise<S: Simd>(
        &self,
        simd: S,
        (row, unit): (usize, usize),
        gates: [SumVector<S, O>; G],
        product: [SumVector<S, O>; G],
    ) -> SumVector<S, O> {
        let pass = self.pass;
        let Plan { lanes, unit_vectors, output_vectors, .. } = pass.plan;
        let zero = Vector::zero(simd);
        // SAFETY: the caller's promise.
        unsafe {
            let h_index = (row * output_vectors + unit) * lanes;
            let h = match pass.panels.second {
                // Both operands of such a cell are masked.
                _ if C::SECOND_PRODUCT => {
                    pass.sequence.masked(simd, Vector::load(simd, pass.h.at(h_index)), h_index)
                }
                // With a projection the hidden state has other columns, and the cell ignores it.
                Some(_) => zero,
                None => Vector::load(simd, pass.h.at(h_index)),
            };
            let state = pass.c.at(if C::CELL_STATE { (row * unit_vectors + unit) * lanes } else { 0 });
            let old_c = if C::CELL_STATE { Vector::load(simd, state) } else { zero };
            let output: CellOutput<S, O::Sum, K> =
                pass.cell.forward::<O::Digits, _, _>(gates, product, h, old_c);
            let mut c = old_c;
            if C::CELL_STATE {
                let index = pass.plan.unit_layout(pass.sequence.shape, 1).at(self.t, unit, row);
                c = pass.sequence.retained_c(simd, index).blend(old_c, output.c);
                c.store(state);
            }
            self.save((row, unit), &output, c);
            output.h
        }
    }

    /// Save what the backward pass needs of one vector of units, whose cell state is now `c`.
    #[inline(always)]
    unsafe fn save<S: Simd>(
        &self,
        (row, unit): (usize, usize),
        output: &CellOutput<S, O::Sum, K>,
        c: SumVector<S, O>,
    ) {
        let pass = self.pass;
        let index = |count| pass.plan.unit_layout(pass.sequence.shape, count).at(self.t, unit, row);
        // SAFETY: the caller's promise.
        unsafe {
            if C::SECOND_PRODUCT {
                // The second half of the step reads it, whether or not there will be a backward pass.
                Vector::store_all(output.saved, self.gates(row, unit));
            }
            let Some(saved) = pass.saved else { return };
            if !C::SECOND_PRODUCT {
                Vector::store_all(output.saved, saved.cells.at(index(K)));
            }
            if let Some(cs) = &saved.c {
                c.store(cs.at(index(1)));
            }
            if let Some(second_operand) = &saved.second_operand {
                output.h.store(second_operand.at(index(1)));
            }
        }
    }

    /// Write one vector of outputs: the hidden state, `ys`, and the operand of the next step.
    #[inline(always)]
    unsafe fn output<S: Simd>(&self, simd: S, (row, output): (usize, usize), h: SumVector<S, O>) {
        let (pass, t) = (self.pass, self.t);
        let sequence = pass.sequence;
        let SequenceShape { time, output: features, .. } = sequence.shape;
        let column = output * pass.plan.lanes;
        let (index, h_index) =
            (pass.plan.output_layout(sequence.shape).at(t, output, row), row * pass.plan.h_width() + column);
        // SAFETY: the caller's promise.
        unsafe {
            let state = pass.h.at(h_index);
            let old_h = Vector::load(simd, state);
            let h = sequence.retained_h(simd, index).blend(old_h, h);
            h.store(state);
            let y = (sequence.active.sequence(row) * time + t) * features + column;
            h.store_first(pass.ys.at(y), features - column);
            let next = (self.next_operand, pass.unrounded[1 - self.now]);
            store::<S, O>(sequence.masked(simd, h, h_index), next, h_index);
            if let Some(saved) = pass.saved {
                h.store(saved.h.at(index));
            }
        }
    }
}

/// `gates + h W_h^T`, and the cell.
struct RecurrentProduct<'a, O: Operand, C, const G: usize, const K: usize>(&'a ForwardStep<'a, O, C, G, K>);

impl<O: Operand, C: Pointwise<G, K>, const G: usize, const K: usize> StepProduct<O>
    for RecurrentProduct<'_, O, C, G, K>
{
    /// Return the height of the micro-kernel's tiles.
    #[inline(always)]
    fn max_rows<S: Simd>(vectors: usize) -> usize {
        O::max_rows::<S>(vectors)
    }

    /// The gates of consecutive rows of a group are neighbours, and a panel of one group has no other columns. Workers
    /// have different rows, or different groups.
    #[inline(always)]
    unsafe fn started(&self, row: usize, panel: Panel) -> Option<*mut O::Sum> {
        (C::STARTS_FROM_INPUT && panel.groups == 1).then(|| self.0.gates(row, panel.first))
    }

    #[inline(always)]
    unsafe fn start<S: Simd>(&self, simd: S, row: usize, unit: usize, sums: *mut O::Sum) {
        let pass = self.0.pass;
        // SAFETY: the caller's promise.
        unsafe {
            let gates = Vector::load_all(simd, self.0.gates(row, unit));
            let bias = Vector::load_all(simd, pass.bias.at(unit * G * pass.plan.lanes));
            Vector::store_all(pass.cell.start(gates, bias), sums);
        }
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, simd: S, rows: Range<usize>, panel: Panel, sums: *mut O::Sum) {
        let (pass, width) = (self.0.pass, self.0.pass.plan.h_width());
        let product = TileProduct {
            depth: pass.sequence.shape.output,
            left: self.0.rounded.left(rows.start, self.0.operand, (pass.sequence.shape.output, width)),
            panel: pass.panels.hidden.row(panel, 0).cast_const(),
            tile: sums,
            prefetch: std::ptr::null(),
        };
        // SAFETY: the caller's promise.
        unsafe { O::multiply::<S>(simd, (rows.len(), panel.groups * G), product) }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, simd: S, row: usize, unit: usize, sums: *mut O::Sum) {
        let (step, pass) = (self.0, self.0.pass);
        // SAFETY: the caller's promise.
        unsafe {
            let product = Vector::load_all(simd, sums);
            let gates = Vector::load_all(simd, step.gates(row, unit));
            let h = step.pointwise(simd, (row, unit), gates, product);
            match pass.panels.second {
                None => step.output(simd, (row, unit), h),
                Some(_) => {
                    let index = row * pass.plan.c_width() + unit * pass.plan.lanes;
                    store::<S, O>(h, (pass.second_operand, pass.unrounded[2]), index);
                }
            }
        }
    }
}

/// The projection of the hidden state, or the second recurrent product of a cell that has one.
struct SecondProduct<'a, O: Operand, C, const G: usize, const K: usize>(&'a ForwardStep<'a, O, C, G, K>);

impl<O: Operand, C: Pointwise<G, K>, const G: usize, const K: usize> StepProduct<O>
    for SecondProduct<'_, O, C, G, K>
{
    /// Start from the input's part of the last gate for a second product, from zero for a projection.
    #[inline(always)]
    unsafe fn start<S: Simd>(&self, simd: S, row: usize, output: usize, sums: *mut O::Sum) {
        // SAFETY: the caller's promise; the outputs of a cell with a second product are its units.
        unsafe {
            let initial: SumVector<S, O> = match C::SECOND_PRODUCT {
                true => Vector::load(simd, self.0.gates(row, output).add((K - 1) * self.0.pass.plan.lanes)),
                false => Vector::zero(simd),
            };
            initial.store(sums);
        }
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(&self, simd: S, rows: Range<usize>, panel: Panel, sums: *mut O::Sum) {
        let (pass, width) = (self.0.pass, self.0.pass.plan.c_width());
        let Some(panels) = &pass.panels.second else { return };
        let left = self.0.rounded.left(rows.start, pass.second_operand, (pass.sequence.shape.hidden, width));
        // SAFETY: the caller's promise.
        unsafe { add_product(simd, rows.len(), left, (panels, panel), sums) }
    }

    #[inline(always)]
    unsafe fn finish<S: Simd>(&self, simd: S, row: usize, output: usize, sums: *mut O::Sum) {
        let (step, pass) = (self.0, self.0.pass);
        // SAFETY: the caller's promise; the outputs of a cell with a second product are its units.
        unsafe {
            let mut h = Vector::load(simd, sums);
            if C::SECOND_PRODUCT {
                let lanes = pass.plan.lanes;
                let gates = step.gates(row, output);
                let old_h = Vector::load(simd, pass.h.at(row * pass.plan.h_width() + output * lanes));
                let [new_h, last] =
                    pass.cell.finish::<O::Digits, _, _>(Vector::load_all(simd, gates), h, old_h);
                last.store(gates.add((K - 1) * lanes));
                h = new_h;
            }
            step.output(simd, (row, output), h);
        }
    }
}
