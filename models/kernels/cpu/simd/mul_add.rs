//! `a * b + c` on registers.

use pulp::Simd;

/// Return whether `a * b + c` is one instruction. Without that instruction it is a product and a sum, rounded twice: a
/// single rounding would take a library call per lane.
const fn has_fma<S: Simd>() -> bool {
    cfg!(target_arch = "aarch64") || size_of::<S::f32s>() > 16
}

/// Compute `a * b + c`, rounded once if the processor can.
#[inline(always)]
pub(super) fn mul_add_f32s<S: Simd>(simd: S, a: S::f32s, b: S::f32s, c: S::f32s) -> S::f32s {
    if const { has_fma::<S>() } {
        simd.mul_add_e_f32s(a, b, c)
    } else {
        simd.add_f32s(simd.mul_f32s(a, b), c)
    }
}

/// Compute `a * b + c`, rounded once if the processor can.
#[inline(always)]
pub(super) fn mul_add_f64s<S: Simd>(simd: S, a: S::f64s, b: S::f64s, c: S::f64s) -> S::f64s {
    if const { has_fma::<S>() } {
        simd.mul_add_e_f64s(a, b, c)
    } else {
        simd.add_f64s(simd.mul_f64s(a, b), c)
    }
}
