//! The rows of a step as left-hand side, and their division into tiles.

use std::ops::Range;

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::product::{LeftRows, Operand, max_rows, split_evenly};

/// Return the rows of tiles that are `vectors` wide. With `SINGLE` the batch is 1, and the compiler drops the loops
/// over rows.
#[inline(always)]
pub(super) fn tile_rows<S: Simd, const SINGLE: bool>(
    batch: usize,
    vectors: usize,
) -> impl Iterator<Item = Range<usize>> {
    let (batch, max) = if SINGLE { (1, 1) } else { (batch, max_rows::<S>(vectors)) };
    split_evenly(0..batch, max)
}

/// Return `batch` rows of a buffer of sums as left-hand side, rounded into `rounded` if operands have another type.
///
/// # Safety
/// The buffer must have as many rows of `width`, and no thread may write to it while the result is in use.
#[inline(always)]
pub(super) unsafe fn left_rows<O: Operand>(
    sums: &Buffer<O::Sum>,
    (batch, width): (usize, usize),
    rounded: &mut Vec<O>,
) -> LeftRows<O> {
    // SAFETY: the caller's promise.
    let sums = unsafe { std::slice::from_raw_parts(sums.at(0).cast_const(), batch * width) };
    LeftRows::new(O::operands(sums, rounded).as_ptr(), width)
}
