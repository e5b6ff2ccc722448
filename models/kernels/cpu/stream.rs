//! One step at a time, of one sequence or of several side by side: what writing text and reading a sensor
//! need. All weights are packed beforehand and nothing is allocated on the way; a step of all layers, recurrent and
//! linear, is one call of the team. No bit of a sequence depends on its neighbours.

use std::ops::Range;
use std::sync::Arc;

use pulp::Simd;

use super::Isa;
use super::cell::{GruUnit, LstmUnit, Pointwise, SimpleUnit};
use super::memory::Buffer;
use super::packed::PackedLayer;
use super::panels::Panels;
use super::product::{Rows, Tile, add_product, most_rows, tiles};
use super::simd::{Real, Vector};
use super::workers::{self, Kernel, Worker};
use crate::kernels::cell_kind::CellKind;

/// Weights below which a second thread takes longer to join in than it saves.
const FEW: usize = 60_000;

/// A layer that remembers where it is.
pub(crate) struct Layer<E> {
    unit: CellKind,
    packed: Arc<PackedLayer<E>>,
    /// Features, units and outputs.
    input: usize,
    hidden: usize,
    output: usize,
    zoneout: Option<E>,
    /// Of the input's part of the gates, and of the recurrent product, both in the order of the gates.
    bias: Buffer<E>,
    own_bias: Buffer<E>,
    /// (batch, padded): the hidden state before and after a step, which change places; and the cell state.
    h: [Buffer<E>; 2],
    c: Buffer<E>,
    unprojected: Buffer<E>,
}

/// A linear layer behind the recurrent ones: of a decoder, say.
pub(crate) struct Linear<E> {
    panels: Panels<E>,
    outputs: usize,
    /// Padded.
    bias: Vec<E>,
    /// (batch, padded outputs).
    ys: Buffer<E>,
}

/// Layers, and perhaps a decoder, that read one step after another.
pub(crate) struct Stream<E> {
    isa: Isa,
    layers: Vec<Layer<E>>,
    /// One behind the other; the last has the scores.
    decoder: Vec<Linear<E>>,
    /// Sequences side by side.
    batch: usize,
    /// Which of each layer's two hidden states is the present one.
    now: usize,
}

impl<E: Real> Layer<E> {
    /// A layer with the zero state of one sequence. `bias` holds the input's and the recurrent bias, (gates * hidden), where there
    /// are any; they join where the unit lets them.
    pub(crate) fn new(
        unit: CellKind,
        packed: Arc<PackedLayer<E>>,
        (input, hidden, output): (usize, usize, usize),
        bias: Option<(&[E], &[E])>,
        zoneout: f64,
    ) -> Self {
        let (gates, lanes) = (unit.gates(), packed.lanes);
        let order =
            |values: Option<Vec<E>>| super::project::gate_order(values.as_deref(), gates, hidden, lanes);
        let joined = |(ih, hh): (&[E], &[E])| match unit.folds_bias() {
            true => ih.iter().zip(hh).map(|(&ih, &hh)| ih + hh).collect(),
            false => ih.to_vec(),
        };
        let wide = |size: usize| Buffer::zeros(super::padded(size, lanes));
        Self {
            unit,
            input,
            hidden,
            output,
            zoneout: (zoneout > 0.).then(|| E::from_f64(zoneout)),
            bias: order(bias.map(joined)),
            own_bias: order(bias.filter(|_| !unit.folds_bias()).map(|(_, hh)| hh.to_vec())),
            h: [wide(output), wide(output)],
            c: wide(hidden),
            unprojected: wide(hidden),
            packed,
        }
    }

    /// Numbers of a row of the hidden and of the cell state.
    fn widths(&self) -> (usize, usize) {
        let padded = |size| super::padded(size, self.packed.lanes);
        (padded(self.output), padded(self.hidden))
    }
}

impl<E: Real> Linear<E> {
    /// Packs `weight`, (outputs, features).
    pub(crate) fn new(isa: Isa, weight: &[E], bias: &[E]) -> Self {
        struct Pack<'a, E>(&'a Panels<E>, &'a [E]);
        impl<E: Real> Kernel for Pack<'_, E> {
            #[inline(always)]
            unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
                let &Self(panels, weight) = self;
                let features = panels.depth();
                let row = |output: usize| Some(weight.get(output * features..)?.get(..features)?.as_ptr());
                for panel in panels.of(worker) {
                    // SAFETY: rows were cut to the panels' depth, and nobody uses the panels yet.
                    unsafe { panels.pack_transposed(simd, panel, row) };
                }
            }
        }
        let lanes = isa.lanes::<E>();
        let (outputs, features) = (bias.len(), weight.len() / bias.len().max(1));
        let panels = Panels::new(features, outputs.div_ceil(lanes), 1, lanes, workers::threads());
        // SAFETY: it asks for nothing.
        unsafe { workers::run_kernel(isa, 1, &Pack(&panels, weight)) };
        let ys = Buffer::zeros(super::padded(outputs, lanes));
        let mut bias = bias.to_vec();
        bias.resize(ys.len(), E::zero());
        Self { panels, outputs, bias, ys }
    }
}

