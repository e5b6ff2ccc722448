//! A whole sequence of one layer in one direction. `forward.rs` and `backward.rs` take the recurrent product
//! tile by tile, and the cell's pointwise part on each tile while it is at hand; here is what they share.
//!
//! What there is for every step lies as [`SequenceLayout`]: the gates of one vector of units side by side, padded to
//! whole vectors, as a tile of the product leaves them, and hidden and cell states likewise. A state's padding is
//! zero and stays so.
//!
//! The team splits the batch, and then nobody waits for anybody, or the units, and then all meet once a
//! step: see [`Plan`].

use std::ops::Range;

use pulp::Simd;

use super::layout::SequenceLayout;
use super::memory::Buffer;
use super::panels::{NEAR, Panel, Panels};
use super::simd::{Real, Vector};
use super::workers::Worker;

/// Sizes of a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
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
pub(crate) struct Sequence<E> {
    pub shape: Shape,
    /// SequenceLayout of each row; all where `None`.
    pub lengths: Option<Vec<usize>>,
    /// From the last step to the first.
    pub reverse: bool,
    /// How much of the old state stays.
    pub zoneout: Zoneout<E>,
    /// What the hidden state is multiplied by where it enters the product, (batch, padded output).
    pub recurrent_mask: Option<Vec<E>>,
}

/// How much of the old state stays in the new one.
pub(crate) enum Zoneout<E> {
    /// Nothing.
    Off,
    /// The same share of everything, as outside training.
    Share(E),
    /// All where a mask is one, nothing where it is zero: of the hidden and of the cell state, as [`SequenceLayout`] of
    /// outputs and of units.
    Masks(Vec<E>, Vec<E>),
}

/// Rounds up to whole vectors.
pub(crate) fn padded(size: usize, lanes: usize) -> usize {
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
    /// Workers of the team.
    pub workers: usize,
    /// By rows of the batch rather than by units.
    pub by_rows: bool,
}

/// Rows whose products go before their pointwise part where they are deep, and a part of a panel's depth is
/// to serve them all: their sums stay in a core's nearest cache.
pub(super) const ROWS: usize = 48;

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
        // Workers that split the units read half the weights each, which matters where they come from afar.
        let by_rows = batch >= 2 * threads && (weights * size_of::<E>() <= NEAR || step < FEW);
        let workers = match (by_rows, step * time < FEWEST) {
            (_, true) => 1,
            (true, _) => threads,
            (false, _) if step < FEW => 1,
            (false, _) => threads.min(units).min(outputs),
        };
        Self { lanes, units, outputs, workers, by_rows }
    }

    /// Where `count` numbers of every lane of every unit lie.
    pub(super) fn of_units(&self, shape: Shape, count: usize) -> SequenceLayout {
        SequenceLayout {
            batch: shape.batch,
            time: shape.time,
            vectors: self.units,
            width: count * self.lanes,
        }
    }

    /// Where the outputs lie.
    pub(super) fn of_outputs(&self, shape: Shape) -> SequenceLayout {
        SequenceLayout { vectors: self.outputs, ..self.of_units(shape, 1) }
    }

    /// The batch's rows of one worker, and whether it must wait for others at every step.
    pub(super) fn rows(&self, batch: usize, worker: Worker<'_>) -> (Range<usize>, bool) {
        if self.by_rows { (worker.share(batch), false) } else { (0..batch, worker.count > 1) }
    }

    /// One worker's panels.
    pub(super) fn panels<E: Real>(&self, panels: &Panels<E>, worker: Worker<'_>) -> Vec<Panel> {
        if self.by_rows { panels.all().to_vec() } else { panels.of(worker).collect() }
    }
}

impl<E: Real> Sequence<E> {
    /// The step that comes at `position` in the order of the recurrence.
    pub(super) fn step(&self, position: usize) -> usize {
        if self.reverse { self.shape.time - 1 - position } else { position }
    }

    pub(super) fn is_active(&self, row: usize, t: usize) -> bool {
        self.lengths.as_ref().is_none_or(|lengths| t < lengths[row])
    }

    /// The share of the old hidden state that stays.
    ///
    /// # Safety
    /// `at` must be within the masks, if there are any.
    #[inline(always)]
    pub(super) unsafe fn stays_h<S: Simd>(&self, simd: S, at: usize) -> Option<Vector<S, E>> {
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
    pub(super) unsafe fn stays_c<S: Simd>(&self, simd: S, at: usize) -> Option<Vector<S, E>> {
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
    pub(super) unsafe fn masked<S: Simd>(&self, simd: S, h: Vector<S, E>, at: usize) -> Vector<S, E> {
        match &self.recurrent_mask {
            // SAFETY: the caller's promise.
            Some(recurrent_mask) => h * unsafe { Vector::load(simd, recurrent_mask.as_ptr().add(at)) },
            None => h,
        }
    }
}

/// `stays` of `old`, the rest of `new`.
#[inline(always)]
pub(super) fn mixed<S: Simd, E: Real>(
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
pub(crate) struct Kept<E> {
    /// K numbers of every unit, as [`SequenceLayout`], like all that follows.
    pub(super) units: Buffer<E>,
    /// The hidden state after each step.
    pub(super) h: Buffer<E>,
    /// The cell state after each step.
    pub(super) c: Option<Buffer<E>>,
    /// What was projected, or entered the second product.
    pub(super) projected: Option<Buffer<E>>,
}
