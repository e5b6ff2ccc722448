//! A matrix of sums as the left-hand side of a product, rounded by all workers together.

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::simd::Float;
use super::super::workers::Worker;
use super::left::LeftRows;
use super::operand::Operand;

/// The rows of a matrix as operands: the matrix itself if its elements are operands and all rows are taken, else a
/// rounded copy, whose rows are filled up with zeros to [`Operand::DEPTH_MULTIPLE`].
pub(crate) struct Operands<'a, O: Operand> {
    sums: &'a [O::Sum],
    width: usize,
    /// The rows to take, in this order; `None` means all.
    picked: Option<Vec<usize>>,
    /// See [`Operand::round_row`].
    limit: O::Sum,
    rounded: Buffer<O>,
}

impl<'a, O: Operand> Operands<'a, O> {
    /// Make room for the operands of `sums`, (rows, width). The workers then call [`Operands::round`].
    pub(crate) fn new(sums: &'a [O::Sum], width: usize) -> Self {
        let rows = sums.len() / width.max(1);
        let len = if O::IS_SUM { 0 } else { rows * O::row_len(width) };
        Self { sums, width, picked: None, limit: O::Sum::ZERO, rounded: Buffer::new(len) }
    }

    /// Round with this limit, see [`Operand::round_row`], in place of zero.
    pub(crate) fn within(self, limit: O::Sum) -> Self {
        Self { limit, ..self }
    }

    /// Make room for the operands of these rows of `sums`, (rows, width), in this order.
    pub(crate) fn of_rows(sums: &'a [O::Sum], width: usize, rows: Vec<usize>) -> Self {
        let rounded = Buffer::new(rows.len() * O::row_len(width));
        Self { sums, width, picked: Some(rows), limit: O::Sum::ZERO, rounded }
    }

    /// Return whether the operands are a copy.
    fn is_copy(&self) -> bool {
        !O::IS_SUM || self.picked.is_some()
    }

    /// Return the distance between two rows, in operands.
    pub(crate) fn stride(&self) -> usize {
        if self.is_copy() { O::row_len(self.width) } else { self.width }
    }

    /// Round one worker's share of the rows.
    ///
    /// # Safety
    /// Each worker must call this, and a barrier must follow before the rows are read.
    #[inline(always)]
    pub(crate) unsafe fn round<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        if !self.is_copy() {
            return;
        }
        let (width, stride) = (self.width, self.stride());
        let picked = self.picked.as_deref();
        for row in worker.share(picked.map_or(self.sums.len() / width.max(1), <[usize]>::len)) {
            let from = &self.sums[picked.map_or(row, |rows| rows[row]) * width..][..width];
            // SAFETY: the copy has that row; workers write different rows.
            unsafe { O::round_row(simd, from.as_ptr(), self.rounded.at(row * stride), width, self.limit) };
        }
    }

    /// Return the rows from `row` on, each `step` rows after the one before, counted among those that are taken.
    ///
    /// # Safety
    /// There must be such a row.
    pub(crate) unsafe fn rows(&self, row: usize, step: usize) -> LeftRows<O> {
        let start = match self.is_copy() {
            true => self.rounded.at(0).cast_const(),
            false => self.sums.as_ptr().cast(),
        };
        // SAFETY: the caller's promise.
        let start = unsafe { start.add(row * self.stride()) };
        LeftRows { is_padded: self.is_copy(), ..LeftRows::new(start, step * self.stride()) }
    }
}