impl<E: Real> Stream<E> {
    /// The linear layers of `decoder` read, one after another, what the last of `layers` writes.
    pub(crate) fn new(isa: Isa, layers: Vec<Layer<E>>, decoder: Vec<Linear<E>>) -> Self {
        for pair in layers.windows(2) {
            assert_eq!(pair[1].input, pair[0].output, "features of a layer");
        }
        let mut width = layers.last().map(|layer| layer.output);
        for linear in &decoder {
            assert_eq!(width, Some(linear.panels.depth()), "features of a linear layer");
            width = Some(linear.outputs);
        }
        Self { isa, layers, decoder, batch: 1, now: 0 }
    }

    /// Workers of the team worth waking for a step.
    fn workers(&self) -> usize {
        let of = |layer: &Layer<E>| layer.unit.gates() * layer.hidden * (layer.input + layer.output);
        let behind = |linear: &Linear<E>| linear.panels.depth() * linear.outputs;
        let weights: usize =
            self.layers.iter().map(of).sum::<usize>() + self.decoder.iter().map(behind).sum::<usize>();
        if weights * self.batch < FEW { 1 } else { workers::threads() }
    }

    /// Sequences side by side.
    pub(crate) fn batch(&self) -> usize {
        self.batch
    }

    /// Goes on with the sequences of these numbers, all below the batch, in this order; one may go on several
    /// times.
    pub(crate) fn select(&mut self, rows: &[usize]) {
        assert!(rows.iter().all(|&row| row < self.batch), "rows of {}: {rows:?}", self.batch);
        let gather = |from: &Buffer<E>, wide: usize| {
            let to = Buffer::zeros(rows.len() * wide);
            for (at, row) in rows.iter().enumerate() {
                // SAFETY: both have rows of that width, the old one as many as the batch, and `to` is new.
                unsafe { std::ptr::copy_nonoverlapping(from.at(row * wide), to.at(at * wide), wide) };
            }
            to
        };
        for layer in &mut self.layers {
            let (wide_h, wide_c) = layer.widths();
            layer.h[self.now] = gather(&layer.h[self.now], wide_h);
            layer.h[1 - self.now] = Buffer::zeros(rows.len() * wide_h);
            layer.c = gather(&layer.c, wide_c);
            layer.unprojected = Buffer::zeros(rows.len() * wide_c);
        }
        for linear in &mut self.decoder {
            linear.ys = gather(&linear.ys, linear.bias.len());
        }
        self.batch = rows.len();
    }

    /// Features of a step.
    pub(crate) fn input_size(&self) -> usize {
        self.layers[0].input
    }

    /// Goes on with so many sequences, all at zero.
    pub(crate) fn resize(&mut self, batch: usize) {
        for layer in &mut self.layers {
            let (wide_h, wide_c) = layer.widths();
            layer.h = [0, 1].map(|_| Buffer::zeros(batch * wide_h));
            layer.c = Buffer::zeros(batch * wide_c);
            layer.unprojected = Buffer::zeros(batch * wide_c);
        }
        for linear in &mut self.decoder {
            linear.ys = Buffer::zeros(batch * linear.bias.len());
        }
        self.batch = batch;
    }

    /// Numbers of each layer's hidden state and, where it has one, cell state.
    pub(crate) fn sizes(&self) -> impl Iterator<Item = (usize, Option<usize>)> {
        self.layers.iter().map(|layer| (layer.output, (layer.unit == CellKind::Lstm).then_some(layer.hidden)))
    }

    /// Reads a step, (batch, features of the first layer); [`Stream::output`] has what comes out.
    pub(crate) fn step(&mut self, x: &[E]) {
        assert_eq!(x.len(), self.batch * self.input_size(), "features of a step");
        let step = Step { stream: self, x };
        // SAFETY: `Layer::new`, `Linear::new`, `select` and `resize` make every buffer as large as its weights and
        // the batch ask; the workers share `self` through `step` alone, and `self` is borrowed mutably.
        unsafe { workers::run_kernel(self.isa, self.workers(), &step) };
        self.now = 1 - self.now;
    }

