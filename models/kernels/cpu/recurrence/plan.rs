//! The division of a sequence among workers.

use std::ops::Range;

use super::super::active_steps::ActiveSteps;
use super::super::product::{GradientOperand, Operand, Panel, Panels, SequenceLayout};
use super::super::tuning::{
    CHUNK_BYTES, CHUNK_MIN_ROWS, CHUNK_WEIGHT_BYTES, L2_BYTES, PARALLEL_SEQUENCE_MULTIPLICATIONS,
    PARALLEL_STEP_MULTIPLICATIONS, SPLIT_BATCH_PER_THREAD,
};
use super::super::workers::Worker;
use super::shape::SequenceShape;

/// The division of a sequence among workers, and the padded sizes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// Elements of a vector.
    pub(super) lanes: usize,
    /// Vectors of hidden units.
    pub(super) unit_vectors: usize,
    /// Vectors of outputs.
    pub(super) output_vectors: usize,
    pub(super) workers: usize,
    /// Whether workers split the batch, and need no barrier, rather than the units.
    splits_batch: bool,
}

/// One worker's part of every step.
pub(super) struct WorkerRows {
    /// Rows of the batch.
    pub(super) rows: Range<usize>,
    /// Whether the worker waits for the others at every step.
    pub(super) synchronises: bool,
}

impl Plan {
    /// Make a plan for at most `threads` workers and weights stored as `O`.
    pub(super) fn new<O>(shape: SequenceShape, lanes: usize, threads: usize) -> Self {
        let SequenceShape { batch, time, hidden, output, gates } = shape;
        let (unit_vectors, output_vectors) = (hidden.div_ceil(lanes), output.div_ceil(lanes));
        let weights = gates * hidden * output;
        let step = batch * weights;
        // Workers that split the batch each read all weights at every step, workers that split the units only their
        // part. The difference matters if the weights exceed the L2 cache.
        let splits_batch = batch >= SPLIT_BATCH_PER_THREAD * threads
            && (weights * size_of::<O>() <= L2_BYTES || step < PARALLEL_STEP_MULTIPLICATIONS);
        let workers = match splits_batch {
            _ if step * time < PARALLEL_SEQUENCE_MULTIPLICATIONS => 1,
            true => threads,
            false if step < PARALLEL_STEP_MULTIPLICATIONS => 1,
            false => threads.min(unit_vectors).min(output_vectors),
        };
        Self { lanes, unit_vectors, output_vectors, workers, splits_batch }
    }

    /// Return the number of steps whose input's part of the gates is computed at a time, right before they are needed;
    /// `None` for all of them in advance.
    ///
    /// Chunks are faster if a worker's part of both matrices of weights stays in its cache and the gates of all steps
    /// would not.
    pub(super) fn chunk_steps<O: Operand>(&self, shape: SequenceShape, input: usize) -> Option<usize> {
        let SequenceShape { batch, time, hidden, output, gates } = shape;
        // Chunks have not been measured in f32.
        let is_narrow = size_of::<O>() < size_of::<O::Sum>();
        let shares = |of_units: bool| if of_units != self.splits_batch { self.workers } else { 1 };
        let weights = gates * hidden * (output + input) * size_of::<O>() / shares(true);
        let step = (batch * gates * hidden * size_of::<O::Sum>() / self.workers).max(1);
        let steps = (CHUNK_BYTES / step).max(CHUNK_MIN_ROWS.div_ceil((batch / shares(false)).max(1)));
        (is_narrow && weights <= CHUNK_WEIGHT_BYTES && steps < time).then_some(steps)
    }

    /// Return the layout of `count` numbers per unit and step.
    pub(super) fn unit_layout(&self, shape: SequenceShape, count: usize) -> SequenceLayout {
        let SequenceShape { batch, time, .. } = shape;
        let vectors = self.unit_vectors;
        SequenceLayout { batch, time, vectors, width: count * self.lanes, by_row: false }
    }

    /// Return the layout of `count` operands per unit and step.
    pub(super) fn unit_operands<O: GradientOperand>(
        &self,
        shape: SequenceShape,
        count: usize,
    ) -> SequenceLayout {
        SequenceLayout { by_row: O::BY_ROW, ..self.unit_layout(shape, count) }
    }

    /// Return the layout of operands per output and step.
    pub(super) fn output_operands<O: GradientOperand>(&self, shape: SequenceShape) -> SequenceLayout {
        SequenceLayout { by_row: O::BY_ROW, ..self.output_layout(shape) }
    }

    /// Return the layout of the outputs.
    pub(super) fn output_layout(&self, shape: SequenceShape) -> SequenceLayout {
        SequenceLayout { vectors: self.output_vectors, ..self.unit_layout(shape, 1) }
    }

    /// Return the number of elements of a padded row of the hidden state.
    pub(super) fn h_width(&self) -> usize {
        self.output_vectors * self.lanes
    }

    /// Return the number of elements of a padded row of the cell state.
    pub(super) fn c_width(&self) -> usize {
        self.unit_vectors * self.lanes
    }

    /// Return one worker's rows of the batch.
    pub(super) fn rows(&self, active: &ActiveSteps, worker: Worker<'_>) -> WorkerRows {
        match self.splits_batch {
            true => WorkerRows { rows: active.share(worker), synchronises: false },
            false => WorkerRows { rows: 0..active.size().0, synchronises: worker.count > 1 },
        }
    }

    /// Return one worker's panels.
    pub(super) fn panels<O: Operand>(&self, panels: &Panels<O>, worker: Worker<'_>) -> Vec<Panel> {
        if self.splits_batch { panels.all().to_vec() } else { panels.share(worker).collect() }
    }
}
