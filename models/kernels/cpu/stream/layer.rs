//! A recurrent layer of a stream.

use std::ops::Range;
use std::sync::Arc;

use pulp::Simd;

use super::super::cell::{GruUnit, LstmUnit, Pointwise, SimpleUnit, state_limit};
use super::super::memory::Buffer;
use super::super::packed_layer::PackedLayer;
use super::super::padding::{gate_order, padded};
use super::super::product::{LeftRows, Operand, Panel, Panels, SumVector, TileBuffer, add_product};
use super::super::project::InputShape;
use super::super::recurrence::SequenceShape;
use super::super::simd::{Float, Isa, Vector};
use super::super::workers::Worker;
use super::rows::{StreamRows, SumRows, alternating, tile_rows};
use crate::kernels::cell_kind::CellKind;

/// A recurrent layer with its state.
pub(crate) struct StreamLayer<O: Operand> {
    kind: CellKind,
    packed: Arc<PackedLayer<O>>,
    input: usize,
    hidden: usize,
    output: usize,
    zoneout: Option<O::Sum>,
    /// The bias of the input's part of the gates, and that of the recurrent product, in the order of the gates.
    input_bias: Buffer<O::Sum>,
    recurrent_bias: Buffer<O::Sum>,
    /// The hidden state before and after a step, (batch, padded output); the two swap roles at every step.
    h: [Buffer<O::Sum>; 2],
    /// The cell state, (batch, padded hidden).
    c: Buffer<O::Sum>,
    /// The operand of the projection, (batch, padded hidden).
    unprojected: Buffer<O::Sum>,
}

/// The step that is being computed.
#[derive(Clone, Copy)]
pub(super) struct StreamStep {
    /// Sequences side by side.
    pub(super) batch: usize,
    /// The index of the current one of the two hidden states.
    pub(super) current: usize,
}

/// The input bias and the recurrent bias.
type BiasPair<'a, O> = (&'a [<O as Operand>::Sum], &'a [<O as Operand>::Sum]);

