//! The operands of the products of a step, rounded as they are stored or, if operands are scaled, row by row.

use std::ops::Range;

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::product::{LeftRows, Operand, SumVector};
use super::shape::SequenceShape;

/// Store a vector of an operand, rounded if it can be rounded by itself.
///
/// # Safety
/// `index` must be that of a vector of the buffer.
#[inline(always)]
pub(super) unsafe fn store<S: Simd, O: Operand>(
    sums: SumVector<S, O>,
    (rounded, unrounded): (&Buffer<O>, &Buffer<O::Sum>),
    index: usize,
) {
    // SAFETY: the caller's promise.
    unsafe {
        match O::IS_SCALED {
            true => sums.store(unrounded.at(index)),
            false => O::store_rounded(sums, rounded.at(index)),
        }
    }
}

/// Memory of one worker for scaled operands: its rows of the batch, of the product that is next.
pub(super) struct RoundedRows<O: Operand> {
    rows: Range<usize>,
    elements: Buffer<O>,
}

impl<O: Operand> RoundedRows<O> {
    /// Make memory for `rows` of the batch; `has_second` says whether a step has a second product.
    pub(super) fn new(
        SequenceShape { hidden, output, .. }: SequenceShape,
        has_second: bool,
        rows: Range<usize>,
    ) -> Self {
        let width = if has_second { hidden.max(output) } else { output };
        let len = if O::IS_SCALED { rows.len() * O::row_len(width) } else { 0 };
        Self { rows, elements: Buffer::new(len) }
    }

    /// Round the first `depth` elements of the worker's rows among the first `batch` of `sums`, which are `width` wide.
    ///
    /// # Safety
    /// `sums` must have the rows of the batch, and the depth be one of a product of the pass.
    #[inline(always)]
    pub(super) unsafe fn round<S: Simd>(
        &self,
        simd: S,
        batch: usize,
        (sums, width): (&Buffer<O::Sum>, usize),
        (depth, limit): (usize, O::Sum),
    ) {
        if !O::IS_SCALED {
            return;
        }
        for (index, row) in self.rows.clone().enumerate().take_while(|&(_, row)| row < batch) {
            let to = self.elements.at(index * O::row_len(depth));
            // SAFETY: the caller's promise.
            unsafe { O::round_row(simd, sums.at(row * width), to, depth, limit) };
        }
    }

    /// Return the rows from `row` on as left-hand side of `depth`: these, if operands are scaled, else those of
    /// `operand`, which are `width` wide.
    #[inline(always)]
    pub(super) fn left(
        &self,
        row: usize,
        operand: &Buffer<O>,
        (depth, width): (usize, usize),
    ) -> LeftRows<O> {
        match O::IS_SCALED {
            true => {
                let stride = O::row_len(depth);
                let start = self.elements.at((row - self.rows.start) * stride);
                LeftRows { is_padded: true, ..LeftRows::new(start.cast_const(), stride) }
            }
            false => LeftRows::new(operand.at(row * width).cast_const(), width),
        }
    }
}
