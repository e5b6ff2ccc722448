//! exp, tanh and sigmoid with instructions that only AVX-512 has: rounding to an integer, multiplication by a power of
//! two, and an estimate of the reciprocal. `math.rs` states what the functions compute and their errors.
//!
//! None divides, because a division takes many times as long as a multiplication: an estimate of the reciprocal, with a
//! relative error of 2^-14, is corrected once.

use std::any::TypeId;
use std::arch::x86_64::{
    __m512, _CMP_NLT_UQ, _MM_FROUND_NO_EXC, _MM_FROUND_TO_NEAREST_INT, _MM_FROUND_TO_NEG_INF,
};

use pulp::Simd;
use pulp::x86::V4;

use super::math::{LN2_HIGH, LN2_LOW};

/// To the nearest integer, and down, without a report of inexact results.
const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
const DOWN: i32 = _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC;

/// Return the register of a vector of AVX-512; `None` of another instruction set. The compiler knows which.
#[inline(always)]
pub(super) fn register<S: Simd>(simd: S, x: S::f32s) -> Option<(V4, __m512)> {
    if TypeId::of::<S>() != TypeId::of::<V4>() {
        return None;
    }
    // SAFETY: the types are the same, and both vectors are 16 floats.
    Some(unsafe { (std::mem::transmute_copy(&simd), std::mem::transmute_copy(&x)) })
}

/// Return the vector of a register.
///
/// # Panics
/// If `S` is another instruction set than AVX-512.
#[inline(always)]
pub(super) fn vector<S: Simd>(x: __m512) -> S::f32s {
    assert!(TypeId::of::<S>() == TypeId::of::<V4>(), "invariant: vectors of AVX-512");
    // SAFETY: both are 16 floats.
    unsafe { std::mem::transmute_copy(&x) }
}

/// Compute `c[0] + c[1] x + c[2] x^2 + ..`.
#[inline(always)]
fn polynomial<const N: usize>(simd: V4, x: __m512, coefficients: [f32; N]) -> __m512 {
    let f = simd.avx512f;
    let mut sum = f._mm512_set1_ps(coefficients[N - 1]);
    for index in (0..N - 1).rev() {
        sum = f._mm512_fmadd_ps(sum, x, f._mm512_set1_ps(coefficients[index]));
    }
    sum
}

/// Compute `n` and `exp(r) - 1` of `exp(sign * x) = 2^n exp(r)`, where `n` is an integer and `|r| <= ln(2) / 2`. The
/// polynomial `1 + r + r^2 q(r)` with `q` of degree 4 has the least relative error, 2^-27.9. Coefficients are those of
/// `scripts/golden/exp_coefficients.py`.
#[inline(always)]
fn split(simd: V4, x: __m512, sign: f32) -> (__m512, __m512) {
    let f = simd.avx512f;
    let t = f._mm512_mul_ps(x, f._mm512_set1_ps(sign * std::f32::consts::LOG2_E));
    let n = f._mm512_roundscale_ps::<NEAREST>(t);
    // sign * r = x - n * sign * ln 2.
    let rest = f._mm512_fmadd_ps(n, f._mm512_set1_ps(-sign * LN2_HIGH), x);
    let rest = f._mm512_fmadd_ps(n, f._mm512_set1_ps(-sign * LN2_LOW), rest);
    let odd = |coefficient: f32| sign * coefficient;
    let q = polynomial(
        simd,
        rest,
        [0.499_999_94, odd(0.166_665_21), 0.041_668_39, odd(0.008_368_717), 0.001_381_459_9],
    );
    let square = f._mm512_mul_ps(rest, rest);
    let linear = f._mm512_mul_ps(rest, f._mm512_set1_ps(sign));
    (n, f._mm512_fmadd_ps(square, q, linear))
}

/// Compute `1 / x` for `x` from 1 to below 2^126: the estimate, and one step of Newton's method.
#[inline(always)]
fn reciprocal(simd: V4, x: __m512) -> __m512 {
    let f = simd.avx512f;
    let estimate = f._mm512_rcp14_ps(x);
    let rest = f._mm512_fnmadd_ps(estimate, x, f._mm512_set1_ps(1.));
    f._mm512_fmadd_ps(rest, estimate, estimate)
}

/// Compute `a / b` for `b` from 1 to below 2^126, more exactly than `a` times the reciprocal: the estimate is corrected
/// by what it leaves of `a`. The sign of a zero is lost.
#[inline(always)]
fn quotient(simd: V4, a: __m512, b: __m512) -> __m512 {
    let f = simd.avx512f;
    let inverse = f._mm512_rcp14_ps(b);
    let estimate = f._mm512_mul_ps(a, inverse);
    let rest = f._mm512_fnmadd_ps(estimate, b, a);
    f._mm512_fmadd_ps(rest, inverse, estimate)
}

