//! The rows of a step as left-hand side, and their division into tiles.

use std::ops::Range;

use pulp::Simd;

use super::super::memory::Buffer;
use super::super::product::{LeftRows, Operand, Panel, max_rows, split_evenly};
use super::super::workers::Worker;

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

/// Return panels in their order, or in the opposite order at every other step. Weights that exceed the cache are then
/// read from the end that was read last, which is still there.
#[inline(always)]
pub(super) fn alternating(
    mut panels: impl DoubleEndedIterator<Item = Panel>,
    current: usize,
) -> impl Iterator<Item = Panel> {
    std::iter::from_fn(move || if current == 0 { panels.next() } else { panels.next_back() })
}

/// Rows of sums, each `width` elements after the one before.
#[derive(Clone, Copy)]
pub(super) struct SumRows<E> {
    pub(super) start: *const E,
    pub(super) width: usize,
}

/// Memory of each worker for rows of operands: of the input, and of the state or of the operand of the projection.
pub(super) struct StreamRows<O>([Vec<Buffer<O>>; 2]);

impl<O: Operand> StreamRows<O> {
    /// Make memory for `workers` with rows of up to `width` elements.
    pub(super) fn new(workers: usize, batch: usize, width: usize) -> Self {
        let len = if O::IS_SUM { 0 } else { batch * O::row_len(width) };
        Self([(); 2].map(|()| (0..workers).map(|_| Buffer::new(len)).collect()))
    }

    /// Return the number of workers that have memory.
    pub(super) fn workers(&self) -> usize {
        self.0[0].len()
    }

    /// Return `batch` rows of `depth` sums as left-hand side, rounded into part `part` of the worker's memory if
    /// operands have another type. See [`Operand::round_row`] for `limit`.
    ///
    /// # Safety
    /// The rows must exist, no thread may write to them while the result is in use, and part `part` must not be in use.
    #[inline(always)]
    pub(super) unsafe fn left<S: Simd>(
        &self,
        simd: S,
        (worker, part): (Worker<'_>, usize),
        sums: SumRows<O::Sum>,
        (batch, depth): (usize, usize),
        limit: O::Sum,
    ) -> LeftRows<O> {
        if O::IS_SUM {
            return LeftRows::new(sums.start.cast(), sums.width);
        }
        let (to, stride) = (self.0[part][worker.index].at(0), O::row_len(depth));
        for row in 0..batch {
            // SAFETY: the caller's promise; each worker has its own memory.
            unsafe {
                O::round_row(simd, sums.start.add(row * sums.width), to.add(row * stride), depth, limit);
            };
        }
        LeftRows { is_padded: true, ..LeftRows::new(to.cast_const(), stride) }
    }
}
