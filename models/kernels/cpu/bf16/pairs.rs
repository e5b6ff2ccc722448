//! Operands in bf16 for AMX and AVX512-BF16, both of which multiply pairs.

use std::ops::Range;

use pulp::bytemuck::{Pod, Zeroable};
use pulp::{Simd, WithSimd};

use super::super::product::{GradientOperand, LeftRows, Operand, TileProduct, split_full};
use super::super::simd::{Bf16Digits, Isa, Vector, bf16_bits};
use super::super::tuning::TILE_VECTORS;
use super::layout::{MAX_ROWS, TILE_DEPTH};
use super::unit::{Bf16Unit, unit};
use super::{dot, tiles, transpose};

/// A bf16. Panels have pairs of rows side by side, and are filled up to the depth of AMX's tiles.
///
/// All functions are for vectors of 16 lanes: [`Operand::run_as`] takes no other instruction sets.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct Bf16(u16);

// SAFETY: a transparent u16, for which all bits are values.
unsafe impl Zeroable for Bf16 {}
// SAFETY: as above.
unsafe impl Pod for Bf16 {}

impl Operand for Bf16 {
    type Sum = f32;
    type Digits = Bf16Digits;
    const IS_SUM: bool = false;
    const INTERLEAVED: usize = 2;
    const DEPTH_MULTIPLE: usize = TILE_DEPTH;

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
    fn round(sum: f32) -> Self {
        Self(bf16_bits(sum))
    }

    #[inline(always)]
    unsafe fn store_rounded<S: Simd>(sums: Vector<S, f32>, to: *mut Self) {
        // SAFETY: the caller's promise.
        unsafe { sums.store_bf16(to.cast()) }
    }

    #[inline(always)]
    unsafe fn round_row<S: Simd>(simd: S, from: *const f32, to: *mut Self, count: usize, _limit: f32) {
        // SAFETY: the caller's promise.
        unsafe {
            Self::copy_rounded(simd, from, to, count);
            to.add(count).write_bytes(0, Self::row_len(count) - count);
        }
    }

    #[inline(always)]
    unsafe fn transpose<S: Simd>(
        _simd: S,
        columns: &[*const f32],
        depth: usize,
        to: *mut Self,
        width: usize,
    ) {
        // SAFETY: the caller's promise; `run_as` takes processors with these instructions only.
        unsafe { transpose::columns_of_sums(columns, depth, to.cast(), width) };
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(_simd: S, size: (usize, usize), product: TileProduct<Self, f32>) {
        let TileProduct { depth, left, panel, tile, .. } = product;
        let LeftRows { start, row_stride, depth_stride, run, run_stride, is_padded } = left;
        let left =
            LeftRows { start: start.cast::<u16>(), row_stride, depth_stride, run, run_stride, is_padded };
        let product = TileProduct { depth, left, panel: panel.cast(), tile, prefetch: std::ptr::null() };
        // SAFETY: the caller's promise; the unit is that of the processor.
        unsafe {
            match unit() {
                Some(Bf16Unit::Tiles) => tiles::multiply(size, product),
                Some(Bf16Unit::Dot) => dot::multiply(size, product),
                None => panic!("invariant: a product of pairs outside a kernel of pairs"),
            }
        }
    }
}

impl GradientOperand for Bf16 {
    const BY_ROW: bool = true;
    const OUTER_VECTORS: usize = TILE_VECTORS;

    #[inline(always)]
    fn outer_rows<S: Simd>() -> usize {
        MAX_ROWS
    }

    #[inline(always)]
    unsafe fn store_interleaved<S: Simd>(row: impl Fn(usize) -> Vector<S, f32>, to: *mut Self) {
        // SAFETY: the caller's promise.
        unsafe { Vector::store_bf16_pairs(row(0), row(1), to.cast()) }
    }

    #[inline(always)]
    unsafe fn load_widened<S: Simd>(simd: S, from: *const Self) -> Vector<S, f32> {
        // SAFETY: the caller's promise.
        unsafe { Vector::load_bf16(simd, from.cast()) }
    }

    #[inline(always)]
    unsafe fn copy_rounded<S: Simd>(simd: S, from: *const f32, to: *mut Self, count: usize) {
        let lanes = Vector::<S, f32>::len();
        let whole = count - count % lanes;
        // SAFETY: the caller's promise.
        unsafe {
            for offset in (0..whole).step_by(lanes) {
                Vector::load(simd, from.add(offset)).store_bf16(to.add(offset).cast());
            }
            for offset in whole..count {
                *to.add(offset) = Self::round(*from.add(offset));
            }
        }
    }

    #[inline(always)]
    unsafe fn round_in_place<S: Simd>(simd: S, sums: *mut f32, count: usize) {
        let to = sums.cast::<u16>();
        for offset in (0..count).step_by(Vector::<S, f32>::len()) {
            // SAFETY: the caller's promise; a vector is loaded before its memory is overwritten.
            unsafe { Vector::load(simd, sums.add(offset)).store_bf16(to.add(offset)) };
        }
    }

    #[inline(always)]
    unsafe fn pack_outer<S: Simd>(
        row: impl Fn(usize) -> *const Self,
        depth: Range<usize>,
        count: usize,
        to: *mut Self,
    ) -> LeftRows<Self> {
        let stride = depth.len().next_multiple_of(Self::DEPTH_MULTIPLE);
        for (index, from) in depth.clone().step_by(Self::DEPTH_MULTIPLE).enumerate() {
            let mut rows = [std::ptr::null(); Self::DEPTH_MULTIPLE];
            for (k, row_start) in (from..depth.end).zip(&mut rows) {
                *row_start = row(k).cast::<u16>();
            }
            // SAFETY: the caller's promise; `run_as` takes processors with these instructions only.
            unsafe {
                let to = to.add(index * Self::DEPTH_MULTIPLE).cast::<u16>();
                for column in (0..count).step_by(16) {
                    let rows = rows.map(|row: *const u16| if row.is_null() { row } else { row.add(column) });
                    let count = (count - column).min(16);
                    transpose::rows_of_operands(&rows, count, to.add(column * stride), stride);
                }
            }
        }
        LeftRows { is_padded: true, ..LeftRows::new(to.cast_const(), stride) }
    }
}