/// Compute `min(x, most)`. NaN stays NaN: of a NaN and a number, the instruction returns its second operand.
#[inline(always)]
fn at_most(simd: V4, x: __m512, most: f32) -> __m512 {
    simd.avx512f._mm512_min_ps(simd.avx512f._mm512_set1_ps(most), x)
}

/// Compute `max(x, least)`. NaN stays NaN.
#[inline(always)]
fn at_least(simd: V4, x: __m512, least: f32) -> __m512 {
    simd.avx512f._mm512_max_ps(simd.avx512f._mm512_set1_ps(least), x)
}

/// Compute exp.
#[inline(always)]
pub(super) fn exp(simd: V4, x: __m512) -> __m512 {
    let f = simd.avx512f;
    // Not below: NaN stays.
    let is_nonzero = f._mm512_cmp_ps_mask::<_CMP_NLT_UQ>(x, f._mm512_set1_ps(-86.98));
    let (n, exp_minus_one) = split(simd, at_most(simd, x, 89.), 1.);
    f._mm512_maskz_scalef_ps(is_nonzero, f._mm512_add_ps(exp_minus_one, f._mm512_set1_ps(1.)), n)
}

/// Compute sigmoid, `1 / (1 + exp(-x))`.
#[inline(always)]
pub(super) fn sigmoid(simd: V4, x: __m512) -> __m512 {
    let (f, one) = (simd.avx512f, simd.avx512f._mm512_set1_ps(1.));
    let (n, exp_minus_one) = split(simd, at_least(simd, at_most(simd, x, 87.), -87.), -1.);
    let e = f._mm512_scalef_ps(f._mm512_add_ps(exp_minus_one, one), n);
    reciprocal(simd, f._mm512_add_ps(one, e))
}

/// Compute tanh: `e / (e + 2)` with `e = exp(2|x|) - 1`, and the sign of `x`.
#[inline(always)]
pub(super) fn tanh(simd: V4, x: __m512) -> __m512 {
    let (f, one) = (simd.avx512f, simd.avx512f._mm512_set1_ps(1.));
    let magnitude = at_most(simd, f._mm512_abs_ps(x), 9.02); // beyond, tanh is 1 in f32
    let (n, exp_minus_one) = split(simd, f._mm512_add_ps(magnitude, magnitude), 1.);
    let power = f._mm512_scalef_ps(one, n);
    let e = f._mm512_fmadd_ps(power, exp_minus_one, f._mm512_sub_ps(power, one));
    let y = quotient(simd, e, f._mm512_add_ps(e, f._mm512_set1_ps(2.)));
    let sign = simd.avx512dq._mm512_and_ps(x, f._mm512_set1_ps(-0.));
    simd.avx512dq._mm512_or_ps(y, sign)
}

/// Compute sigmoid with the digits of a bf16: `1 / (1 + 2^t)` with `t = -x / ln 2`. A polynomial of degree 3, the best
/// for the relative error, gives `2^f` of the rest `f` from 0 to 1.
#[inline(always)]
pub(super) fn short_sigmoid(simd: V4, x: __m512) -> __m512 {
    let (f, one) = (simd.avx512f, simd.avx512f._mm512_set1_ps(1.));
    let t = f._mm512_mul_ps(x, f._mm512_set1_ps(-std::f32::consts::LOG2_E));
    let t = at_most(simd, t, 124.);
    let rest = simd.avx512dq._mm512_reduce_ps::<DOWN>(t);
    let power_of_rest = polynomial(simd, rest, [0.999_925_2, 0.695_833_54, 0.226_067_16, 0.078_024_52]);
    // The instruction rounds `t` down.
    let e = f._mm512_scalef_ps(power_of_rest, t);
    reciprocal(simd, f._mm512_add_ps(e, one))
}

/// Compute tanh with the digits of a bf16, by the function of `math.rs`.
#[inline(always)]
pub(super) fn short_tanh(simd: V4, x: __m512) -> __m512 {
    let f = simd.avx512f;
    let x = at_least(simd, at_most(simd, x, 5.), -5.);
    let square = f._mm512_mul_ps(x, x);
    let numerator = polynomial(simd, square, super::math::SHORT_TANH_NUMERATOR);
    let denominator = polynomial(simd, square, super::math::SHORT_TANH_DENOMINATOR);
    f._mm512_mul_ps(f._mm512_mul_ps(x, numerator), reciprocal(simd, denominator))
}
