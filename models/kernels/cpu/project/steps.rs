//! The input's part of the gates for a few steps of some rows at a time, as the forward pass needs it.

use std::ops::Range;

use pulp::Simd;

use super::super::active_steps::ActiveSteps;
use super::super::memory::Buffer;
use super::super::padding::gate_order;
use super::super::product::{LeftRows, Operand, Panel, dense};
use super::super::simd::{Float, Vector};
use super::super::workers::Worker;
use super::packed::PackedInput;
use super::shape::InputShape;

/// The input of a layer, whose part of the gates is still to be computed.
#[derive(Clone, Copy)]
pub(crate) struct LayerInput<'a, O: Operand> {
    pub(crate) shape: InputShape,
    /// The steps to compute.
    pub(crate) active: &'a ActiveSteps,
    /// (batch, time, input).
    pub(crate) xs: &'a [O::Sum],
    /// (gates * hidden, input).
    pub(crate) weight: &'a [O::Sum],
    /// (gates * hidden).
    pub(crate) bias: Option<&'a [O::Sum]>,
    /// The same weights, packed.
    pub(crate) packed: Option<&'a PackedInput<O>>,
}

impl<O: Operand> LayerInput<'_, O> {
    /// Refuse slices of other sizes.
    ///
    /// # Panics
    /// If a slice does not have the size of the shape, or the weights were packed for another shape or vector length.
    pub(super) fn check(&self, lanes: usize) {
        let InputShape { batch, time, input, hidden, gates } = self.shape;
        assert_eq!(self.active.size(), (batch, time), "steps for {:?}", self.shape);
        assert_eq!(
            (self.xs.len(), self.weight.len(), self.bias.map_or(gates * hidden, <[O::Sum]>::len)),
            (self.shape.rows() * input, gates * hidden * input, gates * hidden),
            "sizes of xs, weight and bias for {:?}",
            self.shape
        );
        assert!(
            self.packed.is_none_or(|packed| packed.fits(self.shape, lanes)),
            "packed input weights do not fit {:?} in vectors of {lanes}",
            self.shape
        );
    }
}

/// The projection of a few steps at a time.
pub(crate) struct StepProjection<'a, O: Operand> {
    input: LayerInput<'a, O>,
    /// Packed by the workers of the pass, unless the input has packed weights.
    fresh: Option<PackedInput<O>>,
    /// The bias in the order of the gates.
    bias: Buffer<O::Sum>,
}

impl<'a, O: Operand> StepProjection<'a, O> {
    /// Make the projection for vectors of `lanes` and `workers`.
    ///
    /// # Panics
    /// If a slice of the input does not have the size of its shape, or packed weights do not fit it.
    pub(crate) fn new(input: LayerInput<'a, O>, lanes: usize, workers: usize) -> Self {
        input.check(lanes);
        let InputShape { hidden, gates, .. } = input.shape;
        let fresh = input.packed.is_none().then(|| PackedInput::uninitialised(input.shape, lanes, workers));
        Self { input, fresh, bias: gate_order(input.bias, gates, hidden, lanes) }
    }

    /// Return the packed weights.
    pub(crate) fn packed(&self) -> &PackedInput<O> {
        self.input.packed.or(self.fresh.as_ref()).expect("invariant: fresh if not packed")
    }

    /// Pack one worker's share of the weights, unless they are packed.
    ///
    /// # Safety
    /// No other thread may use this worker's panels meanwhile; a barrier must follow.
    #[inline(always)]
    pub(crate) unsafe fn pack<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        if let Some(fresh) = &self.fresh {
            // SAFETY: the caller's promise.
            unsafe { fresh.pack(simd, self.input.shape, self.input.weight, worker) };
        }
    }

    /// Make memory for the operands of `count` rows.
    pub(crate) fn operands(&self, count: usize) -> Buffer<O> {
        Buffer::new(count * self.stride())
    }

    /// Return the distance between two rows of operands.
    fn stride(&self) -> usize {
        O::row_len(self.input.shape.input)
    }

    /// Compute the gates of the units of `panels`, for the active ones among the time steps `times` of the batch rows
    /// `rows`. `to(step, row, group)` is the address of a group of gates; `step` counts from the first of `times`.
    ///
    /// # Safety
    /// Rows, steps and panels must be within the sizes, and the weights packed. `operands` must have room for all rows
    /// of all steps; no other thread may use it, or what `to` returns, meanwhile.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(
        &self,
        simd: S,
        (times, rows): (Range<usize>, Range<usize>),
        panels: &[Panel],
        operands: &Buffer<O>,
        to: impl Fn(usize, usize, usize) -> *mut O::Sum,
    ) {
        let InputShape { time, input, gates, .. } = self.input.shape;
        let (stride, group_width) = (self.stride(), gates * O::Sum::lanes::<S>());
        // Step and row of each row of operands.
        let active =
            |step| rows.start..rows.end.min(self.input.active.count(times.start + step)).max(rows.start);
        let places: Vec<(usize, usize)> =
            (0..times.len()).flat_map(|step| active(step).map(move |row| (step, row))).collect();
        // SAFETY: the caller's promise.
        unsafe {
            for (index, &(step, row)) in places.iter().enumerate() {
                let from = self.input.xs
                    [(self.input.active.sequence(row) * time + times.start + step) * input..]
                    .as_ptr();
                O::round_row(simd, from, operands.at(index * stride), input, O::Sum::ZERO);
            }
            let left = |index| LeftRows {
                is_padded: true,
                ..LeftRows::new(operands.at(index * stride).cast_const(), stride)
            };
            dense(
                simd,
                0..places.len(),
                (left, |_| usize::MAX),
                self.packed().panels(),
                panels,
                |_, panel, tile| {
                    let bias = self.bias.at(panel.first * group_width);
                    Vector::<S, O::Sum>::copy(simd, bias, tile, panel.groups * group_width);
                },
                |index, panel, tile| {
                    let (step, row) = places[index];
                    for group in 0..panel.groups {
                        let to = to(step, row, panel.first + group);
                        Vector::<S, O::Sum>::copy(simd, tile.add(group * group_width), to, group_width);
                    }
                },
            );
        }
    }
}
