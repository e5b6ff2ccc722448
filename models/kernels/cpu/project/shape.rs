//! The sizes of a projection.

use super::super::padding::padded;
use super::super::product::{GradientOperand, PanelShape, SequenceLayout};
use super::super::tuning::{PARALLEL_PROJECTION_MULTIPLICATIONS, SPLIT_ROWS_PER_WORKER, STEP_MAJOR_BATCH};
use super::super::workers::threads_for;

/// Sizes of a projection of the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InputShape {
    pub(crate) batch: usize,
    pub(crate) time: usize,
    /// Features of the input.
    pub(crate) input: usize,
    /// Units.
    pub(crate) hidden: usize,
    /// Gates per unit.
    pub(crate) gates: usize,
}

impl InputShape {
    /// Return the number of rows of the input.
    pub(super) fn rows(self) -> usize {
        self.batch * self.time
    }

    /// Return the number of elements of the gates of one row, padded.
    pub(super) fn gate_width(self, lanes: usize) -> usize {
        padded(self.hidden, lanes) * self.gates
    }

    /// Return the layout of the gates.
    pub(super) fn layout(self, lanes: usize) -> SequenceLayout {
        let vectors = self.hidden.div_ceil(lanes);
        SequenceLayout {
            batch: self.batch,
            time: self.time,
            vectors,
            width: self.gates * lanes,
            by_row: false,
        }
    }

    /// Return the layout of the gradients of the gates.
    pub(super) fn gradient_layout<O: GradientOperand>(self, lanes: usize) -> SequenceLayout {
        SequenceLayout { by_row: O::BY_ROW, ..self.layout(lanes) }
    }

    /// Return the packed weights of the forward product.
    pub(super) fn panels(self, lanes: usize) -> PanelShape {
        let groups = self.hidden.div_ceil(lanes);
        PanelShape { depth: self.input, groups, group_vectors: self.gates, lanes }
    }

    /// Return the number of workers for one product of `rows` rows.
    pub(super) fn workers(self, rows: usize, lanes: usize) -> usize {
        let multiplications = rows * self.input * self.gate_width(lanes);
        threads_for(multiplications, PARALLEL_PROJECTION_MULTIPLICATIONS)
    }

    /// Return whether a product takes its rows step by step with the whole batch each, rather than row by row with all
    /// steps each, as for a batch too small to fill a tile.
    pub(super) fn is_by_step(self) -> bool {
        self.batch >= STEP_MAJOR_BATCH
    }
}

/// Return whether workers split the rows of a product rather than its panels.
pub(super) fn splits_rows(rows: usize, workers: usize) -> bool {
    rows >= SPLIT_ROWS_PER_WORKER * workers
}
