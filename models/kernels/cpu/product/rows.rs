//! Weighted sums of rows, for products that are too small to be packed: those of each sequence of a batch.

use pulp::Simd;

use super::super::memory::SharedPtr;
use super::super::simd::{Float, Isa, Vector};
use super::super::tuning::PARALLEL_STEP_MULTIPLICATIONS;
use super::super::workers::{Kernel, Worker, run_kernel, threads_for};

/// Vectors of sums that are kept in registers.
pub(crate) const ROW_SUMS: usize = 4;

/// Add to `sums`, (batch, n, m), the outer products of `left`, (batch, steps, n), and `right`, (batch, steps, m),
/// summed over the steps of each row of the batch. `right` has `stride` elements from one step to the next.
///
/// # Panics
/// If the sizes disagree.
pub(crate) fn add_outer_products_of_rows<E: Float>(
    isa: Isa,
    steps: usize,
    (left, n): (&[E], usize),
    (right, m, stride): (&[E], usize, usize),
    sums: &mut [E],
) {
    let batch = sums.len() / (n * m).max(1);
    assert_eq!((left.len(), sums.len()), (batch * steps * n, batch * n * m), "outer products of rows");
    let rows = batch * steps;
    assert!(m <= stride && (rows == 0 || right.len() >= (rows - 1) * stride + m), "rows of {m}");
    let limit = threads_for(rows * n * m, PARALLEL_STEP_MULTIPLICATIONS);
    let kernel = OuterProductsOfRows { steps, left, n, right, m, stride, batch, sums: SharedPtr::new(sums) };
    // SAFETY: sizes were checked above.
    unsafe { run_kernel(isa, limit, &kernel) };
}

struct OuterProductsOfRows<'a, E> {
    steps: usize,
    left: &'a [E],
    n: usize,
    right: &'a [E],
    m: usize,
    stride: usize,
    batch: usize,
    sums: SharedPtr<E>,
}

impl<E: Float> Kernel for OuterProductsOfRows<'_, E> {
    /// # Safety
    /// All slices must have their sizes.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Self { steps, left, n, right, m, stride, batch, sums } = *self;
        for index in worker.share(batch * n) {
            let (row, column) = (index / n, index % n);
            // SAFETY: the caller's promise; workers write different rows of the sums.
            unsafe {
                let weights = left.as_ptr().add(row * steps * n + column);
                let rows = right.as_ptr().add(row * steps * stride);
                add_weighted(simd, steps, (weights, n), (rows, stride), (sums.at(index * m), m));
            }
        }
    }
}

/// Add `count` rows, times a weight each, to `width` sums. There are `weight_stride` elements from one weight to the
/// next, and `stride` from one row to the next.
///
/// # Safety
/// There must be so many weights and rows of `width` elements, and `width` sums.
#[inline(always)]
pub(crate) unsafe fn add_weighted<S: Simd, E: Float>(
    simd: S,
    count: usize,
    (weights, weight_stride): (*const E, usize),
    (rows, stride): (*const E, usize),
    (sums, width): (*mut E, usize),
) {
    let lanes = E::lanes::<S>();
    let whole = width - width % (ROW_SUMS * lanes);
    // SAFETY: the caller's promise.
    unsafe {
        for from in (0..whole).step_by(ROW_SUMS * lanes) {
            let mut block: [Vector<S, E>; ROW_SUMS] = Vector::load_all(simd, sums.add(from));
            for index in 0..count {
                let weight = Vector::splat(simd, *weights.add(index * weight_stride));
                let row = rows.add(index * stride + from);
                for (index, sum) in block.iter_mut().enumerate() {
                    *sum = weight.mul_add(Vector::load(simd, row.add(index * lanes)), *sum);
                }
            }
            Vector::store_all(block, sums.add(from));
        }
        for from in (whole..width).step_by(lanes) {
            let rest = lanes.min(width - from);
            let mut sum = Vector::load_first(simd, sums.add(from), rest);
            for index in 0..count {
                let weight = Vector::splat(simd, *weights.add(index * weight_stride));
                sum = weight.mul_add(Vector::load_first(simd, rows.add(index * stride + from), rest), sum);
            }
            sum.store_first(sums.add(from), rest);
        }
    }
}
