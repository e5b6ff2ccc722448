//! bf16 as the upper half of an f32: rounding, and vectors of it in memory.
//!
//! Rounding is to nearest, ties to even, and keeps NaN, infinities, the sign of zero and subnormal numbers.

use pulp::Simd;

use super::{MAX_LANES, Vector};

/// The bit that makes a NaN quiet: a NaN whose other digits are all in the lower half would become an infinity.
const QUIET: u32 = 0x0040_0000;

/// Round `x` to bf16; return its bits.
pub(crate) fn bf16_bits(x: f32) -> u16 {
    let bits = x.to_bits();
    if x.is_nan() {
        return ((bits | QUIET) >> 16) as u16;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// Return the f32 of the same value as a bf16.
pub(crate) fn from_bf16_bits(bits: u16) -> f32 {
    f32::from_bits(u32::from(bits) << 16)
}

impl<S: Simd> Vector<S, f32> {
    /// Round every lane; the upper half of each result is the bf16, the lower half has no meaning.
    #[inline(always)]
    fn bits_of_bf16(self) -> S::u32s {
        let simd = self.simd();
        let bits = simd.transmute_u32s_f32s(self.lanes());
        let upper = simd.wrapping_dyn_shr_u32s(bits, simd.splat_u32s(16));
        let half = simd.add_u32s(simd.and_u32s(upper, simd.splat_u32s(1)), simd.splat_u32s(0x7fff));
        let is_number = simd.equal_f32s(self.lanes(), self.lanes());
        simd.select_u32s(is_number, simd.add_u32s(bits, half), simd.or_u32s(bits, simd.splat_u32s(QUIET)))
    }

    /// Round every lane to bf16.
    #[inline(always)]
    pub(crate) fn rounded_to_bf16(self) -> Self {
        let simd = self.simd();
        let bits = simd.and_u32s(self.bits_of_bf16(), simd.splat_u32s(0xffff_0000));
        Self::from_lanes(simd, simd.transmute_f32s_u32s(bits))
    }

    /// Round every lane to bf16 and store the lanes side by side.
    ///
    /// # Safety
    /// As many bf16 as the vector has lanes must be writable at `to`.
    #[inline(always)]
    pub(crate) unsafe fn store_bf16(self, to: *mut u16) {
        let mut bits = [0u32; MAX_LANES];
        // SAFETY: a register of u32 has at most `MAX_LANES` lanes; the rest is the caller's promise.
        unsafe {
            bits.as_mut_ptr().cast::<S::u32s>().write_unaligned(self.bits_of_bf16());
            for (lane, bits) in bits[..Self::len()].iter().enumerate() {
                to.add(lane).write_unaligned((bits >> 16) as u16);
            }
        }
    }

    /// Round both vectors to bf16 and store them lane by lane, `even` before `odd`.
    ///
    /// # Safety
    /// Twice as many bf16 as a vector has lanes must be writable at `to`.
    #[inline(always)]
    pub(crate) unsafe fn store_bf16_pairs(even: Self, odd: Self, to: *mut u16) {
        let simd = even.simd();
        let lower = simd.wrapping_dyn_shr_u32s(even.bits_of_bf16(), simd.splat_u32s(16));
        let upper = simd.and_u32s(odd.bits_of_bf16(), simd.splat_u32s(0xffff_0000));
        // SAFETY: the caller's promise; the first of a pair is the lower half of a little-endian u32.
        unsafe { to.cast::<S::u32s>().write_unaligned(simd.or_u32s(lower, upper)) };
    }

    /// Load a vector of bf16.
    ///
    /// # Safety
    /// As many bf16 as the vector has lanes must be readable at `from`.
    #[inline(always)]
    pub(crate) unsafe fn load_bf16(simd: S, from: *const u16) -> Self {
        let mut lanes = [0f32; MAX_LANES];
        // SAFETY: the caller's promise; no vector has more than `MAX_LANES` lanes.
        unsafe {
            for (lane, to) in lanes[..Self::len()].iter_mut().enumerate() {
                *to = from_bf16_bits(from.add(lane).read_unaligned());
            }
            Self::load(simd, lanes.as_ptr())
        }
    }
}

#[cfg(test)]
mod tests {
    use pulp::WithSimd;

    use super::super::Isa;
    use super::*;

    /// Rounds 16 numbers: in place, side by side, and in pairs with themselves.
    struct Round<'a>(&'a [f32; 16], &'a mut [f32; 16], &'a mut [u16; 16], &'a mut [u16; 32]);

    impl WithSimd for Round<'_> {
        type Output = ();

        fn with_simd<S: Simd>(self, simd: S) {
            for from in (0..16).step_by(Vector::<S, f32>::len()) {
                // SAFETY: 16 is a multiple of the lanes.
                unsafe {
                    let x = Vector::load(simd, self.0.as_ptr().add(from));
                    x.rounded_to_bf16().store(self.1.as_mut_ptr().add(from));
                    x.store_bf16(self.2.as_mut_ptr().add(from));
                    Vector::store_bf16_pairs(x, -x, self.3.as_mut_ptr().add(2 * from));
                    let again = Vector::load_bf16(simd, self.2.as_ptr().add(from));
                    let mut lanes = [0f32; 16];
                    again.store(lanes.as_mut_ptr());
                    for (lane, y) in lanes[..Vector::<S, f32>::len()].iter().enumerate() {
                        assert_eq!(y.to_bits(), u32::from(self.2[from + lane]) << 16);
                    }
                }
            }
        }
    }

    /// The nearest bf16 by its definition: of the two neighbours the nearer, of two equally near the even one.
    fn nearest(x: f32) -> u16 {
        let below = (x.to_bits() >> 16) as u16;
        if x.is_nan() {
            return below | 0x40;
        }
        if x.is_infinite() {
            return below;
        }
        let value = |bits: u16| match bits & 0x7fff {
            0x7f80 => 2f64.powi(128) * f64::from(x).signum(), // where the next bf16 would be
            _ => f64::from(from_bf16_bits(bits)),
        };
        let [to_below, to_above] = [below, below + 1].map(|bits| (value(bits) - f64::from(x)).abs());
        if to_below < to_above || to_below == to_above && below.is_multiple_of(2) { below } else { below + 1 }
    }

    #[test]
    fn rounding_is_to_the_nearest_even_on_every_instruction_set() {
        let xs: Vec<f32> = (0..=u32::MAX).step_by(65_521).map(f32::from_bits).collect();
        let ties = (0..=u16::MAX).map(|upper| f32::from_bits(u32::from(upper) << 16 | 0x8000));
        let quiet = [f32::from_bits(0x7f80_0001), f32::from_bits(0xff80_0001), f32::MAX, f32::MIN, 0., -0.];
        let mut xs: Vec<f32> = xs.into_iter().chain(ties).chain(quiet).collect();
        xs.resize(xs.len().next_multiple_of(16), 1.);
        for isa in Isa::available() {
            assert!(xs.chunks_exact(16).remainder().is_empty());
            for xs in xs.chunks_exact(16) {
                let xs: &[f32; 16] = xs.try_into().expect("16 numbers");
                let (mut rounded, mut bits, mut pairs) = ([0.; 16], [0; 16], [0; 32]);
                isa.run(Round(xs, &mut rounded, &mut bits, &mut pairs));
                for lane in 0..16 {
                    let expected = nearest(xs[lane]);
                    assert_eq!(bf16_bits(xs[lane]), expected, "{:?}", xs[lane]);
                    assert_eq!(bits[lane], expected, "{:?} with {}", xs[lane], isa.name());
                    assert_eq!(rounded[lane].to_bits(), u32::from(expected) << 16);
                    assert_eq!(pairs[2 * lane], expected);
                    if !xs[lane].is_nan() && xs[lane] != 0. {
                        assert_eq!(pairs[2 * lane + 1], expected ^ 0x8000);
                    }
                }
            }
        }
    }
}