    /// What came of one sequence, which must be below the batch: the scores, or without a decoder the last
    /// layer's output.
    pub(crate) fn output(&self, row: usize) -> &[E] {
        assert!(row < self.batch, "row {row} of {}", self.batch);
        let (numbers, count, wide) = match (self.decoder.last(), self.layers.last()) {
            (Some(linear), _) => (&linear.ys, linear.outputs, linear.bias.len()),
            (None, Some(last)) => (&last.h[self.now], last.output, last.widths().0),
            (None, None) => return &[],
        };
        // SAFETY: the buffer has so many numbers a row, zero at first; they stay alone while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(numbers.at(row * wide), count) }
    }

    /// The states of one sequence, which must be below the batch, layer by layer: (output) hidden, then (hidden)
    /// cell, if any.
    pub(crate) fn states(&mut self, row: usize) -> impl Iterator<Item = (&mut [E], Option<&mut [E]>)> {
        assert!(row < self.batch, "row {row} of {}", self.batch);
        let now = self.now;
        self.layers.iter_mut().map(move |layer| {
            let (wide_h, wide_c) = layer.widths();
            // SAFETY: the buffers have so many numbers a row, zero at first, and the layer is borrowed mutably.
            unsafe {
                let h = std::slice::from_raw_parts_mut(layer.h[now].at(row * wide_h), layer.output);
                let c = std::slice::from_raw_parts_mut(layer.c.at(row * wide_c), layer.hidden);
                (h, (layer.unit == CellKind::Lstm).then_some(c))
            }
        })
    }
}

/// A step under way.
struct Step<'a, E> {
    stream: &'a Stream<E>,
    x: &'a [E],
}

impl<E: Real> Kernel for Step<'_, E> {
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise.
        unsafe {
            match self.stream.batch {
                // Most read one text: then no loop over rows is left in the program.
                1 => self.layers::<S, true>(simd, worker),
                _ => self.layers::<S, false>(simd, worker),
            }
        }
    }
}

/// The rows of a step, cut into tiles `vectors` wide; one, where it is known to be that.
#[inline(always)]
fn rows<S: Simd, const ONE: bool>(batch: usize, vectors: usize) -> impl Iterator<Item = Range<usize>> {
    if ONE { tiles(0..1, 1) } else { tiles(0..batch, most_rows::<S>(vectors)) }
}

impl<E: Real> Step<'_, E> {
    /// One worker's share of all layers, recurrent and linear.
    ///
    /// # Safety
    /// As [`Kernel::run`]; `ONE` if the batch is one.
    #[inline(always)]
    unsafe fn layers<S: Simd, const ONE: bool>(&self, simd: S, worker: Worker<'_>) {
        let Stream { layers, decoder, now, batch, .. } = self.stream;
        let (now, batch) = (*now, *batch);
        let mut x = Rows::new(self.x.as_ptr(), self.stream.input_size());
        // SAFETY: buffers have the sizes of their layers, by the caller's promise. Workers write their own
        // units and outputs, and read others' behind a barrier.
        unsafe {
            for layer in layers {
                match layer.unit {
                    CellKind::Simple(nonlinearity) => {
                        layer.units::<S, _, 1, 1, ONE>(
                            simd,
                            worker,
                            SimpleUnit(nonlinearity),
                            (x, batch),
                            now,
                        );
                    }
                    CellKind::Lstm => layer.units::<S, _, 4, 4, ONE>(simd, worker, LstmUnit, (x, batch), now),
                    CellKind::Gru => layer.units::<S, _, 3, 4, ONE>(simd, worker, GruUnit, (x, batch), now),
                    CellKind::GruBefore => unreachable!("invariant: no stream is made of these"),
                }
                worker.wait();
                x = Rows::new(layer.h[1 - now].at(0).cast_const(), layer.widths().0);
            }
            for (place, Linear { panels, bias, ys, .. }) in decoder.iter().enumerate() {
                if place > 0 {
                    worker.wait();
                }
                let mut tile = Tile::<E>::new();
                let tile = tile.as_mut_ptr();
                for panel in panels.of(worker) {
                    let (width, first) = (panels.width(panel), panel.first * E::lanes::<S>());
                    for rows in rows::<S, ONE>(batch, panels.vectors(panel)) {
                        let of = |at: usize| tile.add(at * width);
                        for at in 0..rows.len() {
                            Vector::<S, E>::copy(simd, bias.as_ptr().add(first), of(at), width);
                        }
                        add_product(simd, rows.len(), x.skip(rows.start), (panels, panel), tile);
                        for (at, row) in rows.enumerate() {
                            Vector::<S, E>::copy(simd, of(at), ys.at(row * bias.len() + first), width);
                        }
                    }
                }
                x = Rows::new(ys.at(0).cast_const(), bias.len());
            }
        }
    }
}

