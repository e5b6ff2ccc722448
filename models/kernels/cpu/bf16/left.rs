//! Strided left-hand sides, copied block by block to contiguous rows.

use std::ops::Range;

use super::super::product::{LeftRows, TileProduct};
use super::layout::{MAX_ROWS, TILE_DEPTH};
use super::transpose;

/// Elements of the depth that are copied at a time.
const BLOCK_DEPTH: usize = 256;

/// Call `multiply` with products whose left rows are contiguous: with the product itself if its rows are, else with one
/// block of the depth after another.
///
/// # Safety
/// That of [`Operand::multiply`](super::super::product::Operand::multiply) for `rows` by `vectors`.
#[inline(always)]
pub(super) unsafe fn with_neighbours(
    (rows, vectors): (usize, usize),
    product: TileProduct<u16, f32>,
    multiply: impl Fn(TileProduct<u16, f32>),
) {
    let left = product.left;
    if left.depth_stride == 1 && left.run >= product.depth {
        return multiply(product);
    }
    let mut block = [0u16; MAX_ROWS * BLOCK_DEPTH];
    let width = vectors * 16;
    for from in (0..product.depth).step_by(BLOCK_DEPTH) {
        let depth = BLOCK_DEPTH.min(product.depth - from);
        // SAFETY: the caller's promise.
        unsafe { copy(product.left, rows, from..from + depth, &mut block) };
        let mut part = product;
        part.depth = depth;
        part.left = LeftRows { is_padded: true, ..LeftRows::new(block.as_ptr().cast(), BLOCK_DEPTH) };
        // SAFETY: the panel has the whole depth.
        part.panel = unsafe { product.panel.add(from * width) };
        multiply(part);
    }
}

/// Copy the elements `depth` of `rows` rows into rows of `block`, filled up with zeros.
///
/// # Safety
/// `left` must have the rows and the depth. The processor must have AVX-512.
unsafe fn copy(left: LeftRows<u16>, rows: usize, depth: Range<usize>, block: &mut [u16]) {
    let start = left.start;
    let padded = depth.len().next_multiple_of(TILE_DEPTH);
    if left.row_stride == 1 && left.run == usize::MAX {
        // A transposed matrix: consecutive rows are neighbours in memory.
        for k in (0..padded).step_by(TILE_DEPTH) {
            let rows_of = std::array::from_fn(|i| match k + i < depth.len() {
                true => start.wrapping_add((depth.start + k + i) * left.depth_stride),
                false => std::ptr::null(),
            });
            for r in (0..rows).step_by(16) {
                let sources =
                    rows_of.map(|row: *const u16| if row.is_null() { row } else { row.wrapping_add(r) });
                let to = block[r * BLOCK_DEPTH + k..].as_mut_ptr();
                // SAFETY: the caller's promise; `block` has room for the rows, each of `BLOCK_DEPTH`.
                unsafe { transpose::rows_of_operands(&sources, (rows - r).min(16), to, BLOCK_DEPTH) };
            }
        }
        return;
    }
    for r in 0..rows {
        let row = &mut block[r * BLOCK_DEPTH..][..padded];
        for (k, element) in depth.clone().zip(&mut *row) {
            let offset = k / left.run * left.run_stride + k % left.run * left.depth_stride;
            // SAFETY: the caller's promise.
            *element = unsafe { *start.add(r * left.row_stride + offset) };
        }
        row[depth.len()..].fill(0);
    }
}
