//! A matrix of sums as the left-hand side of a product, rounded by all workers together.

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::simd::Float;
use super::super::workers::Worker;
use super::left::LeftRows;
use super::operand::Operand;

/// The rows of a matrix as operands: the matrix itself if its elements are operands, else a rounded copy, whose rows
/// are filled up with zeros to [`Operand::DEPTH_STEP`].
pub(crate) struct Operands<'a, O: Operand> {
    sums: &'a [O::Sum],
    width: usize,
    rounded: Buffer<O>,
}

impl<'a, O: Operand> Operands<'a, O> {
    /// Make room for the operands of `sums`, (rows, width). The workers then call [`Operands::round`].
    pub(crate) fn new(sums: &'a [O::Sum], width: usize) -> Self {
        let rows = sums.len() / width.max(1);
        let len = if O::IS_SUM { 0 } else { rows * O::row_len(width) };
        Self { sums, width, rounded: Buffer::new(len) }
    }

    /// Return the distance between two rows, in operands.
    pub(crate) fn stride(&self) -> usize {
        if O::IS_SUM { self.width } else { O::row_len(self.width) }
    }

    /// Round one worker's share of the rows.
    ///
    /// # Safety
    /// Each worker must call this, and a barrier must follow before the rows are read.
    #[inline(always)]
    pub(crate) unsafe fn round<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        if O::IS_SUM {
            return;
        }
        let (width, stride) = (self.width, self.stride());
        for row in worker.share(self.sums.len() / width.max(1)) {
            // SAFETY: both have that row; workers write different rows.
            unsafe {
                let to = self.rounded.at(row * stride);
                O::round_row(simd, self.sums.as_ptr().add(row * width), to, width, O::Sum::ZERO);
            }
        }
    }

    /// Return the rows from `row` on, each `step` rows behind the one before.
    ///
    /// # Safety
    /// The matrix must have that row.
    pub(crate) unsafe fn rows(&self, row: usize, step: usize) -> LeftRows<O> {
        let start = match O::IS_SUM {
            true => self.sums.as_ptr().cast(),
            false => self.rounded.at(0).cast_const(),
        };
        // SAFETY: the caller's promise.
        let start = unsafe { start.add(row * self.stride()) };
        LeftRows { is_padded: !O::IS_SUM, ..LeftRows::new(start, step * self.stride()) }
    }
}
