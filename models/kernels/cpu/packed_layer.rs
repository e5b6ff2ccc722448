//! All weights of a layer, packed at the first call and kept.

use super::product::Operand;
use super::project::{InputShape, PackedInput};
use super::recurrence::{PackedRecurrence, SequenceShape};
use super::simd::Isa;
use super::workers::threads;
use crate::kernels::cell_kind::CellKind;

/// All weights of a layer that is not trained, packed once for all calls.
pub(crate) struct PackedLayer<O> {
    lanes: usize,
    input: PackedInput<O>,
    recurrent: PackedRecurrence<O>,
}

impl<O: Operand> PackedLayer<O> {
    /// Pack the input weights, (gates * hidden, input), the recurrent weights, (gates * hidden, output), and the
    /// projection, (output, hidden), if any.
    ///
    /// The panels of both sets of weights hold the same units, for they have as many groups and workers;
    /// [`PackedStream`](super::PackedStream) relies on it.
    ///
    /// # Panics
    /// If a slice does not have the size of `shape`.
    pub(crate) fn new(
        isa: Isa,
        kind: CellKind,
        shape: SequenceShape,
        [ih, hh]: [&[O::Sum]; 2],
        projection: Option<&[O::Sum]>,
    ) -> Self {
        let SequenceShape { hidden, gates, .. } = shape;
        let input = ih.len() / (gates * hidden).max(1);
        let workers = threads(); // once: another thread may change the number
        let input_shape = InputShape { batch: 0, time: 0, input, hidden, gates };
        let input = PackedInput::new(isa, input_shape, ih, workers);
        let recurrent = PackedRecurrence::new(isa, kind, shape, hh, projection, workers);
        let panels = (input.panels(), &recurrent.panels().hidden);
        assert!(panels.0.divides_as(panels.1), "panels of a layer hold the same units");
        Self { lanes: isa.lanes::<O::Sum>(), input, recurrent }
    }

    /// Return the number of elements of the vectors that the weights were packed for.
    pub(crate) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Return the packed input weights.
    pub(crate) fn input(&self) -> &PackedInput<O> {
        &self.input
    }

    /// Return the weights for [`forward`](super::forward).
    pub(crate) fn recurrent(&self) -> &PackedRecurrence<O> {
        &self.recurrent
    }

    /// Return whether these are packed weights of such cells of `shape`, with a projection if `projects`, for vectors
    /// of `isa`.
    pub(crate) fn fits(&self, isa: Isa, kind: CellKind, shape: SequenceShape, projects: bool) -> bool {
        self.recurrent.fits(kind, shape, projects, isa.lanes::<O::Sum>())
    }
}
