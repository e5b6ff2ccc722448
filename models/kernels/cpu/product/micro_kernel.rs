//! The micro-kernel: the product of one tile, summed in registers.

use pulp::Simd;

use super::super::memory::CACHE_LINE;
use super::super::simd::{Float, Vector};
use super::left::LeftRows;

/// The product of one tile: `tile += left * panel`, with factors of type `T` and sums of type `E`.
///
/// The tile has its rows side by side without gaps; the panel has a row of the tile's width for each `k` below
/// `depth`.
#[derive(Clone, Copy)]
pub(crate) struct TileProduct<T, E> {
    pub(crate) depth: usize,
    pub(crate) left: LeftRows<T>,
    pub(crate) panel: *const T,
    pub(crate) tile: *mut E,
    /// Memory to prefetch meanwhile, one cache line per `k`, or null. Any other address is fine.
    pub(crate) prefetch: *const T,
}

/// Compute a [`TileProduct`] of `R` rows by `V` vectors, with factors of the type of the sums.
///
/// Tiles of one row or two do not prefetch: they read their panel too fast for that to help.
///
/// # Safety
/// `left` must have `R` rows of `depth` elements, `panel` `depth * V` vectors, and `tile` `R * V` vectors.
#[inline(always)]
pub(super) unsafe fn multiply_tile<S: Simd, E: Float, const R: usize, const V: usize>(
    simd: S,
    product: TileProduct<E, E>,
) {
    let TileProduct { depth, left, mut panel, tile, mut prefetch } = product;
    let width = V * E::lanes::<S>();
    // SAFETY: the caller's promise.
    unsafe {
        let mut sums: [[Vector<S, E>; V]; R] =
            std::array::from_fn(|r| Vector::load_all(simd, tile.add(r * width)));
        let (mut start, mut rest) = (left.start, depth);
        while rest > 0 {
            let run = rest.min(left.run);
            for k in 0..run {
                if R > 2 && !prefetch.is_null() {
                    prefetch_line(prefetch);
                    prefetch = prefetch.wrapping_add(CACHE_LINE / size_of::<E>());
                }
                let factor = |r| Vector::splat(simd, *start.add(r * left.row_stride + k * left.depth_stride));
                // Of the factors of both sides, the fewer are held in registers.
                if S::REGISTER_COUNT < 32 && R <= V {
                    let factors: [Vector<S, E>; R] = std::array::from_fn(factor);
                    for v in 0..V {
                        let right = Vector::load(simd, panel.add(k * width + v * E::lanes::<S>()));
                        for (sums, factor) in sums.iter_mut().zip(factors) {
                            sums[v] = factor.mul_add(right, sums[v]);
                        }
                    }
                } else {
                    let right: [Vector<S, E>; V] = Vector::load_all(simd, panel.add(k * width));
                    for (r, sums) in sums.iter_mut().enumerate() {
                        let factor = factor(r);
                        for (sum, right) in sums.iter_mut().zip(right) {
                            *sum = factor.mul_add(right, *sum);
                        }
                    }
                }
            }
            panel = panel.add(run * width);
            start = start.wrapping_add(left.run_stride);
            rest -= run;
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                sum.store(tile.add(r * width + v * E::lanes::<S>()));
            }
        }
    }
}

/// Request a cache line that will be read soon; any address is fine.
#[inline(always)]
fn prefetch_line<T>(address: *const T) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch reads nothing and never faults, and every x86-64 processor has it.
    unsafe {
        use std::arch::x86_64::{_MM_HINT_T1, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T1>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
