//! Left sides whose elements are not neighbours, copied block by block into rows that are.

use super::super::product::{LeftRows, TileProduct};
use super::pairs::Bf16;

/// Elements of the depth that are copied at a time.
const BLOCK_DEPTH: usize = 256;

/// Rows of the tallest product.
const MAX_ROWS: usize = 32;

/// Depth of a tile: rows are filled up to it with zeros.
const STEP: usize = 32;

/// Call `multiply` with products whose left side has its elements side by side: with the product itself if it has, else
/// with one block of the depth after another.
///
/// # Safety
/// That of [`Operand::multiply`](super::super::product::Operand::multiply) for `rows` by `vectors`.
#[inline(always)]
pub(super) unsafe fn with_neighbours(
    (rows, vectors): (usize, usize),
    product: TileProduct<Bf16, f32>,
    multiply: impl Fn(TileProduct<Bf16, f32>),
) {
    let left = product.left;
    if left.depth_stride == 1 && left.run >= product.depth {
        return multiply(product);
    }
    let mut block = [0u16; MAX_ROWS * BLOCK_DEPTH];
    let width = vectors * 16;
    for from in (0..product.depth).step_by(BLOCK_DEPTH) {
        let depth = BLOCK_DEPTH.min(product.depth - from);
        let padded = depth.next_multiple_of(STEP);
        for r in 0..rows {
            let row = &mut block[r * BLOCK_DEPTH..][..padded];
            for (k, element) in (from..from + depth).zip(&mut *row) {
                let offset = k / left.run * left.run_stride + k % left.run * left.depth_stride;
                // SAFETY: the caller's promise.
                *element = unsafe { *left.start.add(r * left.row_stride + offset).cast::<u16>() };
            }
            row[depth..].fill(0);
        }
        let mut part = product;
        part.depth = depth;
        part.left = LeftRows { is_padded: true, ..LeftRows::new(block.as_ptr().cast(), BLOCK_DEPTH) };
        // SAFETY: the panel has the whole depth.
        part.panel = unsafe { product.panel.add(from * width) };
        multiply(part);
    }
}
