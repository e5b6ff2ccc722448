//! Operands in bf16 for any processor: f32 whose lower half is zero.

use std::ops::Range;

use pulp::Simd;
use pulp::bytemuck::{Pod, Zeroable};

use super::super::product::{GradientOperand, LeftRows, Operand, TileProduct};
use super::super::simd::{Bf16Digits, Vector, bf16_bits, from_bf16_bits};

/// A bf16 stored as the f32 of the same value. Its products are those of f32: the product of two bf16 is exact in f32.
#[derive(Clone, Copy, Debug)]
#[repr(transparent)]
pub(crate) struct RoundedF32(f32);

// SAFETY: a transparent f32, for which all bits are values.
unsafe impl Zeroable for RoundedF32 {}
// SAFETY: as above.
unsafe impl Pod for RoundedF32 {}

impl Operand for RoundedF32 {
    type Sum = f32;
    type Digits = Bf16Digits;
    const IS_SUM: bool = false;

    #[inline(always)]
    fn max_rows<S: Simd>(vectors: usize) -> usize {
        <f32 as Operand>::max_rows::<S>(vectors)
    }

    #[inline(always)]
    fn split_rows(rows: Range<usize>, max: usize) -> impl Iterator<Item = Range<usize>> {
        <f32 as Operand>::split_rows(rows, max)
    }

    #[inline(always)]
    fn round(sum: f32) -> Self {
        Self(from_bf16_bits(bf16_bits(sum)))
    }

    #[inline(always)]
    unsafe fn store_rounded<S: Simd>(sums: Vector<S, f32>, to: *mut Self) {
        // SAFETY: the caller's promise.
        unsafe { sums.rounded_to_bf16().store(to.cast()) }
    }

    #[inline(always)]
    unsafe fn round_row<S: Simd>(simd: S, from: *const f32, to: *mut Self, count: usize, _limit: f32) {
        // SAFETY: the caller's promise; a row has no padding.
        unsafe { Self::copy_rounded(simd, from, to, count) }
    }

    #[inline(always)]
    unsafe fn multiply<S: Simd>(simd: S, size: (usize, usize), product: TileProduct<Self, f32>) {
        let TileProduct { depth, left, panel, tile, prefetch } = product;
        let LeftRows { start, row_stride, depth_stride, run, run_stride, is_padded } = left;
        let left = LeftRows { start: start.cast(), row_stride, depth_stride, run, run_stride, is_padded };
        let product = TileProduct { depth, left, panel: panel.cast(), tile, prefetch: prefetch.cast() };
        // SAFETY: the caller's promise; the operands are f32.
        unsafe { <f32 as Operand>::multiply(simd, size, product) };
    }
}

impl GradientOperand for RoundedF32 {
    #[inline(always)]
    fn outer_rows<S: Simd>() -> usize {
        <f32 as GradientOperand>::outer_rows::<S>()
    }

    #[inline(always)]
    unsafe fn store_interleaved<S: Simd>(row: impl Fn(usize) -> Vector<S, f32>, to: *mut Self) {
        // SAFETY: the caller's promise.
        unsafe { Self::store_rounded(row(0), to) }
    }

    #[inline(always)]
    unsafe fn load_widened<S: Simd>(simd: S, from: *const Self) -> Vector<S, f32> {
        // SAFETY: the caller's promise.
        unsafe { Vector::load(simd, from.cast()) }
    }

    #[inline(always)]
    unsafe fn copy_rounded<S: Simd>(simd: S, from: *const f32, to: *mut Self, count: usize) {
        for offset in (0..count).step_by(Vector::<S, f32>::len()) {
            let rest = count - offset;
            // SAFETY: the caller's promise.
            unsafe {
                let rounded = Vector::load_first(simd, from.add(offset), rest).rounded_to_bf16();
                rounded.store_first(to.add(offset).cast(), rest);
            }
        }
    }

    #[inline(always)]
    unsafe fn round_in_place<S: Simd>(simd: S, sums: *mut f32, count: usize) {
        for offset in (0..count).step_by(Vector::<S, f32>::len()) {
            // SAFETY: the caller's promise.
            unsafe { Vector::load(simd, sums.add(offset)).rounded_to_bf16().store(sums.add(offset)) };
        }
    }
}
