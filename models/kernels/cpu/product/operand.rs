//! The types that the factors of products are stored in.

use pulp::Simd;
use pulp::bytemuck::Pod;

use super::super::simd::{Float, Vector};
use super::micro_kernel::{TileProduct, multiply_floats};

/// A vector of the sum type of `O`.
pub(crate) type SumVector<S, O> = Vector<S, <O as Operand>::Sum>;

/// The stored type of the factors of a product: packed panels and left rows. Sums, and all pointwise work, have
/// the type [`Operand::Sum`]; everything that enters a product is rounded from it when it is packed or stored.
///
/// `f32` and `f64` are their own sum type, so rounding is the identity. A narrower type, bf16 with sums in
/// f32 say, is an implementation of this trait whose [`Operand::multiply_tile`] is its micro-kernel.
pub(crate) trait Operand: Pod + Send + Sync {
    /// The type of sums. It has at least the size of the operand type.
    type Sum: Float;

    /// Round `sum` to the operand type.
    fn round(sum: Self::Sum) -> Self;

    /// Return `sums` as operands: the same slice if the types are equal, else rounded into `rounded`.
    fn operands<'a>(sums: &'a [Self::Sum], rounded: &'a mut Vec<Self>) -> &'a [Self];

    /// Round a vector of sums and store it.
    ///
    /// # Safety
    /// A vector of operands must be writable at `to`.
    unsafe fn store_rounded<S: Simd>(sums: Vector<S, Self::Sum>, to: *mut Self);

    /// Load a vector of operands as sums.
    ///
    /// # Safety
    /// A vector of operands must be readable at `from`.
    unsafe fn load_widened<S: Simd>(simd: S, from: *const Self) -> Vector<S, Self::Sum>;

    /// Round `count` sums into operands.
    ///
    /// # Safety
    /// `count` elements must be readable at `from` and writable at `to`, without overlap.
    unsafe fn copy_rounded(from: *const Self::Sum, to: *mut Self, count: usize);

    /// Round `count` sums, in whole vectors, into operands that begin at the same address.
    ///
    /// # Safety
    /// `count` sums, rounded up to whole vectors, must be writable at `sums`.
    unsafe fn round_in_place<S: Simd>(simd: S, sums: *mut Self::Sum, count: usize);

    /// Compute a [`TileProduct`] of `R` rows by `V` vectors.
    ///
    /// # Safety
    /// `left` must have `R` rows of `depth` elements, `panel` `depth * V` vectors, and `tile` `R * V` vectors.
    unsafe fn multiply_tile<S: Simd, const R: usize, const V: usize>(
        simd: S,
        product: TileProduct<Self, Self::Sum>,
    );
}

macro_rules! own_sum {
    ($float:ident) => {
        impl Operand for $float {
            type Sum = Self;

            #[inline(always)]
            fn round(sum: Self) -> Self {
                sum
            }

            #[inline(always)]
            fn operands<'a>(sums: &'a [Self], _rounded: &'a mut Vec<Self>) -> &'a [Self] {
                sums
            }

            #[inline(always)]
            unsafe fn store_rounded<S: Simd>(sums: Vector<S, Self>, to: *mut Self) {
                // SAFETY: the caller's promise.
                unsafe { sums.store(to) }
            }

            #[inline(always)]
            unsafe fn load_widened<S: Simd>(simd: S, from: *const Self) -> Vector<S, Self> {
                // SAFETY: the caller's promise.
                unsafe { Vector::load(simd, from) }
            }

            #[inline(always)]
            unsafe fn copy_rounded(from: *const Self, to: *mut Self, count: usize) {
                // SAFETY: the caller's promise.
                unsafe { to.copy_from_nonoverlapping(from, count) }
            }

            #[inline(always)]
            unsafe fn round_in_place<S: Simd>(_simd: S, _sums: *mut Self, _count: usize) {}

            #[inline(always)]
            unsafe fn multiply_tile<S: Simd, const R: usize, const V: usize>(
                simd: S,
                product: TileProduct<Self, Self>,
            ) {
                // SAFETY: the caller's promise.
                unsafe { multiply_floats::<S, Self, R, V>(simd, product) }
            }
        }
    };
}

own_sum!(f32);
own_sum!(f64);
