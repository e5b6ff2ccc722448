//! The instructions of x86.

use std::arch::x86_64::{
    __m256i, __m512i, _mm256_abs_epi8, _mm256_add_epi32, _mm256_add_ps, _mm256_cvtepi32_ps,
    _mm256_dpbusd_avx_epi32, _mm256_loadu_ps, _mm256_loadu_si256, _mm256_madd_epi16, _mm256_maddubs_epi16,
    _mm256_mul_ps, _mm256_set1_epi16, _mm256_set1_epi32, _mm256_set1_ps, _mm256_setzero_si256,
    _mm256_sign_epi8, _mm256_storeu_ps, _mm256_sub_epi32, _mm512_add_epi32, _mm512_add_ps,
    _mm512_cvtepi32_ps, _mm512_dpbusd_epi32, _mm512_loadu_ps, _mm512_loadu_si512, _mm512_mul_ps,
    _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_si512, _mm512_storeu_ps, _mm512_sub_epi32,
};

use super::super::tuning::{TILE_SUMS_OF_16_REGISTERS, TILE_SUMS_OF_32_REGISTERS};
use super::instructions::Dot;
use super::layout::OFFSET;

/// `vpdpbusd` of 512 bits.
pub(super) struct Avx512Vnni;

impl Dot for Avx512Vnni {
    const LANES: usize = 16;
    const SUMS: usize = TILE_SUMS_OF_32_REGISTERS;
    type Sums = __m512i;
    type Quad = __m512i;
    type Weights = __m512i;

    #[inline(always)]
    unsafe fn zero() -> __m512i {
        // SAFETY: the processor has the instruction, here and below.
        unsafe { _mm512_setzero_si512() }
    }

    #[inline(always)]
    unsafe fn quad(bytes: u32) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_set1_epi32(bytes as i32) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> __m512i {
        // SAFETY: the caller's promise.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    #[inline(always)]
    unsafe fn add(sums: __m512i, quad: __m512i, weights: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_dpbusd_epi32(sums, quad, weights) }
    }

    #[inline(always)]
    unsafe fn join(a: __m512i, b: __m512i) -> __m512i {
        // SAFETY: as above.
        unsafe { _mm512_add_epi32(a, b) }
    }

    #[inline(always)]
    unsafe fn finish(sums: __m512i, offsets: *const i32, scales: *const f32, left: f32, tile: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let sums = _mm512_cvtepi32_ps(_mm512_sub_epi32(sums, _mm512_loadu_si512(offsets.cast())));
            let scaled = _mm512_mul_ps(_mm512_mul_ps(sums, _mm512_loadu_ps(scales)), _mm512_set1_ps(left));
            _mm512_storeu_ps(tile, _mm512_add_ps(_mm512_loadu_ps(tile), scaled));
        }
    }
}

/// Add sums of 8 columns, times both scales, to a vector of the tile.
///
/// # Safety
/// A vector must be readable at each address, and the processor have AVX2.
#[inline(always)]
unsafe fn finish_256(sums: __m256i, scales: *const f32, left: f32, tile: *mut f32) {
    // SAFETY: the caller's promise.
    unsafe {
        let scaled = _mm256_mul_ps(_mm256_cvtepi32_ps(sums), _mm256_loadu_ps(scales));
        let scaled = _mm256_mul_ps(scaled, _mm256_set1_ps(left));
        _mm256_storeu_ps(tile, _mm256_add_ps(_mm256_loadu_ps(tile), scaled));
    }
}

/// Define what [`AvxVnni`] and [`Avx2`] share: sums and weights in vectors of 256 bits.
macro_rules! vectors_of_256_bits {
    () => {
        const LANES: usize = 8;
        const SUMS: usize = TILE_SUMS_OF_16_REGISTERS;
        type Sums = __m256i;
        type Weights = __m256i;

        #[inline(always)]
        unsafe fn zero() -> __m256i {
            // SAFETY: the processor has the instruction, here and below.
            unsafe { _mm256_setzero_si256() }
        }

        #[inline(always)]
        unsafe fn weights(from: *const i8) -> __m256i {
            // SAFETY: the caller's promise.
            unsafe { _mm256_loadu_si256(from.cast()) }
        }

        #[inline(always)]
        unsafe fn join(a: __m256i, b: __m256i) -> __m256i {
            // SAFETY: as above.
            unsafe { _mm256_add_epi32(a, b) }
        }
    };
}

