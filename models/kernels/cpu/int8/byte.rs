//! The operand: an integer of a byte.

use std::ops::Range;

use pulp::bytemuck::{Pod, Zeroable};
use pulp::{Simd, WithSimd};

use super::super::product::{LeftRows, Operand, TileProduct, split_full};
use super::super::simd::{Bf16Digits, Isa, MAX_LANES, Vector};
use super::layout::{ByteProduct, OFFSET, TILE_DEPTH};
use super::portable;
use super::scale::{MAX_DEPTH, inverse, largest_magnitude, scale_of};
#[cfg(target_arch = "x86_64")]
use super::{
    dot, tiles,
    unit::{Int8Unit, unit},
};

/// An integer: unsigned with [`OFFSET`] added in a left row, signed in a panel.
///
/// A left row is filled up to [`Operand::DEPTH_MULTIPLE`], with bytes that have no meaning, for the panel has zeros
/// there. Its scale, an f32, follows, and fills a cache line.
///
/// A panel has the elements of four rows side by side, column by column. The scale of each column, an f32, follows the
/// last row, and then [`OFFSET`] times the sum of each column, an i32.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Int8(u8);

// SAFETY: a transparent u8, for which all bits are values.
unsafe impl Zeroable for Int8 {}
// SAFETY: as above.
unsafe impl Pod for Int8 {}

/// Rows of two tiles of AMX.
const MAX_ROWS: usize = 32;

impl Operand for Int8 {
    type Sum = f32;
    type Digits = Bf16Digits;
    const IS_SUM: bool = false;
    const IS_SCALED: bool = true;
    const INTERLEAVED: usize = 4;
    const DEPTH_MULTIPLE: usize = TILE_DEPTH;
    const DEPTH_BLOCK: usize = MAX_DEPTH;
    const COLUMN_TAIL: usize = 8;

    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        super::unit::run_as(isa, part);
    }

    #[inline(always)]
    fn max_rows<S: Simd>(_vectors: usize) -> usize {
        MAX_ROWS
    }

    #[inline(always)]
    fn split_rows(rows: Range<usize>, max: usize) -> impl Iterator<Item = Range<usize>> {
        split_full(rows, max)
    }

    #[inline(always)]
    fn round(_sum: f32) -> Self {
        unreachable!("invariant: an int8 has a meaning only within its row")
    }

    #[inline(always)]
    unsafe fn store_rounded<S: Simd>(_sums: Vector<S, f32>, _to: *mut Self) {
        unreachable!("invariant: an int8 has a meaning only within its row")
    }

    fn row_len(count: usize) -> usize {
        count.next_multiple_of(TILE_DEPTH) + TILE_DEPTH
    }

    #[inline(always)]
    unsafe fn round_row<S: Simd>(simd: S, from: *const f32, to: *mut Self, count: usize, limit: f32) {
        // SAFETY: the caller's promise. Whole vectors fit, for the row is filled up.
        unsafe {
            let largest = largest_magnitude(simd, from, count);
            // Not `max`, which prefers numbers to NaN.
            let scale = scale_of(if largest < limit { limit } else { largest });
            let factor = Vector::splat(simd, inverse(scale));
            for offset in (0..count).step_by(Vector::<S, f32>::len()) {
                let x = Vector::load_first(simd, from.add(offset), count - offset);
                (x * factor).store_offset_bytes(to.add(offset).cast());
            }
            to.add(count.next_multiple_of(TILE_DEPTH)).cast::<f32>().write_unaligned(scale);
        }
    }

    #[inline(always)]
    unsafe fn transpose<S: Simd>(simd: S, columns: &[*const f32], depth: usize, to: *mut Self, width: usize) {
        let mut block = [0u8; TILE_DEPTH + MAX_LANES];
        // SAFETY: the caller's promise; the panel has zeros after its depth, and then room for scales and offsets.
        unsafe {
            let scales = to.add(depth.next_multiple_of(TILE_DEPTH) * width);
            let offsets = scales.add(4 * width);
            for (lane, &column) in columns.iter().enumerate() {
                let (mut scale, mut sum) = (0., 0i32);
                if !column.is_null() {
                    scale = scale_of(largest_magnitude(simd, column, depth));
                    let factor = Vector::splat(simd, inverse(scale));
                    for from in (0..depth).step_by(TILE_DEPTH) {
                        let count = TILE_DEPTH.min(depth - from);
                        for offset in (0..count).step_by(Vector::<S, f32>::len()) {
                            let x = Vector::load_first(simd, column.add(from + offset), count - offset);
                            (x * factor).store_offset_bytes(block.as_mut_ptr().add(offset));
                        }
                        for (index, byte) in block[..count].iter().enumerate() {
                            let (k, weight) = (from + index, byte.wrapping_sub(OFFSET));
                            to.add(k / 4 * 4 * width + lane * 4 + k % 4).write(Self(weight));
                            sum += i32::from(weight as i8);
                        }
                    }
                } else {
                    for k in 0..depth {
                        to.add(k / 4 * 4 * width + lane * 4 + k % 4).write(Self(0));
                    }
                }
                scales.add(4 * lane).cast::<f32>().write_unaligned(scale);
                offsets.add(4 * lane).cast::<i32>().write_unaligned(sum * i32::from(OFFSET));
            }
        }
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(simd: S, (rows, vectors): (usize, usize), product: TileProduct<Self, f32>) {
        let TileProduct { depth, left, panel, tile, .. } = product;
        let LeftRows { start, row_stride, .. } = left;
        debug_assert!(left.depth_stride == 1 && left.run == usize::MAX && depth <= MAX_DEPTH);
        let product = ByteProduct {
            rows,
            vectors,
            depth,
            left: start.cast(),
            left_stride: row_stride,
            panel: panel.cast(),
            tile,
        };
        // SAFETY: the caller's promise; the unit is that of the processor.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            match unit() {
                Int8Unit::Tiles if rows >= tiles::MIN_ROWS => return tiles::multiply(product),
                Int8Unit::Tiles | Int8Unit::Avx512Vnni => return dot::avx512_vnni(product),
                Int8Unit::AvxVnni => return dot::avx_vnni(product),
                Int8Unit::Avx2Twice => return dot::avx2_twice(product),
                Int8Unit::Avx2 => return dot::avx2(product),
                Int8Unit::Portable => {}
            }
            portable::multiply(simd, product);
        }
    }
}
