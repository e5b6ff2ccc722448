//! Rounding to int8, and vectors of bytes in memory.

use pulp::Simd;

use super::math::ROUND;
use super::{MAX_LANES, Vector};

impl<S: Simd> Vector<S, f32> {
    /// Compute the absolute value.
    #[inline(always)]
    pub(crate) fn magnitude(self) -> Self {
        let simd = self.simd();
        Self::from_lanes(simd, simd.abs_f32s(self.lanes()))
    }

    /// Round every lane, a number of -127..=127, to the nearest integer, add 128, and store the bytes side by side.
    /// Other lanes become any bytes.
    ///
    /// # Safety
    /// As many bytes as the vector has lanes must be writable at `to`.
    #[inline(always)]
    pub(crate) unsafe fn store_offset_bytes(self, to: *mut u8) {
        let simd = self.simd();
        let integers = (self + Self::splat(simd, ROUND)).lanes(); // the integer is the lowest byte
        let bytes = simd.xor_u32s(simd.transmute_u32s_f32s(integers), simd.splat_u32s(0x80));
        let mut lanes = [0u32; MAX_LANES];
        // SAFETY: a register of u32 has at most `MAX_LANES` lanes; the rest is the caller's promise.
        unsafe {
            lanes.as_mut_ptr().cast::<S::u32s>().write_unaligned(bytes);
            for (lane, bits) in lanes[..Self::len()].iter().enumerate() {
                to.add(lane).write(*bits as u8);
            }
        }
    }
}
