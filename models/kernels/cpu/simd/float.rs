//! The element types that the kernels sum in and do pointwise work in: `f32` and `f64`.
//!
//! [`pulp`] detects the processor's instructions at run time; its token `S` is the proof that they exist.

use std::fmt::Debug;
use std::ops::{Add, AddAssign, Mul, Neg, Sub, SubAssign};

use pulp::Simd;
use pulp::bytemuck::Pod;

use super::{math, mul_add};

/// An element type of sums and pointwise work, as operations on whole registers; [`Vector`](super::Vector)
/// gives them operators.
pub(crate) trait Float:
    Pod
    + Send
    + Sync
    + Debug
    + PartialOrd
    + Into<f64>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;
    /// The lowest finite number.
    const LOWEST: Self;

    /// A register of elements.
    type Lanes<S: Simd>: Copy;

    /// Return the number of elements in a register.
    fn lanes<S: Simd>() -> usize {
        size_of::<Self::Lanes<S>>() / size_of::<Self>()
    }

    /// Round `x` to this type.
    fn nearest(x: f64) -> Self;

    /// Set every lane to `x`.
    fn splat<S: Simd>(simd: S, x: Self) -> Self::Lanes<S>;
    /// Compute `a + b`.
    fn lanes_add<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// Compute `a - b`.
    fn lanes_sub<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// Compute `a * b`.
    fn lanes_mul<S: Simd>(simd: S, a: Self::Lanes<S>, b: Self::Lanes<S>) -> Self::Lanes<S>;
    /// Compute `a * b + c`, rounded once if the processor can.
    fn lanes_mul_add<S: Simd>(
        simd: S,
        a: Self::Lanes<S>,
        b: Self::Lanes<S>,
        c: Self::Lanes<S>,
    ) -> Self::Lanes<S>;
    /// Select `yes` in lanes with `a > b`, else `no`; `no` also if either is NaN.
    fn lanes_if_greater<S: Simd>(
        simd: S,
        a_b: [Self::Lanes<S>; 2],
        yes: Self::Lanes<S>,
        no: Self::Lanes<S>,
    ) -> Self::Lanes<S>;
    /// Return the first `count` lanes of `a`, and zero in the others.
    fn lanes_first<S: Simd>(simd: S, a: Self::Lanes<S>, count: usize) -> Self::Lanes<S>;
    /// Compute the exponential.
    fn lanes_exp<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
    /// Compute the hyperbolic tangent.
    fn lanes_tanh<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
    /// Compute `1 / (1 + exp(-a))`.
    fn lanes_sigmoid<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
    /// Compute the hyperbolic tangent with the digits of a bf16.
    fn lanes_short_tanh<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
    /// Compute `1 / (1 + exp(-a))` with the digits of a bf16.
    fn lanes_short_sigmoid<S: Simd>(simd: S, a: Self::Lanes<S>) -> Self::Lanes<S>;
}

macro_rules! float {
    ($float:ident, $lanes:ident, $splat:ident, $add:ident, $sub:ident, $mul:ident, $mul_add:path,
     $greater:ident, $select:ident, $between:ident, $exp:path, $tanh:path, $sigmoid:path,
     $short_tanh:path, $short_sigmoid:path) => {
        impl Float for $float {
            const ZERO: Self = 0.;
            const ONE: Self = 1.;
            const LOWEST: Self = Self::MIN;
            type Lanes<S: Simd> = S::$lanes;

            fn nearest(x: f64) -> Self {
                x as Self
            }
            #[inline(always)]
            fn splat<S: Simd>(simd: S, x: Self) -> S::$lanes {
                simd.$splat(x)
            }
            #[inline(always)]
            fn lanes_add<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$add(a, b)
            }
            #[inline(always)]
            fn lanes_sub<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$sub(a, b)
            }
            #[inline(always)]
            fn lanes_mul<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes) -> S::$lanes {
                simd.$mul(a, b)
            }
            #[inline(always)]
            fn lanes_mul_add<S: Simd>(simd: S, a: S::$lanes, b: S::$lanes, c: S::$lanes) -> S::$lanes {
                $mul_add(simd, a, b, c)
            }
            #[inline(always)]
            fn lanes_if_greater<S: Simd>(
                simd: S,
                [a, b]: [S::$lanes; 2],
                yes: S::$lanes,
                no: S::$lanes,
            ) -> S::$lanes {
                simd.$select(simd.$greater(a, b), yes, no)
            }
            #[inline(always)]
            fn lanes_first<S: Simd>(simd: S, a: S::$lanes, count: usize) -> S::$lanes {
                simd.$select(simd.$between(0, count as _).mask(), a, simd.$splat(0.))
            }
            #[inline(always)]
            fn lanes_exp<S: Simd>(simd: S, a: S::$lanes) -> S::$lanes {
                $exp(simd, a)
            }
            #[inline(always)]
            fn lanes_tanh<S: Simd>(simd: S, a: S::$lanes) -> S::$lanes {
                $tanh(simd, a)
            }
            #[inline(always)]
            fn lanes_sigmoid<S: Simd>(simd: S, a: S::$lanes) -> S::$lanes {
                $sigmoid(simd, a)
            }
            #[inline(always)]
            fn lanes_short_tanh<S: Simd>(simd: S, a: S::$lanes) -> S::$lanes {
                $short_tanh(simd, a)
            }
            #[inline(always)]
            fn lanes_short_sigmoid<S: Simd>(simd: S, a: S::$lanes) -> S::$lanes {
                $short_sigmoid(simd, a)
            }
        }
    };
}

float!(
    f32,
    f32s,
    splat_f32s,
    add_f32s,
    sub_f32s,
    mul_f32s,
    mul_add::mul_add_f32s,
    greater_than_f32s,
    select_f32s,
    mask_between_m32s,
    math::exp_f32,
    math::tanh_f32,
    math::sigmoid_f32,
    math::short_tanh_f32,
    math::short_sigmoid_f32
);
float!(
    f64,
    f64s,
    splat_f64s,
    add_f64s,
    sub_f64s,
    mul_f64s,
    mul_add::mul_add_f64s,
    greater_than_f64s,
    select_f64s,
    mask_between_m64s,
    math::exp_f64,
    math::tanh_f64,
    math::sigmoid_f64,
    math::tanh_f64,
    math::sigmoid_f64
);
