//! exp, tanh and sigmoid of a vector.
//!
//! In f32 all three are built on `exp(x) = 2^n exp(r)`, where `n` is the integer nearest to `x / ln 2`, so that
//! `|r| <= ln(2) / 2`. For such `r`, seven terms of the Taylor series are exact to the last bit; `avx512.rs` has
//! another polynomial. In f64, which serves checks rather than speed, each lane calls the standard library.
//!
//! Errors in f32, measured over every 251st value by this file's tests: exp at most 1.1 units in the last
//! place, sigmoid and tanh at most 2.5. Two exceptions at the bottom of the range: exp is 0 below -86.98, and
//! sigmoid is never less than 1.6e-38.
//!
//! The short functions have the digits that an operand in bf16 keeps, and some more: a relative error of at most 2^-13,
//! a sixteenth of the last place of a bf16, over the same values in this file's tests. They take less time. Two
//! exceptions at the ends of the range: the short sigmoid is never less than 4.7e-38, and the short tanh never more
//! than 1 - 2^-15 in magnitude.

use pulp::Simd;

#[cfg(target_arch = "x86_64")]
use super::avx512;
use super::mul_add::mul_add_f32s;

/// 1.5 * 2^23. The sum `x + ROUND` has no digits after the point: it rounds `x` to the nearest integer, of two equally
/// near to the even one, and holds that integer in its lowest bits.
pub(super) const ROUND: f32 = 12_582_912.;
/// ln 2 = `LN2_HIGH + LN2_LOW`. `LN2_HIGH` has so few digits that its product with `n` is exact.
pub(super) const LN2_HIGH: f32 = 0.693_359_4;
pub(super) const LN2_LOW: f32 = -2.121_944_4e-4;

/// Coefficients of `P` and `Q` in the short tanh, `x P(x^2) / Q(x^2)`, from `scripts/golden/exp_coefficients.py`.
pub(super) const SHORT_TANH_NUMERATOR: [f32; 3] = [0.999_948, 0.102_417_54, 6.705_618_6e-4];
pub(super) const SHORT_TANH_DENOMINATOR: [f32; 3] = [1., 0.435_432_3, 0.012_819_847];

/// Return the result of the function of that name in `avx512.rs`, if `S` is AVX-512.
macro_rules! on_avx512 {
    ($function:ident, $simd:ident, $x:ident) => {
        #[cfg(target_arch = "x86_64")]
        if let Some((simd, x)) = avx512::register($simd, $x) {
            return avx512::vector::<S>(avx512::$function(simd, x));
        }
    };
}

/// Compute `2^(n - shift)` and `exp(r) - 1`, for `x` in -87.3..=88.7.
#[inline(always)]
fn split<S: Simd>(simd: S, x: S::f32s, shift: u32) -> (S::f32s, S::f32s) {
    let splat = |x| simd.splat_f32s(x);
    let rounded = mul_add_f32s(simd, x, splat(std::f32::consts::LOG2_E), splat(ROUND));
    let n = simd.sub_f32s(rounded, splat(ROUND));
    let r = mul_add_f32s(simd, n, splat(-LN2_HIGH), x);
    let r = mul_add_f32s(simd, n, splat(-LN2_LOW), r);
    // exp(r) - 1 = r + r^2 (1/2 + r/6 + r^2/24 + ..)
    let mut sum = splat(1. / 5040.);
    for term in [1. / 720., 1. / 120., 1. / 24., 1. / 6., 1. / 2.] {
        sum = mul_add_f32s(simd, sum, r, splat(term));
    }
    let exp_minus_one = mul_add_f32s(simd, simd.mul_f32s(r, r), sum, r);
    // The lowest bits of `rounded` hold n; shifted into the exponent field they make a power of two.
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    let power = simd.add_u32s(exponent, simd.splat_u32s((127 - shift) << 23));
    (simd.transmute_f32s_u32s(power), exp_minus_one)
}

/// Compute `min(a, most)`. NaN stays NaN.
#[inline(always)]
fn at_most<S: Simd>(simd: S, a: S::f32s, most: f32) -> S::f32s {
    let most = simd.splat_f32s(most);
    simd.select_f32s(simd.greater_than_f32s(a, most), most, a)
}

/// Compute exp in f32.
#[inline(always)]
pub(super) fn exp_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    on_avx512!(exp, simd, x);
    let splat = |x| simd.splat_f32s(x);
    let within = at_most(simd, x, 88.722_84);
    // Half of the power, doubled at the end: the largest f32 needs 2^128, which is not an f32.
    let (half, exp_minus_one) = split(simd, within, 1);
    let half = mul_add_f32s(simd, half, exp_minus_one, half);
    let y = simd.add_f32s(half, half);
    let y = simd.select_f32s(simd.less_than_f32s(x, splat(-86.98)), splat(0.), y);
    simd.select_f32s(simd.greater_than_f32s(x, splat(88.722_84)), splat(f32::INFINITY), y)
}