impl<O: Operand> StreamLayer<O> {
    /// Make a layer with the zero state of one sequence. `bias` holds the input bias and the recurrent bias, (gates *
    /// hidden) each; they are added up if the cell allows it.
    ///
    /// # Panics
    /// If `packed` was made for another kind of cell or other sizes, a bias has another size, or `kind` is
    /// [`CellKind::GruBefore`].
    pub(crate) fn new(
        isa: Isa,
        kind: CellKind,
        packed: Arc<PackedLayer<O>>,
        (input, hidden, output): (usize, usize, usize),
        bias: Option<BiasPair<'_, O>>,
        zoneout: f64,
    ) -> Self {
        let (gates, lanes) = (kind.gates(), isa.lanes::<O::Sum>());
        let shape = SequenceShape { batch: 1, time: 1, hidden, output, gates };
        let input_shape = InputShape { batch: 1, time: 1, input, hidden, gates };
        assert!(kind != CellKind::GruBefore, "streams have no cells with a second product");
        let projects = packed.recurrent().panels().second.is_some();
        assert!(projects || output == hidden, "{hidden} units do not make {output} outputs");
        assert!(
            packed.fits(isa, kind, shape, projects) && packed.input().fits(input_shape, lanes),
            "packed weights do not fit {kind:?} cells of {input_shape:?} with {output} outputs"
        );
        let fits = bias.is_none_or(|(ih, hh)| (ih.len(), hh.len()) == (gates * hidden, gates * hidden));
        assert!(fits, "biases of {input_shape:?}");
        let order = |values: Option<Vec<O::Sum>>| gate_order(values.as_deref(), gates, hidden, lanes);
        let folded = |(ih, hh): BiasPair<'_, O>| match kind.folds_bias() {
            true => ih.iter().zip(hh).map(|(&ih, &hh)| ih + hh).collect(),
            false => ih.to_vec(),
        };
        let state = |size: usize| Buffer::zeros(padded(size, lanes));
        Self {
            kind,
            packed,
            input,
            hidden,
            output,
            zoneout: (zoneout > 0.).then(|| O::Sum::nearest(zoneout)),
            input_bias: order(bias.map(folded)),
            recurrent_bias: order(bias.filter(|_| !kind.folds_bias()).map(|(_, hh)| hh.to_vec())),
            h: [state(output), state(output)],
            c: state(hidden),
            unprojected: state(hidden),
        }
    }

    /// Return the number of elements of the vectors that the weights were packed for.
    pub(super) fn lanes(&self) -> usize {
        self.packed.lanes()
    }

    /// Return the number of features of the input.
    pub(super) fn input(&self) -> usize {
        self.input
    }

    /// Return the number of features of the output.
    pub(super) fn output(&self) -> usize {
        self.output
    }

    /// Return the number of units, if the layer has a cell state.
    pub(super) fn cells(&self) -> Option<usize> {
        self.kind.has_cell_state().then_some(self.hidden)
    }

    /// Return the number of multiplications of a step of one sequence.
    pub(super) fn multiplications(&self) -> usize {
        self.kind.gates() * self.hidden * (self.input + self.output)
    }

    /// Return the width of a padded row of the hidden state.
    fn h_width(&self) -> usize {
        padded(self.output, self.packed.lanes())
    }

    /// Return the width of a padded row of the cell state.
    fn c_width(&self) -> usize {
        padded(self.hidden, self.packed.lanes())
    }

    /// Return hidden state `index` of the two, and the width of its rows.
    pub(super) fn h(&self, index: usize) -> (&Buffer<O::Sum>, usize) {
        (&self.h[index], self.h_width())
    }

    /// Return the number of elements of the widest row that enters a product.
    pub(super) fn max_width(&self) -> usize {
        self.input.max(self.output).max(self.hidden)
    }

    /// Return the state of sequence `row`: (output) hidden and, if there is one, (hidden) cell.
    ///
    /// # Safety
    /// The state must have that row.
    pub(super) unsafe fn state_mut(
        &mut self,
        current: usize,
        row: usize,
    ) -> (&mut [O::Sum], Option<&mut [O::Sum]>) {
        let (h_width, c_width) = (self.h_width(), self.c_width());
        // SAFETY: the caller's promise; the buffers are written (zeros at first) and borrowed mutably.
        unsafe {
            let h = std::slice::from_raw_parts_mut(self.h[current].at(row * h_width), self.output);
            let c = std::slice::from_raw_parts_mut(self.c.at(row * c_width), self.hidden);
            (h, self.kind.has_cell_state().then_some(c))
        }
    }

    /// Replace the state by that of other sequences. `gather(buffer, width)` makes a buffer of `batch` rows.
    pub(super) fn replace_state(
        &mut self,
        StreamStep { batch, current }: StreamStep,
        gather: impl Fn(&Buffer<O::Sum>, usize) -> Buffer<O::Sum>,
    ) {
        let (h_width, c_width) = (self.h_width(), self.c_width());
        self.h[current] = gather(&self.h[current], h_width);
        self.h[1 - current] = Buffer::zeros(batch * h_width);
        self.c = gather(&self.c, c_width);
        self.unprojected = Buffer::zeros(batch * c_width);
    }

    /// Compute one worker's part of a step from the rows of `x`.
    ///
    /// # Safety
    /// `x` must have as many rows as the batch, of the layer's features, and the buffers too; all workers must
    /// call this.
    #[inline(always)]
    pub(super) unsafe fn step<S: Simd, const SINGLE: bool>(
        &self,
        simd: S,
        worker: Worker<'_>,
        (x, rounded): (LeftRows<O>, &StreamRows<O>),
        step: StreamStep,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            let h = SumRows { start: self.h[step.current].at(0), width: self.h_width() };
            let limit = state_limit(self.kind, self.packed.recurrent().panels().second.is_some());
            let h = rounded.left(simd, (worker, 1), h, (step.batch, self.output), limit);
            let x = (x, h);
            match self.kind {
                CellKind::Simple(nonlinearity) => {
                    let cell = SimpleUnit(nonlinearity);
                    self.cells_step::<S, _, 1, 1, SINGLE>(simd, worker, cell, x, step);
                }
                CellKind::Lstm => self.cells_step::<S, _, 4, 4, SINGLE>(simd, worker, LstmUnit, x, step),
                CellKind::Gru => self.cells_step::<S, _, 3, 4, SINGLE>(simd, worker, GruUnit, x, step),
                CellKind::GruBefore => unreachable!("invariant: refused by `new`"),
            }
            if let Some(projection) = &self.packed.recurrent().panels().second {
                worker.wait();
                self.project::<S, SINGLE>(simd, (worker, rounded), projection, step);
            }
        }
    }

    /// Compute one worker's units: the products with `x` and with the hidden state, then the cell.
    ///
    /// # Safety
    /// As [`StreamLayer::step`].
    #[inline(always)]
    unsafe fn cells_step<S: Simd, C: Pointwise<G, K>, const G: usize, const K: usize, const SINGLE: bool>(
        &self,
        simd: S,
        worker: Worker<'_>,
        cell: C,
        (x, h): (LeftRows<O>, LeftRows<O>),
        step: StreamStep,
    ) {
        let (inputs, recurrent) = (self.packed.input().panels(), &self.packed.recurrent().panels().hidden);
        let (mut sums, mut gates) = (TileBuffer::<O::Sum>::new(), TileBuffer::<O::Sum>::new());
        let (sums, gates) = (sums.as_mut_ptr(), gates.as_mut_ptr());
        // SAFETY: the caller's promise. Both sets of panels hold the same units, for they have as many groups and
        // workers. No worker writes to the old hidden state.
        unsafe {
            let of_inputs = alternating(inputs.share(worker), step.current);
            let of_recurrent = alternating(recurrent.share(worker), step.current);
            for (of_x, of_h) in of_inputs.zip(of_recurrent) {
                let width = inputs.width(of_x);
                let bias = self.input_bias.at(inputs.first_column(of_x));
                for rows in tile_rows::<S, SINGLE>(step.batch, of_x.groups * G) {
                    for r in 0..rows.len() {
                        SumVector::<S, O>::copy(simd, bias, sums.add(r * width), width);
                    }
                    add_product(simd, rows.len(), x.offset(rows.start, 0), (inputs, of_x), sums);
                    self.start_product(simd, cell, (rows.len(), of_x), gates, sums);
                    add_product(simd, rows.len(), h.offset(rows.start, 0), (recurrent, of_h), sums);
                    self.pointwise(simd, cell, (rows, of_x), gates, sums, step.current);
                }
            }
        }
    }

    /// Keep the input's part in `gates` and start the recurrent sums, between the two products of a tile.
    ///
    /// # Safety
    /// As [`StreamLayer::step`]; both pointers must have room for the tile.
    #[inline(always)]
    unsafe fn start_product<S: Simd, C: Pointwise<G, K>, const G: usize, const K: usize>(
        &self,
        simd: S,
        cell: C,
        (rows, panel): (usize, Panel),
        gates: *mut O::Sum,
        sums: *mut O::Sum,
    ) {
        let group_width = G * O::Sum::lanes::<S>();
        for r in 0..rows {
            for group in 0..panel.groups {
                let offset = (r * panel.groups + group) * group_width;
                // SAFETY: the caller's promise.
                unsafe {
                    let x: [SumVector<S, O>; G] = Vector::load_all(simd, sums.add(offset));
                    Vector::store_all(x, gates.add(offset));
                    let bias = self.recurrent_bias.at((panel.first + group) * group_width);
                    Vector::store_all(cell.start(x, Vector::load_all(simd, bias)), sums.add(offset));
                }
            }
        }
    }

    /// Compute the cell for one tile of finished sums.
    ///
    /// # Safety
    /// As [`StreamLayer::step`]; both pointers must hold the tile.
    #[inline(always)]
    unsafe fn pointwise<S: Simd, C: Pointwise<G, K>, const G: usize, const K: usize>(
        &self,
        simd: S,
        cell: C,
        (rows, panel): (Range<usize>, Panel),
        gates: *const O::Sum,
        sums: *const O::Sum,
        current: usize,
    ) {
        let lanes = O::Sum::lanes::<S>();
        let projects = self.packed.recurrent().panels().second.is_some();
        let (old, new) = (&self.h[current], &self.h[1 - current]);
        for (r, row) in rows.enumerate() {
            for group in 0..panel.groups {
                let offset = (r * panel.groups + group) * G * lanes;
                let column = (panel.first + group) * lanes;
                let (h_index, c_index) = (row * self.h_width() + column, row * self.c_width() + column);
                // SAFETY: the caller's promise.
                unsafe {
                    let (x, product) =
                        (Vector::load_all(simd, gates.add(offset)), Vector::load_all(simd, sums.add(offset)));
                    let c = Vector::load(simd, self.c.at(c_index));
                    // With a projection the hidden state has other columns, and the cell ignores it.
                    let h = if projects { c.zeroed() } else { Vector::load(simd, old.at(h_index)) };
                    let output = cell.forward::<O::Digits, _, _>(x, product, h, c);
                    if C::CELL_STATE {
                        self.blend(simd, c, output.c).store(self.c.at(c_index));
                    }
                    match projects {
                        true => output.h.store(self.unprojected.at(c_index)),
                        false => self.blend(simd, h, output.h).store(new.at(h_index)),
                    }
                }
            }
        }
    }

    /// Compute one worker's outputs of the projection.
    ///
    /// # Safety
    /// As [`StreamLayer::step`], after all workers have written their units.
    #[inline(always)]
    unsafe fn project<S: Simd, const SINGLE: bool>(
        &self,
        simd: S,
        (worker, rounded): (Worker<'_>, &StreamRows<O>),
        projection: &Panels<O>,
        StreamStep { batch, current }: StreamStep,
    ) {
        let (old, new) = (&self.h[current], &self.h[1 - current]);
        let lanes = O::Sum::lanes::<S>();
        let mut sums = TileBuffer::<O::Sum>::new();
        let sums = sums.as_mut_ptr();
        // SAFETY: the caller's promise.
        unsafe {
            let unprojected = SumRows { start: self.unprojected.at(0), width: self.c_width() };
            let unprojected = rounded.left(simd, (worker, 1), unprojected, (batch, self.hidden), O::Sum::ONE);
            for panel in projection.share(worker) {
                let width = projection.width(panel);
                for rows in tile_rows::<S, SINGLE>(batch, projection.vectors(panel)) {
                    SumVector::<S, O>::clear(simd, sums, rows.len() * width);
                    let left = unprojected.offset(rows.start, 0);
                    add_product(simd, rows.len(), left, (projection, panel), sums);
                    for (r, row) in rows.enumerate() {
                        for group in 0..panel.groups {
                            let index = row * self.h_width() + (panel.first + group) * lanes;
                            let h = Vector::load(simd, sums.add(r * width + group * lanes));
                            self.blend(simd, Vector::load(simd, old.at(index)), h).store(new.at(index));
                        }
                    }
                }
            }
        }
    }

    /// Mix the states by zoneout as outside training: a share of `old`, the rest of `new`.
    #[inline(always)]
    fn blend<S: Simd>(&self, simd: S, old: SumVector<S, O>, new: SumVector<S, O>) -> SumVector<S, O> {
        match self.zoneout {
            Some(share) => Vector::splat(simd, share).mix(old, new),
            None => new,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use super::*;

    #[test]
    fn packed_weights_of_other_sizes_are_refused() {
        let isa = Isa::available()[0];
        let shape = SequenceShape { batch: 1, time: 1, hidden: 20, output: 20, gates: 4 };
        let (ih, hh) = (vec![0.1f32; 4 * 20 * 5], vec![0.1; 4 * 20 * 20]);
        let packed = Arc::new(PackedLayer::<f32>::new(isa, CellKind::Lstm, shape, [&ih, &hh], None));
        let layer = |kind, sizes| {
            let packed = packed.clone();
            catch_unwind(AssertUnwindSafe(|| StreamLayer::new(isa, kind, packed, sizes, None, 0.))).is_ok()
        };
        assert!(layer(CellKind::Lstm, (5, 20, 20)));
        assert!(!layer(CellKind::Lstm, (6, 20, 20)), "features");
        assert!(!layer(CellKind::Lstm, (5, 40, 40)), "units");
        assert!(!layer(CellKind::Lstm, (5, 20, 40)), "outputs");
        assert!(!layer(CellKind::Gru, (5, 20, 20)), "kind of cell");
    }
}
