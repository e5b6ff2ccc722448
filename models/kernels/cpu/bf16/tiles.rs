//! The product of a tile with AMX.

use super::super::amx::{Tiles, pairs};
use super::super::product::TileProduct;
use super::layout::{MAX_ROWS, TILE_DEPTH};
use super::left::with_neighbours;

/// The rest of the left rows after the last whole tile, filled up with zeros.
#[repr(align(64))]
struct Tail([u16; MAX_ROWS * TILE_DEPTH]);

/// Compute a [`TileProduct`] of `rows` by `vectors`.
///
/// # Safety
/// That of [`Operand::multiply`](super::super::product::Operand::multiply), within a session of tiles.
#[inline]
pub(super) unsafe fn multiply((rows, vectors): (usize, usize), product: TileProduct<u16, f32>) {
    if rows == 0 {
        return;
    }
    // SAFETY: the caller's promise.
    unsafe {
        with_neighbours((rows, vectors), product, |product| {
            let TileProduct { depth, left, panel, tile, .. } = product;
            let start = left.start;
            let mut tiles = Tiles {
                rows,
                vectors,
                left: start.cast(),
                left_bytes: left.row_stride * 2,
                tiles: if left.is_padded { depth.div_ceil(TILE_DEPTH) } else { depth / TILE_DEPTH },
                tail: std::ptr::null(),
                panel: panel.cast(),
                sums: tile.cast(),
            };
            let rest = depth % TILE_DEPTH;
            if left.is_padded || rest == 0 {
                return pairs::multiply(tiles);
            }
            let mut tail = Tail([0; MAX_ROWS * TILE_DEPTH]);
            for r in 0..rows {
                let from = start.add(r * left.row_stride + depth - rest);
                tail.0[r * TILE_DEPTH..].as_mut_ptr().copy_from_nonoverlapping(from, rest);
            }
            tiles.tail = tail.0.as_ptr().cast();
            pairs::multiply(tiles);
        });
    }
}