/// Compute sigmoid in f32: with `e = exp(-|x|)`, `1 / (1 + e)`, or `e / (1 + e)` for negative `x`. Neither form
/// cancels digits.
#[inline(always)]
pub(super) fn sigmoid_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    on_avx512!(sigmoid, simd, x);
    let splat = |x| simd.splat_f32s(x);
    let magnitude = at_most(simd, simd.abs_f32s(x), 87.);
    let (power, exp_minus_one) = split(simd, simd.sub_f32s(splat(0.), magnitude), 0);
    let e = mul_add_f32s(simd, power, exp_minus_one, power);
    let numerator = simd.select_f32s(simd.less_than_f32s(x, splat(0.)), e, splat(1.));
    simd.div_f32s(numerator, simd.add_f32s(splat(1.), e))
}

/// Compute tanh in f32: `e / (e + 2)` with `e = exp(2|x|) - 1`, which keeps all digits near zero, and the sign of `x`.
#[inline(always)]
pub(super) fn tanh_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    on_avx512!(tanh, simd, x);
    let splat = |x| simd.splat_f32s(x);
    let magnitude = at_most(simd, simd.abs_f32s(x), 9.02); // beyond, tanh is 1 in f32
    let (power, exp_minus_one) = split(simd, simd.add_f32s(magnitude, magnitude), 0);
    let e = mul_add_f32s(simd, power, exp_minus_one, simd.sub_f32s(power, splat(1.)));
    let y = simd.div_f32s(e, simd.add_f32s(e, splat(2.)));
    simd.or_f32s(y, simd.and_f32s(x, splat(-0.)))
}

/// Compute `1 / x` for `x` in 1..=2^125, with a relative error of at most 2^-17 and never more than the exact value.
///
/// A float's bits grow almost as its logarithm, so a constant minus the bits of `x` is a first guess, at most 5.1 %
/// off; each step of Newton's method squares the error. It is faster than a division.
#[inline(always)]
fn short_reciprocal<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.);
    let guess = simd.sub_u32s(simd.splat_u32s(0x7ef3_1000), simd.transmute_u32s_f32s(x));
    let mut y = simd.transmute_f32s_u32s(guess);
    let minus_x = simd.sub_f32s(simd.splat_f32s(0.), x);
    for _ in 0..2 {
        let rest = mul_add_f32s(simd, minus_x, y, one);
        y = mul_add_f32s(simd, y, rest, y);
    }
    y
}

/// Compute `a`, moved into `-most..=most`. NaN stays NaN.
#[inline(always)]
fn within<S: Simd>(simd: S, a: S::f32s, most: f32) -> S::f32s {
    let (least, most) = (simd.splat_f32s(-most), simd.splat_f32s(most));
    let a = simd.select_f32s(simd.greater_than_f32s(a, most), most, a);
    simd.select_f32s(simd.greater_than_f32s(least, a), least, a)
}

/// Compute sigmoid in f32 with the digits of a bf16: `1 / (1 + 2^t)` with `t = -x / ln 2`. A polynomial of degree 3,
/// the best for the relative error, gives `2^f` of the rest `f` between -1/2 and 1/2.
#[inline(always)]
pub(super) fn short_sigmoid_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    on_avx512!(short_sigmoid, simd, x);
    let splat = |x| simd.splat_f32s(x);
    let t = within(simd, simd.mul_f32s(x, splat(-std::f32::consts::LOG2_E)), 124.);
    let rounded = simd.add_f32s(t, splat(ROUND));
    let f = simd.sub_f32s(t, simd.sub_f32s(rounded, splat(ROUND)));
    let mut power_of_f = splat(0.055_171_666);
    for term in [0.242_611_14, 0.693_260_98, 0.999_928_1] {
        power_of_f = mul_add_f32s(simd, power_of_f, f, splat(term));
    }
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    let power = simd.transmute_f32s_u32s(simd.add_u32s(exponent, simd.splat_u32s(127 << 23)));
    short_reciprocal(simd, mul_add_f32s(simd, power, power_of_f, splat(1.)))
}

/// Compute `a + b x + c x^2`.
#[inline(always)]
fn quadratic<S: Simd>(simd: S, x: S::f32s, [a, b, c]: [f32; 3]) -> S::f32s {
    let sum = mul_add_f32s(simd, simd.splat_f32s(c), x, simd.splat_f32s(b));
    mul_add_f32s(simd, sum, x, simd.splat_f32s(a))
}