/// `vpdpbusd` of 256 bits.
pub(super) struct AvxVnni;

impl Dot for AvxVnni {
    vectors_of_256_bits!();
    type Quad = __m256i;

    #[inline(always)]
    unsafe fn quad(bytes: u32) -> __m256i {
        // SAFETY: the processor has the instruction, here and below.
        unsafe { _mm256_set1_epi32(bytes as i32) }
    }

    #[inline(always)]
    unsafe fn add(sums: __m256i, quad: __m256i, weights: __m256i) -> __m256i {
        // SAFETY: as above.
        unsafe { _mm256_dpbusd_avx_epi32(sums, quad, weights) }
    }

    #[inline(always)]
    unsafe fn finish(sums: __m256i, offsets: *const i32, scales: *const f32, left: f32, tile: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe {
            let sums = _mm256_sub_epi32(sums, _mm256_loadu_si256(offsets.cast()));
            finish_256(sums, scales, left, tile);
        }
    }
}

/// `vpmaddubsw`, which multiplies unsigned by signed bytes and adds two products, saturating. It takes the magnitudes
/// of the left operands, and the weights with their signs.
pub(super) struct Avx2;

/// Left operands: their magnitudes, and themselves.
#[derive(Clone, Copy)]
pub(super) struct Signed {
    magnitudes: __m256i,
    numbers: __m256i,
}

impl Dot for Avx2 {
    vectors_of_256_bits!();
    type Quad = Signed;

    #[inline(always)]
    unsafe fn quad(bytes: u32) -> Signed {
        // SAFETY: the processor has the instructions, here and below.
        unsafe {
            let numbers = _mm256_set1_epi32((bytes ^ u32::from_ne_bytes([OFFSET; 4])) as i32);
            Signed { magnitudes: _mm256_abs_epi8(numbers), numbers }
        }
    }

    #[inline(always)]
    unsafe fn add(sums: __m256i, quad: Signed, weights: __m256i) -> __m256i {
        // SAFETY: as above.
        unsafe {
            let pairs = _mm256_maddubs_epi16(quad.magnitudes, _mm256_sign_epi8(weights, quad.numbers));
            _mm256_add_epi32(sums, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }

    #[inline(always)]
    unsafe fn finish(sums: __m256i, _offsets: *const i32, scales: *const f32, left: f32, tile: *mut f32) {
        // SAFETY: the caller's promise.
        unsafe { finish_256(sums, scales, left, tile) }
    }
}

/// [`Avx2`] for panels of 16 columns.
pub(super) struct Avx2Twice;

impl Dot for Avx2Twice {
    const LANES: usize = 16;
    const SUMS: usize = TILE_SUMS_OF_16_REGISTERS / 2;
    type Sums = [__m256i; 2];
    type Quad = Signed;
    type Weights = [__m256i; 2];

    #[inline(always)]
    unsafe fn zero() -> [__m256i; 2] {
        // SAFETY: the processor has the instructions, here and below.
        unsafe { [Avx2::zero(), Avx2::zero()] }
    }

    #[inline(always)]
    unsafe fn quad(bytes: u32) -> Signed {
        // SAFETY: as above.
        unsafe { Avx2::quad(bytes) }
    }

    #[inline(always)]
    unsafe fn weights(from: *const i8) -> [__m256i; 2] {
        // SAFETY: the caller's promise.
        unsafe { [Avx2::weights(from), Avx2::weights(from.add(32))] }
    }

    #[inline(always)]
    unsafe fn add([a, b]: [__m256i; 2], quad: Signed, [c, d]: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: as above.
        unsafe { [Avx2::add(a, quad, c), Avx2::add(b, quad, d)] }
    }

    #[inline(always)]
    unsafe fn join([a, b]: [__m256i; 2], [c, d]: [__m256i; 2]) -> [__m256i; 2] {
        // SAFETY: as above.
        unsafe { [Avx2::join(a, c), Avx2::join(b, d)] }
    }

    #[inline(always)]
    unsafe fn finish(
        [a, b]: [__m256i; 2],
        _offsets: *const i32,
        scales: *const f32,
        left: f32,
        tile: *mut f32,
    ) {
        // SAFETY: the caller's promise.
        unsafe {
            finish_256(a, scales, left, tile);
            finish_256(b, scales.add(8), left, tile.add(8));
        }
    }
}
