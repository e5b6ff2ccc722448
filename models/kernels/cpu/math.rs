//! exp, tanh and sigmoid of a vector.
//!
//! In f32 all three rest on `exp(x) = 2^n exp(r)` with `n` the integer nearest to `x / ln 2`, so that
//! `|r| <= ln(2) / 2`, where seven terms of Taylor's series are exact to the last bit. In f64, which is for
//! checking rather than for speed, each lane goes to the standard library.
//!
//! The errors, at most, over every 251st f32 there is (this file's tests): exp 1.1 units in the last place,
//! sigmoid and tanh 2.5. At the very bottom they give way: exp is 0 from -86.98 down, sigmoid never less than 1.6e-38.

use pulp::Simd;

use super::simd::Real;

/// Adding this rounds to an integer, which then stands in the lowest bits: 1.5 * 2^23.
const ROUND: f32 = 12_582_912.;
/// ln 2 in two parts; the first has so few digits that its product with `n` is exact.
const LN2_HIGH: f32 = 0.693_359_4;
const LN2_LOW: f32 = -2.121_944_4e-4;

/// The parts of `exp(x)` for `x` in -87.3..=88.7: `2^(n - shift)` and `exp(r) - 1`.
#[inline(always)]
fn split<S: Simd>(simd: S, x: S::f32s, shift: u32) -> (S::f32s, S::f32s) {
    let splat = |x| simd.splat_f32s(x);
    let rounded = <f32 as Real>::mul_add(simd, x, splat(std::f32::consts::LOG2_E), splat(ROUND));
    let n = simd.sub_f32s(rounded, splat(ROUND));
    let r = <f32 as Real>::mul_add(simd, n, splat(-LN2_HIGH), x);
    let r = <f32 as Real>::mul_add(simd, n, splat(-LN2_LOW), r);
    // exp(r) - 1 = r + r^2 (1/2 + r/6 + r^2/24 + ..)
    let mut sum = splat(1. / 5040.);
    for term in [1. / 720., 1. / 120., 1. / 24., 1. / 6., 1. / 2.] {
        sum = <f32 as Real>::mul_add(simd, sum, r, splat(term));
    }
    let exp_minus_one = <f32 as Real>::mul_add(simd, simd.mul_f32s(r, r), sum, r);
    // n stands in the lowest bits of `rounded`; as an exponent it is a power of two.
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(rounded), simd.splat_u32s(23));
    let power = simd.add_u32s(exponent, simd.splat_u32s((127 - shift) << 23));
    (simd.transmute_f32s_u32s(power), exp_minus_one)
}

/// `a` where it is not above `most`, else `most`. No number stays none.
#[inline(always)]
fn at_most<S: Simd>(simd: S, a: S::f32s, most: f32) -> S::f32s {
    let most = simd.splat_f32s(most);
    simd.select_f32s(simd.greater_than_f32s(a, most), most, a)
}

/// exp in f32.
#[inline(always)]
pub(super) fn exp_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |x| simd.splat_f32s(x);
    let within = at_most(simd, x, 88.722_84);
    // Half the power, doubled at the end: the largest f32 needs 2^128, which f32 does not have.
    let (half, exp_minus_one) = split(simd, within, 1);
    let half = <f32 as Real>::mul_add(simd, half, exp_minus_one, half);
    let y = simd.add_f32s(half, half);
    let y = simd.select_f32s(simd.less_than_f32s(x, splat(-86.98)), splat(0.), y);
    simd.select_f32s(simd.greater_than_f32s(x, splat(88.722_84)), splat(f32::INFINITY), y)
}

/// Sigmoid in f32, `1 / (1 + e)` or, for negative `x`, `e / (1 + e)`, with `e = exp(-|x|)`: neither loses
/// digits.
#[inline(always)]
pub(super) fn sigmoid_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |x| simd.splat_f32s(x);
    let magnitude = at_most(simd, simd.abs_f32s(x), 87.);
    let (power, exp_minus_one) = split(simd, simd.sub_f32s(splat(0.), magnitude), 0);
    let e = <f32 as Real>::mul_add(simd, power, exp_minus_one, power);
    let share = simd.select_f32s(simd.less_than_f32s(x, splat(0.)), e, splat(1.));
    simd.div_f32s(share, simd.add_f32s(splat(1.), e))
}

/// tanh in f32, `e / (e + 2)` with `e = exp(2|x|) - 1`, which near zero keeps all its digits, and the sign
/// of `x`.
#[inline(always)]
pub(super) fn tanh_f32<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let splat = |x| simd.splat_f32s(x);
    let magnitude = at_most(simd, simd.abs_f32s(x), 9.02); // beyond, tanh is 1 in f32
    let (power, exp_minus_one) = split(simd, simd.add_f32s(magnitude, magnitude), 0);
    let e = <f32 as Real>::mul_add(simd, power, exp_minus_one, simd.sub_f32s(power, splat(1.)));
    let y = simd.div_f32s(e, simd.add_f32s(e, splat(2.)));
    simd.or_f32s(y, simd.and_f32s(x, splat(-0.)))
}