/// Compute tanh in f32 with the digits of a bf16: `x P(x^2) / Q(x^2)` of degree 2 each, the best for the relative error
/// up to 5, beyond which tanh is 1 to these digits.
#[inline(always)]
pub(super) fn short_tanh_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    on_avx512!(short_tanh, simd, x);
    let x = within(simd, x, 5.);
    let square = simd.mul_f32s(x, x);
    let numerator = quadratic(simd, square, SHORT_TANH_NUMERATOR);
    let denominator = quadratic(simd, square, SHORT_TANH_DENOMINATOR);
    simd.mul_f32s(simd.mul_f32s(x, numerator), short_reciprocal(simd, denominator))
}

/// Apply `f` to every lane.
#[inline(always)]
fn lane_by_lane<S: Simd>(mut x: S::f64s, f: impl Fn(f64) -> f64) -> S::f64s {
    for lane in pulp::bytemuck::cast_slice_mut::<S::f64s, f64>(std::slice::from_mut(&mut x)) {
        *lane = f(*lane);
    }
    x
}

/// Compute exp in f64.
#[inline(always)]
pub(super) fn exp_f64<S: Simd>(_simd: S, x: S::f64s) -> S::f64s {
    lane_by_lane::<S>(x, f64::exp)
}

/// Compute sigmoid in f64.
#[inline(always)]
pub(super) fn sigmoid_f64<S: Simd>(_simd: S, x: S::f64s) -> S::f64s {
    lane_by_lane::<S>(x, |x| 1. / (1. + (-x).exp()))
}

/// Compute tanh in f64.
#[inline(always)]
pub(super) fn tanh_f64<S: Simd>(_simd: S, x: S::f64s) -> S::f64s {
    lane_by_lane::<S>(x, f64::tanh)
}

#[cfg(test)]
mod tests {
    use pulp::{Simd, WithSimd};

    use super::super::{Float, Isa, Vector};

    #[derive(Clone, Copy, Debug)]
    enum Function {
        Exp,
        Sigmoid,
        Tanh,
        ShortSigmoid,
        ShortTanh,
    }

