//! The rule of the scales.

use pulp::Simd;

use super::super::simd::{MAX_LANES, Vector};

/// The largest magnitude of an operand.
const LARGEST: f32 = 127.;

/// Magnitudes below this one are zero: 2^-100. The reciprocal of a smaller scale may not be a number.
const SMALLEST: f32 = f32::from_bits((127 - 100) << 23);

/// The most features that a sum in i32 holds: 2^31 / 127^2, rounded down to a power of two.
pub(crate) const MAX_DEPTH: usize = 1 << 17;

/// Return the scale of operands whose largest magnitude is `largest`: a hundred-and-twenty-seventh of it, rounded up to
/// 17 binary digits. The product with an operand is then exact, and the rounding of such products finds the same
/// operands and the same scale again. NaN if `largest` is NaN or infinite, zero if it is too small.
pub(crate) fn scale_of(largest: f32) -> f32 {
    if !largest.is_finite() {
        return f32::NAN;
    }
    if largest < SMALLEST {
        return 0.;
    }
    const LOWER: u32 = (1 << 7) - 1;
    f32::from_bits(((largest / LARGEST).to_bits() + LOWER) & !LOWER)
}

/// Return the factor from numbers to operands, the inverse of the scale; zero for a scale of zero.
pub(crate) fn inverse(scale: f32) -> f32 {
    if scale == 0. { 0. } else { 1. / scale }
}

/// Return the largest magnitude of `count` numbers; NaN if one is NaN or infinite.
///
/// # Safety
/// `count` numbers must be readable at `from`.
#[inline(always)]
pub(super) unsafe fn largest_magnitude<S: Simd>(simd: S, from: *const f32, count: usize) -> f32 {
    let zero = Vector::zero(simd);
    let (mut largest, mut check) = ([zero; 2], [zero; 2]);
    let step = Vector::<S, f32>::len();
    for (index, offset) in (0..count).step_by(step).enumerate() {
        // SAFETY: the caller's promise.
        let x = unsafe { Vector::load_first(simd, from.add(offset), count - offset) };
        let (largest, check) = (&mut largest[index % 2], &mut check[index % 2]);
        let magnitude = x.magnitude();
        *largest = magnitude.if_greater(*largest, magnitude, *largest);
        *check = *check + x * zero; // NaN for NaN and infinities
    }
    let ([a, b], [c, d]) = (largest, check);
    let (mut lanes, mut checks) = ([0f32; MAX_LANES], [0f32; MAX_LANES]);
    // SAFETY: no vector has more lanes.
    unsafe {
        a.if_greater(b, a, b).store(lanes.as_mut_ptr());
        (c + d).store(checks.as_mut_ptr());
    }
    lanes.iter().copied().fold(0., f32::max) + checks.iter().sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scales_are_found_again_from_dequantised_numbers() {
        for bits in (SMALLEST.to_bits()..f32::MAX.to_bits()).step_by(65_521) {
            let largest = f32::from_bits(bits);
            let scale = scale_of(largest);
            assert!(scale >= largest / LARGEST && scale <= largest / LARGEST * (1. + 2f32.powi(-16)));
            assert_eq!((largest * inverse(scale)).round_ties_even(), LARGEST, "{largest}");
            assert_eq!(scale_of(LARGEST * scale), scale, "{largest}");
            for operand in 0..=127 {
                let x = operand as f32 * scale;
                assert_eq!(f64::from(x), f64::from(operand) * f64::from(scale), "{operand} of {largest}");
                assert_eq!((x * inverse(scale)).round_ties_even(), operand as f32, "{operand} of {largest}");
            }
        }
    }

    #[test]
    fn numbers_without_a_scale() {
        assert!([f32::NAN, f32::INFINITY].iter().all(|&largest| scale_of(largest).is_nan()));
        assert_eq!([0., 1e-45, 7e-31].map(scale_of), [0.; 3]);
        assert!(scale_of(SMALLEST) > 0. && scale_of(f32::MAX).is_finite());
    }
}
