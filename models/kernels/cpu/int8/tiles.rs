//! The product of a tile with AMX.

use std::arch::x86_64::__m512i;

use super::super::amx::{Tiles, bytes};
use super::instructions::Dot;
use super::layout::{ByteProduct, TILE_DEPTH};
use super::x86::Avx512Vnni;

/// Rows from which tiles are faster than `vpdpbusd`.
pub(super) const MIN_ROWS: usize = 4;

/// Compute a product.
///
/// # Safety
/// That of [`Operand::multiply`](super::super::product::Operand::multiply), within a session of tiles.
#[inline]
pub(super) unsafe fn multiply(product: ByteProduct) {
    let ByteProduct { rows, vectors, depth, left, left_stride, panel, tile } = product;
    // The sums of the largest product, vectors side by side.
    let mut sums = std::mem::MaybeUninit::<[__m512i; 32 * 4]>::uninit();
    let sums = sums.as_mut_ptr().cast::<i32>();
    let tiles = depth.div_ceil(TILE_DEPTH);
    // SAFETY: the caller's promise; left rows and panels are filled up to whole tiles, and the product writes all sums.
    unsafe {
        bytes::multiply(Tiles {
            rows,
            vectors,
            left,
            left_bytes: left_stride,
            tiles,
            tail: std::ptr::null(),
            panel: panel.cast(),
            sums: sums.cast(),
        });
        finish(product, sums, tile);
    }
}

/// Add the sums to the tile.
///
/// # Safety
/// The sums must have the rows and vectors of the product.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
unsafe fn finish(product: ByteProduct, sums: *const i32, tile: *mut f32) {
    let width = product.vectors * 16;
    // SAFETY: the caller's promise.
    unsafe {
        let (scales, offsets) = product.columns(16);
        for row in 0..product.rows {
            let left_scale = product.left_scale(row);
            for column in (0..width).step_by(16) {
                let sums = Avx512Vnni::weights(sums.add(row * width + column).cast());
                let to = tile.add(row * width + column);
                Avx512Vnni::finish(sums, offsets.add(column), scales.add(column), left_scale, to);
            }
        }
    }
}
