//! The product of a tile with `vdpbf16ps`.

use std::arch::x86_64::{
    __m512, __m512bh, __m512i, _mm512_dpbf16_ps, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_set1_epi32,
    _mm512_storeu_ps,
};

use super::super::product::{LeftRows, TileProduct};
use super::super::tuning::{TILE_ROWS, TILE_SUMS_OF_32_REGISTERS};
use super::left::with_neighbours;

/// Compute a [`TileProduct`] of `rows` by `vectors`.
///
/// # Safety
/// That of [`Operand::multiply`](super::super::product::Operand::multiply), on a processor with AVX512-BF16.
#[inline]
pub(super) unsafe fn multiply((rows, vectors): (usize, usize), product: TileProduct<u16, f32>) {
    let max_rows = (TILE_SUMS_OF_32_REGISTERS / vectors.max(1)).min(TILE_ROWS);
    // SAFETY: the caller's promise.
    unsafe {
        with_neighbours((rows, vectors), product, |product| {
            for from in (0..rows).step_by(max_rows) {
                let part = TileProduct {
                    left: LeftRows {
                        start: product.left.start.add(from * product.left.row_stride),
                        ..product.left
                    },
                    tile: product.tile.add(from * vectors * 16),
                    ..product
                };
                tile(max_rows.min(rows - from), vectors, part);
            }
        });
    }
}

/// Compute a tile that fits the registers.
///
/// # Safety
/// As [`multiply`]; the left elements of a row must be neighbours.
unsafe fn tile(rows: usize, vectors: usize, product: TileProduct<u16, f32>) {
    macro_rules! sizes {
        ($($vectors:literal: $($rows:literal)*;)*) => {
            match (vectors, rows) {
                // SAFETY: the caller's promise.
                $($(($vectors, $rows) => unsafe { sized::<$rows, $vectors>(product) },)*)*
                _ => assert!(rows == 0, "a tile of {rows} by {vectors}"),
            }
        };
    }
    sizes! {
        1: 1 2 3 4 5 6 7 8 9 10 11 12;
        2: 1 2 3 4 5 6 7 8 9 10 11 12;
        3: 1 2 3 4 5 6 7 8;
        4: 1 2 3 4 5 6;
    }
}

/// Compute a tile of `R` rows by `V` vectors.
///
/// # Safety
/// As [`tile`].
#[target_feature(enable = "avx512f,avx512bf16")]
unsafe fn sized<const R: usize, const V: usize>(product: TileProduct<u16, f32>) {
    let TileProduct { depth, left, panel, tile, .. } = product;
    let (start, stride) = (left.start, left.row_stride);
    // SAFETY: the caller's promise. The last pair of an odd depth has a single element, and a zero in the panel.
    unsafe {
        let mut sums: [[__m512; V]; R] =
            std::array::from_fn(|r| std::array::from_fn(|v| _mm512_loadu_ps(tile.add((r * V + v) * 16))));
        let add = |sums: &mut [[__m512; V]; R], k: usize, pair: &dyn Fn(usize) -> i32| {
            let row = panel.add(k * V * 16);
            let right: [__m512bh; V] = std::array::from_fn(|v| {
                std::mem::transmute::<__m512i, __m512bh>(_mm512_loadu_si512(row.add(v * 32).cast()))
            });
            for (r, sums) in sums.iter_mut().enumerate() {
                let factor = std::mem::transmute::<__m512i, __m512bh>(_mm512_set1_epi32(pair(r)));
                for (sum, right) in sums.iter_mut().zip(right) {
                    *sum = _mm512_dpbf16_ps(*sum, factor, right);
                }
            }
        };
        for k in (0..depth / 2 * 2).step_by(2) {
            let pair = |r: usize| start.add(r * stride + k).cast::<i32>().read_unaligned();
            add(&mut sums, k, &pair);
        }
        if depth % 2 == 1 {
            let last = |r: usize| i32::from(*start.add(r * stride + depth - 1));
            add(&mut sums, depth - 1, &last);
        }
        for (r, sums) in sums.into_iter().enumerate() {
            for (v, sum) in sums.into_iter().enumerate() {
                _mm512_storeu_ps(tile.add((r * V + v) * 16), sum);
            }
        }
    }
}