/// `f` of every lane.
#[inline(always)]
fn lane_by_lane<S: Simd>(mut x: S::f64s, f: impl Fn(f64) -> f64) -> S::f64s {
    for lane in pulp::bytemuck::cast_slice_mut::<S::f64s, f64>(std::slice::from_mut(&mut x)) {
        *lane = f(*lane);
    }
    x
}

/// exp in f64.
#[inline(always)]
pub(super) fn exp_f64<S: Simd>(_simd: S, x: S::f64s) -> S::f64s {
    lane_by_lane::<S>(x, f64::exp)
}

/// Sigmoid in f64.
#[inline(always)]
pub(super) fn sigmoid_f64<S: Simd>(_simd: S, x: S::f64s) -> S::f64s {
    lane_by_lane::<S>(x, |x| 1. / (1. + (-x).exp()))
}

/// tanh in f64.
#[inline(always)]
pub(super) fn tanh_f64<S: Simd>(_simd: S, x: S::f64s) -> S::f64s {
    lane_by_lane::<S>(x, f64::tanh)
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::super::Isa;
    use super::super::simd::Vector;

    #[derive(Clone, Copy, Debug)]
    enum Function {
        Exp,
        Sigmoid,
        Tanh,
    }

    /// Replaces whole vectors of `numbers` by the function of each.
    struct Apply<'a, E>(Function, &'a mut [E]);

    impl<E: Real> WithSimd for Apply<'_, E> {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            for chunk in self.1.chunks_exact_mut(E::lanes::<S>()) {
                // SAFETY: a chunk has as many numbers as a vector.
                unsafe {
                    let x = Vector::load(simd, chunk.as_ptr());
                    let y = match self.0 {
                        Function::Exp => x.exp(),
                        Function::Sigmoid => x.sigmoid(),
                        Function::Tanh => x.tanh(),
                    };
                    y.store(chunk.as_mut_ptr());
                }
            }
        }
    }

    use super::*;

    fn exact(function: Function, x: f64) -> f64 {
        match function {
            Function::Exp => x.exp(),
            Function::Sigmoid if x < 0. => x.exp() / (1. + x.exp()),
            Function::Sigmoid => 1. / (1. + (-x).exp()),
            Function::Tanh => x.tanh(),
        }
    }

    /// Units in the last place of an f32 between a result and the exact one; none where that is beyond the
    /// normal numbers of f32 and the result is what it must be there.
    fn error(found: f32, exact: f64) -> f64 {
        let smallest = f64::from(f32::MIN_POSITIVE);
        if exact.abs() < 2. * smallest {
            return if f64::from(found).abs() <= 2. * smallest { 0. } else { f64::INFINITY };
        }
        if exact > f64::from(f32::MAX) {
            return if found >= f32::MAX { 0. } else { f64::INFINITY };
        }
        let last_place = 2f64.powi(exact.abs().log2().floor() as i32 - 23);
        (f64::from(found) - exact).abs() / last_place
    }

    #[test]
    fn errors_over_all_of_f32_are_those_that_the_docs_state() {
        // Every 251st number of all, of both signs, subnormal ones among them; 251 is prime.
        let all: Vec<f32> = (0..=u32::MAX).step_by(251).map(f32::from_bits).filter(|x| !x.is_nan()).collect();
        let all = &all[..all.len() / 16 * 16];
        for (function, stated) in [(Function::Exp, 1.1), (Function::Sigmoid, 2.5), (Function::Tanh, 2.5)] {
            for isa in Isa::available() {
                let mut found = all.to_vec();
                isa.run(Apply(function, &mut found));
                let errors = all.iter().zip(&found).map(|(&x, &y)| (error(y, exact(function, x.into())), x));
                let (worst, at) =
                    errors.fold((0., 0.), |worst, this| if this.0 > worst.0 { this } else { worst });
                assert!(worst <= stated, "{function:?} of {at} is {worst} units off with {}", isa.name());
            }
        }
    }

    #[test]
    fn infinities_zeros_and_what_is_no_number_are_kept() {
        for isa in Isa::available() {
            for (function, [most, least, zero]) in [
                (Function::Exp, [f32::INFINITY, 0., 1.]),
                (Function::Sigmoid, [1., 0., 0.5]),
                (Function::Tanh, [1., -1., 0.]),
            ] {
                let mut numbers = [0f32; 16];
                numbers[..4].copy_from_slice(&[f32::INFINITY, f32::NEG_INFINITY, 0., f32::NAN]);
                isa.run(Apply(function, &mut numbers));
                assert_eq!((numbers[0], numbers[2]), (most, zero), "{function:?} with {}", isa.name());
                let near = (numbers[1] - least).abs() <= 2. * f32::MIN_POSITIVE;
                assert!(near && numbers[3].is_nan(), "{function:?} with {}: {numbers:?}", isa.name());
            }
        }
    }

    #[test]
    fn f64_is_the_standard_library() {
        for isa in Isa::available() {
            let mut numbers: [f64; 8] = [-700., -1., -1e-9, 0., 1e-9, 0.5, 2., 300.];
            let expected = numbers.map(f64::tanh);
            isa.run(Apply(Function::Tanh, &mut numbers));
            assert_eq!(numbers, expected);
        }
    }
}
