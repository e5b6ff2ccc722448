//! The digits of the pointwise functions: all of an f32, or those that an operand in bf16 keeps.

use pulp::Simd;

use super::{Float, Vector};

/// The functions of the pointwise part of a cell, with as many digits as their results need.
pub(crate) trait Digits: Copy + Send + Sync + 'static {
    /// Compute `1 / (1 + exp(-x))`.
    fn sigmoid<S: Simd, E: Float>(x: Vector<S, E>) -> Vector<S, E>;

    /// Compute the hyperbolic tangent.
    fn tanh<S: Simd, E: Float>(x: Vector<S, E>) -> Vector<S, E>;
}

/// All digits of the type.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AllDigits;

impl Digits for AllDigits {
    #[inline(always)]
    fn sigmoid<S: Simd, E: Float>(x: Vector<S, E>) -> Vector<S, E> {
        x.sigmoid()
    }

    #[inline(always)]
    fn tanh<S: Simd, E: Float>(x: Vector<S, E>) -> Vector<S, E> {
        x.tanh()
    }
}

/// The digits of a bf16 and some more; `math.rs` states the error.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bf16Digits;

impl Digits for Bf16Digits {
    #[inline(always)]
    fn sigmoid<S: Simd, E: Float>(x: Vector<S, E>) -> Vector<S, E> {
        x.short_sigmoid()
    }

    #[inline(always)]
    fn tanh<S: Simd, E: Float>(x: Vector<S, E>) -> Vector<S, E> {
        x.short_tanh()
    }
}