impl<E: Real> Layer<E> {
    /// One worker's units of a step from the rows of `x`, and its outputs.
    ///
    /// # Safety
    /// `x` must have as many rows as given, of the layer's features, and the layer's buffers too; all workers must
    /// call this.
    #[inline(always)]
    unsafe fn units<S: Simd, C: Pointwise<G, K>, const G: usize, const K: usize, const ONE: bool>(
        &self,
        simd: S,
        worker: Worker<'_>,
        cell: C,
        (x, batch): (Rows<E>, usize),
        now: usize,
    ) {
        let lanes = E::lanes::<S>();
        let (inputs, recurrent, projection) = self.packed.panels();
        let (wide_h, wide_c) = self.widths();
        let [old, new] = [&self.h[now], &self.h[1 - now]];
        let old_rows = Rows::new(old.at(0).cast_const(), wide_h);
        let (mut tile, mut gates) = (Tile::<E>::new(), Tile::<E>::new());
        let (tile, gates) = (tile.as_mut_ptr(), gates.as_mut_ptr());
        // SAFETY: the caller's promise; both sets of panels are cut alike, for both are made of the same units
        // for the same workers.
        unsafe {
            for (of_x, of_h) in inputs.of(worker).zip(recurrent.of(worker)) {
                let width = of_x.groups * G * lanes;
                let first = of_x.first * G * lanes;
                for rows in rows::<S, ONE>(batch, of_x.groups * G) {
                    for at in 0..rows.len() {
                        Vector::<S, E>::copy(simd, self.bias.at(first), tile.add(at * width), width);
                    }
                    add_product(simd, rows.len(), x.skip(rows.start), (inputs, of_x), tile);
                    for at in 0..rows.len() {
                        for unit in 0..of_x.groups {
                            let (at, own) = (at * width + unit * G * lanes, first + unit * G * lanes);
                            let x: [Vector<S, E>; G] = Vector::load_all(simd, tile.add(at));
                            x.iter().enumerate().for_each(|(g, x)| x.store(gates.add(at + g * lanes)));
                            let start = cell.start(x, Vector::load_all(simd, self.own_bias.at(own)));
                            start
                                .iter()
                                .enumerate()
                                .for_each(|(g, start)| start.store(tile.add(at + g * lanes)));
                        }
                    }
                    add_product(simd, rows.len(), old_rows.skip(rows.start), (recurrent, of_h), tile);
                    for (at, row) in rows.enumerate() {
                        for unit in 0..of_x.groups {
                            let (at, column) = (at * width + unit * G * lanes, (of_x.first + unit) * lanes);
                            let (at_h, at_c) = (row * wide_h + column, row * wide_c + column);
                            let product = Vector::load_all(simd, tile.add(at));
                            let c = Vector::load(simd, self.c.at(at_c));
                            let h = match projection {
                                Some(_) => c.zeroed(),
                                None => Vector::load(simd, old.at(at_h)),
                            };
                            let after = cell.forward(Vector::load_all(simd, gates.add(at)), product, h, c);
                            if C::CELL_STATE {
                                self.mixed(simd, c, after.c).store(self.c.at(at_c));
                            }
                            match projection {
                                Some(_) => after.h.store(self.unprojected.at(at_c)),
                                None => self.mixed(simd, h, after.h).store(new.at(at_h)),
                            }
                        }
                    }
                }
            }
            if let Some(projection) = projection {
                worker.wait();
                let unprojected = Rows::new(self.unprojected.at(0).cast_const(), wide_c);
                for panel in projection.of(worker) {
                    let width = projection.width(panel);
                    for rows in rows::<S, ONE>(batch, projection.vectors(panel)) {
                        Vector::<S, E>::clear(simd, tile, rows.len() * width);
                        add_product(
                            simd,
                            rows.len(),
                            unprojected.skip(rows.start),
                            (projection, panel),
                            tile,
                        );
                        for (at, row) in rows.enumerate() {
                            for vector in 0..panel.groups {
                                let at_h = row * wide_h + (panel.first + vector) * lanes;
                                let h = Vector::load(simd, tile.add(at * width + vector * lanes));
                                self.mixed(simd, Vector::load(simd, old.at(at_h)), h).store(new.at(at_h));
                            }
                        }
                    }
                }
            }
        }
    }

    /// Zoneout outside training: a share of the old, the rest of the new.
    #[inline(always)]
    fn mixed<S: Simd>(&self, simd: S, old: Vector<S, E>, new: Vector<S, E>) -> Vector<S, E> {
        match self.zoneout {
            Some(stays) => {
                let stays = Vector::splat(simd, stays);
                stays.mul_add(old, stays.complement() * new)
            }
            None => new,
        }
    }
}
