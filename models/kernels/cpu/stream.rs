//! One step at a time, of one sequence: what writing text and reading a sensor need. All weights are packed
//! beforehand and nothing is allocated on the way; a step of all layers and of the decoder is one call of
//! the team.

use std::sync::Arc;

use pulp::Simd;

use super::Level;
use super::cell::{GruUnit, LstmUnit, Pointwise, SimpleUnit};
use super::memory::Buffer;
use super::packed::PackedLayer;
use super::panels::Panels;
use super::product::{Rows, Tile, add_product};
use super::simd::{Real, Vector};
use super::team::{self, Kernel, Member};
use crate::kernels::Unit;

/// Weights below which a second thread takes longer to join in than it saves.
const FEW: usize = 60_000;

/// A layer that remembers where it is.
pub(in crate::kernels) struct Layer<E> {
    unit: Unit,
    packed: Arc<PackedLayer<E>>,
    /// Features, units and outputs.
    input: usize,
    hidden: usize,
    output: usize,
    zoneout: Option<E>,
    /// Of the input's part of the gates, and of the recurrent product, both in the order of the gates.
    bias: Buffer<E>,
    own_bias: Buffer<E>,
    /// The hidden state before and after a step, which change places, padded; and the cell state.
    h: [Buffer<E>; 2],
    c: Buffer<E>,
    unprojected: Buffer<E>,
}

/// Scores of what comes next.
pub(in crate::kernels) struct Decoder<E> {
    panels: Panels<E>,
    classes: usize,
    /// Padded, like the scores.
    bias: Vec<E>,
    scores: Buffer<E>,
}

/// Layers, and perhaps a decoder, that read one step after another.
pub(in crate::kernels) struct Stream<E> {
    level: Level,
    layers: Vec<Layer<E>>,
    decoder: Option<Decoder<E>>,
    members: usize,
    /// Which of each layer's two hidden states is the present one.
    now: usize,
}

impl<E: Real> Layer<E> {
    /// A layer with zero states. `bias` holds the input's and the recurrent bias, (gates * hidden), where there
    /// are any; they join where the unit lets them.
    pub(in crate::kernels) fn new(
        unit: Unit,
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
}

impl<E: Real> Decoder<E> {
    /// Packs `weight`, (classes, features).
    pub(in crate::kernels) fn new(level: Level, weight: &[E], bias: &[E]) -> Self {
        struct Pack<'a, E>(&'a Panels<E>, &'a [E]);
        impl<E: Real> Kernel for Pack<'_, E> {
            #[inline(always)]
            unsafe fn run<S: Simd>(&self, simd: S, member: Member<'_>) {
                let &Self(panels, weight) = self;
                let features = panels.depth();
                let row = |class: usize| Some(weight.get(class * features..)?.get(..features)?.as_ptr());
                for panel in panels.of(member) {
                    // SAFETY: rows were cut to the panels' depth, and nobody uses the panels yet.
                    unsafe { panels.pack_transposed(simd, panel, row) };
                }
            }
        }
        let lanes = level.lanes::<E>();
        let (classes, features) = (bias.len(), weight.len() / bias.len().max(1));
        let panels = Panels::new(features, classes.div_ceil(lanes), 1, lanes, team::threads());
        // SAFETY: it asks for nothing.
        unsafe { team::run_kernel(level, 1, &Pack(&panels, weight)) };
        let scores = Buffer::zeros(super::padded(classes, lanes));
        let mut bias = bias.to_vec();
        bias.resize(scores.len(), E::zero());
        Self { panels, classes, bias, scores }
    }
}

impl<E: Real> Stream<E> {
    pub(in crate::kernels) fn new(level: Level, layers: Vec<Layer<E>>, decoder: Option<Decoder<E>>) -> Self {
        let weights: usize =
            layers.iter().map(|layer| layer.unit.gates() * layer.hidden * (layer.input + layer.output)).sum();
        let members = if weights < FEW { 1 } else { team::threads() };
        Self { level, layers, decoder, members, now: 0 }
    }

    /// Features of a step.
    pub(in crate::kernels) fn input_size(&self) -> usize {
        self.layers[0].input
    }

    /// Reads a step, of as many features as the first layer has. Returns the scores, or without a decoder the
    /// last layer's output.
    pub(in crate::kernels) fn step(&mut self, x: &[E]) -> &[E] {
        assert_eq!(x.len(), self.input_size(), "features of a step");
        let step = Step { stream: self, x };
        // SAFETY: `Layer::new` and `Decoder::new` make every buffer as large as its weights ask; the members
        // share `self` through `step` alone, and `self` is borrowed mutably.
        unsafe { team::run_kernel(self.level, self.members, &step) };
        self.now = 1 - self.now;
        let (numbers, count) = match (&self.decoder, self.layers.last()) {
            (Some(decoder), _) => (&decoder.scores, decoder.classes),
            (None, Some(last)) => (&last.h[self.now], last.output),
            (None, None) => return &[],
        };
        // SAFETY: the buffer has so many numbers, all written; they stay alone while `self` is borrowed.
        unsafe { std::slice::from_raw_parts(numbers.at(0), count) }
    }

