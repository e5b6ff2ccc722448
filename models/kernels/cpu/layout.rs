//! Where the numbers of a sequence lie.

use super::product::Rows;

/// Numbers for every step, row and vector of a sequence, in the order in which the recurrence visits them:
/// (time, vectors, batch, width). A tile of the recurrent product reads and writes them from front to back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SequenceLayout {
    pub batch: usize,
    pub time: usize,
    /// Vectors of units, or of outputs.
    pub vectors: usize,
    /// Numbers of a vector: its lanes, for each gate.
    pub width: usize,
}

impl SequenceLayout {
    /// Numbers in all.
    pub(crate) fn len(self) -> usize {
        self.time * self.step()
    }

    /// Numbers of a step.
    fn step(self) -> usize {
        self.vectors * self.batch * self.width
    }

    /// Where a vector begins.
    pub(crate) fn at(self, t: usize, vector: usize, row: usize) -> usize {
        ((t * self.vectors + vector) * self.batch + row) * self.width
    }

    /// Some of the batch's rows at one step, from `row` on, as the left side of a product over all vectors.
    ///
    /// # Safety
    /// `start` must point to numbers in this layout, and step and row must be among them.
    pub(super) unsafe fn rows<E>(self, start: *const E, t: usize, row: usize) -> Rows<E> {
        // SAFETY: the caller's promise.
        let start = unsafe { start.add(self.at(t, 0, row)) };
        Rows {
            start,
            row_step: self.width,
            depth_step: 1,
            run: self.width,
            run_step: self.batch * self.width,
        }
    }

    /// Some steps of one of the batch's rows, from `t` on, likewise.
    ///
    /// # Safety
    /// As [`SequenceLayout::rows`].
    pub(super) unsafe fn steps<E>(self, start: *const E, t: usize, row: usize) -> Rows<E> {
        // SAFETY: the caller's promise.
        Rows { row_step: self.step(), ..unsafe { self.rows(start, t, row) } }
    }

    /// The step and row of number `at` of all, step by step.
    pub(super) fn step_and_row(self, at: usize) -> (usize, usize) {
        (at / self.batch, at % self.batch)
    }
}