    /// Replaces the whole vectors of a slice by the function of each element.
    struct Apply<'a, E>(Function, &'a mut [E]);

    impl<E: Float> WithSimd for Apply<'_, E> {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            for chunk in self.1.chunks_exact_mut(E::lanes::<S>()) {
                // SAFETY: a chunk has as many elements as a vector.
                unsafe {
                    let x = Vector::load(simd, chunk.as_ptr());
                    let y = match self.0 {
                        Function::Exp => x.exp(),
                        Function::Sigmoid => x.sigmoid(),
                        Function::Tanh => x.tanh(),
                        Function::ShortSigmoid => x.short_sigmoid(),
                        Function::ShortTanh => x.short_tanh(),
                    };
                    y.store(chunk.as_mut_ptr());
                }
            }
        }
    }

    fn exact(function: Function, x: f64) -> f64 {
        match function {
            Function::Exp => x.exp(),
            Function::Sigmoid | Function::ShortSigmoid if x < 0. => x.exp() / (1. + x.exp()),
            Function::Sigmoid | Function::ShortSigmoid => 1. / (1. + (-x).exp()),
            Function::Tanh | Function::ShortTanh => x.tanh(),
        }
    }

    /// Compute the error of `y` in units in the last place of an f32; 0 if the exact value is outside the normal range
    /// of f32 and `y` is the right limit.
    fn error(y: f32, exact: f64) -> f64 {
        let smallest = f64::from(f32::MIN_POSITIVE);
        if exact.abs() < 2. * smallest {
            return if f64::from(y).abs() <= 2. * smallest { 0. } else { f64::INFINITY };
        }
        if exact > f64::from(f32::MAX) {
            return if y >= f32::MAX { 0. } else { f64::INFINITY };
        }
        let last_place = 2f64.powi(exact.abs().log2().floor() as i32 - 23);
        (f64::from(y) - exact).abs() / last_place
    }

    #[test]
    fn f32_errors_are_within_the_documented_bounds() {
        // Every 251st bit pattern: both signs and subnormal numbers, but not the infinities; 251 is prime.
        let xs: Vec<f32> = (0..=u32::MAX).step_by(251).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
        let xs = &xs[..xs.len() / 16 * 16];
        for (function, bound) in [(Function::Exp, 1.1), (Function::Sigmoid, 2.5), (Function::Tanh, 2.5)] {
            for isa in Isa::available() {
                let mut ys = xs.to_vec();
                isa.run(Apply(function, &mut ys));
                let errors = xs.iter().zip(&ys).map(|(&x, &y)| (error(y, exact(function, x.into())), x));
                let (worst, x) =
                    errors.fold((0., 0.), |worst, next| if next.0 > worst.0 { next } else { worst });
                assert!(worst <= bound, "{function:?} of {x} is {worst} units off with {}", isa.name());
            }
        }
    }

    #[test]
    fn short_functions_have_the_digits_of_a_bf16() {
        let xs: Vec<f32> = (0..=u32::MAX).step_by(251).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
        let xs = &xs[..xs.len() / 16 * 16];
        for function in [Function::ShortSigmoid, Function::ShortTanh] {
            for isa in Isa::available() {
                let mut ys = xs.to_vec();
                isa.run(Apply(function, &mut ys));
                let mut worst = (0., 0.);
                for (&x, &y) in xs.iter().zip(&ys) {
                    let exact = exact(function, x.into());
                    // Below, the short sigmoid ends, and an f32 itself has fewer digits.
                    let error = match exact.abs() < 4.8e-38 {
                        true if f64::from(y.abs()) <= 4.8e-38 => 0.,
                        _ => (f64::from(y) - exact).abs() / exact.abs(),
                    };
                    assert!(y.abs() <= 1., "{function:?} of {x} is {y}");
                    worst = if error > worst.0 { (error, x) } else { worst };
                }
                let (worst, x) = worst;
                assert!(worst <= 2f64.powi(-13), "{function:?} of {x} is off by {worst} with {}", isa.name());
            }
        }
    }

    #[test]
    fn short_functions_propagate_nan_and_keep_the_sign_of_zero() {
        for isa in Isa::available() {
            let mut ys = [0f32; 16];
            ys[..3].copy_from_slice(&[f32::NAN, -0., 0.]);
            isa.run(Apply(Function::ShortTanh, &mut ys));
            assert!(ys[0].is_nan() && ys[1].to_bits() == (-0f32).to_bits() && ys[2].to_bits() == 0, "{ys:?}");
            let mut ys = [f32::NAN; 16];
            isa.run(Apply(Function::ShortSigmoid, &mut ys));
            assert!(ys.iter().all(|y| y.is_nan()), "{ys:?}");
        }
    }

    #[test]
    fn infinities_map_to_limits_and_nan_propagates() {
        for isa in Isa::available() {
            let run = |function| {
                let mut ys = [0f32; 16];
                ys[..4].copy_from_slice(&[f32::INFINITY, f32::NEG_INFINITY, 0., f32::NAN]);
                isa.run(Apply(function, &mut ys));
                assert!(ys[3].is_nan(), "{function:?} with {}: {ys:?}", isa.name());
                [ys[0], ys[1], ys[2]]
            };
            for (function, [at_infinity, at_minus_infinity, at_zero]) in [
                (Function::Exp, [f32::INFINITY, 0., 1.]),
                (Function::Sigmoid, [1., 0., 0.5]),
                (Function::Tanh, [1., -1., 0.]),
            ] {
                let ys = run(function);
                assert_eq!((ys[0], ys[2]), (at_infinity, at_zero), "{function:?} with {}", isa.name());
                let near = (ys[1] - at_minus_infinity).abs() <= 2. * f32::MIN_POSITIVE;
                assert!(near, "{function:?} with {}: {ys:?}", isa.name());
            }
            let near_one = 1. - 2f32.powi(-15);
            for (function, expected) in
                [(Function::ShortSigmoid, [1., 0., 0.5]), (Function::ShortTanh, [near_one, -near_one, 0.])]
            {
                let ys = run(function);
                let near = |(y, expected): (&f32, f32)| (y - expected).abs() <= 2f32.powi(-13);
                assert!(ys.iter().zip(expected).all(near), "{function:?} with {}: {ys:?}", isa.name());
            }
            let mut zeros = [-0f32; 16];
            isa.run(Apply(Function::Tanh, &mut zeros));
            assert_eq!(zeros[0].to_bits(), (-0f32).to_bits(), "{}", isa.name());
        }
    }

    #[test]
    fn f64_equals_the_standard_library() {
        for isa in Isa::available() {
            let xs: [f64; 8] = [-700., -1., -1e-9, 0., 1e-9, 0.5, 2., 300.];
            let of = |function: Function| {
                let mut ys = xs;
                isa.run(Apply(function, &mut ys));
                ys
            };
            assert_eq!(of(Function::Tanh), xs.map(f64::tanh));
            assert_eq!(of(Function::Sigmoid), xs.map(|x| 1. / (1. + (-x).exp())));
            assert_eq!(of(Function::Exp), xs.map(f64::exp));
        }
    }
}
