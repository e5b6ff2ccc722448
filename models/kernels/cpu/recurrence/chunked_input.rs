//! The input's part of the gates, a few steps at a time, so that it is read while it is in the cache.

use std::ops::Range;

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::product::{Operand, Panel, SequenceLayout};
use super::super::project::StepProjection;
use super::super::workers::Worker;
use super::plan::Plan;
use super::sequence::Sequence;

/// The input of a forward pass that computes its part of the gates a chunk of steps at a time.
pub(super) struct ChunkedInput<'a, O: Operand> {
    pub(super) projection: StepProjection<'a, O>,
    /// Steps of a chunk.
    pub(super) steps: usize,
    /// Whether the gates of all steps have memory, rather than those of one chunk.
    pub(super) keeps: bool,
}

impl<'a, O: Operand> ChunkedInput<'a, O> {
    /// Return the step of the memory of the gates for the time step `t` at `position`.
    #[inline(always)]
    pub(super) fn slot(&self, position: usize, t: usize) -> usize {
        if self.keeps { t } else { position % self.steps }
    }

    /// Return one worker's part: rows of the batch, panels, and memory for operands.
    pub(super) fn part(&self, plan: &Plan, rows: Range<usize>, worker: Worker<'_>) -> InputPart<'_, O> {
        InputPart {
            input: self,
            panels: plan.panels(self.projection.packed().panels(), worker),
            operands: self.projection.operands(self.steps * rows.len()),
            rows,
        }
    }
}

/// One worker's part of the input: the gates that the worker's recurrent products start from, and no others.
pub(super) struct InputPart<'a, O: Operand> {
    input: &'a ChunkedInput<'a, O>,
    rows: Range<usize>,
    panels: Vec<Panel>,
    operands: Buffer<O>,
}

impl<O: Operand> InputPart<'_, O> {
    /// Compute the chunk that begins at `position`, if one does.
    ///
    /// # Safety
    /// `gates` must have the memory of the layout, of all steps or of one chunk, and the weights be packed.
    #[inline(always)]
    pub(super) unsafe fn chunk<S: Simd>(
        &self,
        simd: S,
        sequence: &Sequence<O::Sum>,
        position: usize,
        (gates, layout): (&Buffer<O::Sum>, SequenceLayout),
    ) {
        let ChunkedInput { projection, steps, .. } = self.input;
        if !position.is_multiple_of(*steps) {
            return;
        }
        let end = sequence.shape.time.min(position + steps);
        let (first, last) = (sequence.time_step(position), sequence.time_step(end - 1));
        let times = first.min(last)..first.max(last) + 1;
        let (from, len) = (times.start, times.len());
        // SAFETY: the caller's promise.
        unsafe {
            projection.run(
                simd,
                (times, self.rows.clone()),
                &self.panels,
                &self.operands,
                |step, row, group| {
                    let slot = match (self.input.keeps, sequence.reverse) {
                        (true, _) => from + step,
                        (false, false) => step,
                        (false, true) => len - 1 - step,
                    };
                    gates.at(layout.at(slot, group, row))
                },
            );
        }
    }
}
