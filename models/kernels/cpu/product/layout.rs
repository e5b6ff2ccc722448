//! The layout of sequences in memory.

use super::left::LeftRows;

/// The layout (time, vectors, batch, width), the order in which the recurrence visits elements: a tile of the
/// recurrent product, some rows by one vector of units, is read and written sequentially.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SequenceLayout {
    pub(crate) batch: usize,
    pub(crate) time: usize,
    /// Vectors of units or of outputs.
    pub(crate) vectors: usize,
    /// Elements per vector, row and step: the lanes, times the gates if there are several.
    pub(crate) width: usize,
    /// Whether all vectors of a row are neighbours, the layout (time, batch, vectors, width): that of operands whose
    /// products read rows of more elements than a vector has.
    pub(crate) by_row: bool,
}

impl SequenceLayout {
    /// Return the number of elements.
    pub(crate) fn len(self) -> usize {
        self.time * self.step_len()
    }

    /// Return the number of elements of a time step.
    fn step_len(self) -> usize {
        self.vectors * self.batch * self.width
    }

    /// Return the index of the first element of a vector.
    pub(crate) fn at(self, t: usize, vector: usize, row: usize) -> usize {
        match self.by_row {
            true => ((t * self.batch + row) * self.vectors + vector) * self.width,
            false => ((t * self.vectors + vector) * self.batch + row) * self.width,
        }
    }

    /// Return the index of the first vector of each of `steps`, a step and a row each.
    pub(crate) fn starts(self, steps: &[(usize, usize)]) -> Vec<usize> {
        steps.iter().map(|&(t, row)| self.at(t, 0, row)).collect()
    }

    /// Return the distance between the vectors of a row.
    pub(crate) fn vector_stride(self) -> usize {
        if self.by_row { self.width } else { self.batch * self.width }
    }

    /// Return the batch rows of step `t` from `row` on, as left-hand side of a product whose depth is all vectors.
    ///
    /// # Safety
    /// `start` must point to elements in this layout; `t` and `row` must be within it.
    pub(crate) unsafe fn rows_of_step<T>(self, start: *const T, t: usize, row: usize) -> LeftRows<T> {
        // SAFETY: the caller's promise.
        let start = unsafe { start.add(self.at(t, 0, row)) };
        if self.by_row {
            return LeftRows::new(start, self.vectors * self.width);
        }
        LeftRows {
            start,
            row_stride: self.width,
            depth_stride: 1,
            run: self.width,
            run_stride: self.batch * self.width,
            is_padded: false,
        }
    }

    /// Return the steps of batch row `row` from `t` on, as left-hand side of the same kind.
    ///
    /// # Safety
    /// As [`SequenceLayout::rows_of_step`].
    pub(crate) unsafe fn steps_of_row<T>(self, start: *const T, t: usize, row: usize) -> LeftRows<T> {
        // SAFETY: the caller's promise.
        LeftRows { row_stride: self.step_len(), ..unsafe { self.rows_of_step(start, t, row) } }
    }
}
