//! Packed input weights.

use pulp::{Simd, WithSimd};

use super::super::padding::weight_row;
use super::super::product::{Operand, Panels};
use super::super::simd::{Float, Isa};
use super::super::workers::{Kernel, Worker, run_kernel};
use super::shape::InputShape;

/// Input weights, packed once for many projections.
pub(crate) struct PackedInput<O>(Panels<O>);

impl<O: Operand> PackedInput<O> {
    /// Pack `weight`, (gates * hidden, input), divided among `workers`.
    pub(crate) fn new(isa: Isa, shape: InputShape, weight: &[O::Sum], workers: usize) -> Self {
        let packed = Self::uninitialised(shape, isa.lanes::<O::Sum>(), workers);
        // SAFETY: the panels are new, so no other thread uses them.
        unsafe { run_kernel(isa, 1, &InputPacker { packed: &packed, shape, weight }) };
        packed
    }

    /// Make room for the weights. Each worker then packs its share.
    pub(super) fn uninitialised(shape: InputShape, lanes: usize, workers: usize) -> Self {
        Self(Panels::new(shape.panels(lanes), workers))
    }

    /// Return the panels, whose columns are (vectors of units, gates, lanes).
    pub(crate) fn panels(&self) -> &Panels<O> {
        &self.0
    }

    /// Return whether these are packed weights of `shape` for vectors of `lanes`.
    pub(crate) fn fits(&self, shape: InputShape, lanes: usize) -> bool {
        self.0.shape() == shape.panels(lanes)
    }

    /// Pack one worker's share of `weight`, (gates * hidden, input).
    ///
    /// # Safety
    /// No other thread may use this worker's panels meanwhile.
    #[inline(always)]
    pub(super) unsafe fn pack<S: Simd>(
        &self,
        simd: S,
        shape: InputShape,
        weight: &[O::Sum],
        worker: Worker<'_>,
    ) {
        let (depth, lanes) = (self.0.depth(), O::Sum::lanes::<S>());
        let column = |column| {
            let row = weight_row(column, shape.gates, shape.hidden, lanes)?;
            Some(weight[row * depth..][..depth].as_ptr())
        };
        for panel in self.0.share(worker) {
            // SAFETY: the rows were just cut to the depth; the rest is the caller's promise.
            unsafe { self.0.pack_transposed(simd, panel, column) };
        }
    }
}

struct InputPacker<'a, O: Operand> {
    packed: &'a PackedInput<O>,
    shape: InputShape,
    weight: &'a [O::Sum],
}

impl<O: Operand> Kernel for InputPacker<'_, O> {
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        O::run_as(isa, part);
    }

    /// # Safety
    /// No other thread may use the panels meanwhile.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        // SAFETY: the caller's promise.
        unsafe { self.packed.pack(simd, self.shape, self.weight, worker) };
    }
}