    /// The states of all layers, one after another: (output) hidden, then (hidden) cell, if any.
    pub(in crate::kernels) fn states(&mut self) -> impl Iterator<Item = (&mut [E], Option<&mut [E]>)> {
        let now = self.now;
        self.layers.iter_mut().map(move |layer| {
            // SAFETY: the buffers have so many numbers, zero at first, and the layer is borrowed mutably.
            unsafe {
                let h = std::slice::from_raw_parts_mut(layer.h[now].at(0), layer.output);
                let c = std::slice::from_raw_parts_mut(layer.c.at(0), layer.hidden);
                (h, (layer.unit == Unit::Lstm).then_some(c))
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
    unsafe fn run<S: Simd>(&self, simd: S, member: Member<'_>) {
        let Stream { layers, decoder, now, .. } = self.stream;
        let mut x = self.x.as_ptr();
        // SAFETY: buffers have the sizes of their layers, by the caller's promise. Members write their own
        // units and classes, and read others' behind a barrier.
        unsafe {
            for layer in layers {
                match layer.unit {
                    Unit::Simple(nonlinearity) => {
                        layer.units::<S, _, 1, 1>(simd, member, SimpleUnit(nonlinearity), x, *now);
                    }
                    Unit::Lstm => layer.units::<S, _, 4, 4>(simd, member, LstmUnit, x, *now),
                    Unit::Gru => layer.units::<S, _, 3, 4>(simd, member, GruUnit, x, *now),
                    Unit::GruBefore => unreachable!("invariant: no stream is made of these"),
                }
                member.wait();
                x = layer.h[1 - now].at(0).cast_const();
            }
            if let Some(Decoder { panels, bias, scores, .. }) = decoder {
                let mut tile = Tile::<E>::new();
                let tile = tile.as_mut_ptr();
                for panel in panels.of(member) {
                    let width = panels.width(panel);
                    let first = panel.first * E::lanes::<S>();
                    Vector::<S, E>::copy(simd, bias.as_ptr().add(first), tile, width);
                    add_product(simd, 1, Rows::new(x, 0), (panels, panel), tile);
                    Vector::<S, E>::copy(simd, tile, scores.at(first), width);
                }
            }
        }
    }
}

impl<E: Real> Layer<E> {
    /// One member's units of a step from `x`, and its outputs.
    ///
    /// # Safety
    /// `x` must have the layer's features, and all members must call this.
    #[inline(always)]
    unsafe fn units<S: Simd, C: Pointwise<G, K>, const G: usize, const K: usize>(
        &self,
        simd: S,
        member: Member<'_>,
        cell: C,
        x: *const E,
        now: usize,
    ) {
        let lanes = E::lanes::<S>();
        let (inputs, recurrent, projection) = self.packed.panels();
        let [old, new] = [&self.h[now], &self.h[1 - now]];
        let (mut tile, mut gates) = (Tile::<E>::new(), Tile::<E>::new());
        let (tile, gates) = (tile.as_mut_ptr(), gates.as_mut_ptr());
        // SAFETY: the caller's promise; both sets of panels are cut alike, for both are made of the same units
        // for the same members.
        unsafe {
            for (of_x, of_h) in inputs.of(member).zip(recurrent.of(member)) {
                let width = of_x.groups * G * lanes;
                let first = of_x.first * G * lanes;
                Vector::<S, E>::copy(simd, self.bias.at(first), tile, width);
                add_product(simd, 1, Rows::new(x, 0), (inputs, of_x), tile);
                for unit in 0..of_x.groups {
                    let at = unit * G * lanes;
                    let x: [Vector<S, E>; G] = Vector::load_all(simd, tile.add(at));
                    x.iter().enumerate().for_each(|(g, x)| x.store(gates.add(at + g * lanes)));
                    let start = cell.start(x, Vector::load_all(simd, self.own_bias.at(first + at)));
                    start.iter().enumerate().for_each(|(g, start)| start.store(tile.add(at + g * lanes)));
                }
                let left = Rows::new(old.at(0).cast_const(), 0);
                add_product(simd, 1, left, (recurrent, of_h), tile);
                for unit in 0..of_x.groups {
                    let (at, column) = (unit * G * lanes, (of_x.first + unit) * lanes);
                    let product = Vector::load_all(simd, tile.add(at));
                    let c = Vector::load(simd, self.c.at(column));
                    let h = match projection {
                        Some(_) => c.zeroed(),
                        None => Vector::load(simd, old.at(column)),
                    };
                    let after = cell.forward(Vector::load_all(simd, gates.add(at)), product, h, c);
                    if C::CELL_STATE {
                        self.mixed(simd, c, after.c).store(self.c.at(column));
                    }
                    match projection {
                        Some(_) => after.h.store(self.unprojected.at(column)),
                        None => self.mixed(simd, h, after.h).store(new.at(column)),
                    }
                }
            }
            if let Some(projection) = projection {
                member.wait();
                for panel in projection.of(member) {
                    Vector::<S, E>::clear(simd, tile, projection.width(panel));
                    let left = Rows::new(self.unprojected.at(0).cast_const(), 0);
                    add_product(simd, 1, left, (projection, panel), tile);
                    for vector in 0..panel.groups {
                        let column = (panel.first + vector) * lanes;
                        let h = Vector::load(simd, tile.add(vector * lanes));
                        self.mixed(simd, Vector::load(simd, old.at(column)), h).store(new.at(column));
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
