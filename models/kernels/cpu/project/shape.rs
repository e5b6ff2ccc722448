//! The sizes of a projection, and the order in which it takes its rows.

use super::super::padding::padded;
use super::super::product::{GradientOperand, PanelShape, SequenceLayout};
use super::super::tuning::{PARALLEL_PROJECTION_MULTIPLICATIONS, SPLIT_ROWS_PER_WORKER, STEP_MAJOR_BATCH};
use super::super::workers::threads_for;

/// Sizes of a projection of the input.
#[derive(Clone, Copy, Debug)]
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

    /// Return the number of workers for one product.
    pub(super) fn workers(self, lanes: usize) -> usize {
        let multiplications = self.rows() * self.input * self.gate_width(lanes);
        threads_for(multiplications, PARALLEL_PROJECTION_MULTIPLICATIONS)
    }

    /// Return whether workers split the rows of a product rather than its panels.
    pub(super) fn splits_rows(self, workers: usize) -> bool {
        self.rows() >= SPLIT_ROWS_PER_WORKER * workers
    }

    pub(super) fn row_order(self) -> RowOrder {
        RowOrder { by_step: self.batch >= STEP_MAJOR_BATCH, batch: self.batch, time: self.time }
    }
}

/// The order in which a product takes the rows of the input: step by step with the whole batch each, or, for a
/// batch too small to fill a tile, batch row by batch row with all steps each.
#[derive(Clone, Copy)]
pub(super) struct RowOrder {
    pub(super) by_step: bool,
    batch: usize,
    time: usize,
}

impl RowOrder {
    /// Return the step and the batch row of row `index`.
    pub(super) fn step_and_row(self, index: usize) -> (usize, usize) {
        match self.by_step {
            true => (index / self.batch, index % self.batch),
            false => (index % self.time, index / self.time),
        }
    }

    /// Return the number of rows between multiples of which consecutive rows have one stride.
    pub(super) fn stride_run(self) -> usize {
        if self.by_step { self.batch } else { self.time.max(1) }
    }
}
