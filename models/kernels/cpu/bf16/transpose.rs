//! Transposes of blocks of 16 by 16 pairs of bf16, for the packing of panels and left sides.

use std::arch::x86_64::{
    __m512bh, __m512i, _mm256_maskz_loadu_epi16, _mm512_castsi256_si512, _mm512_cvtne2ps_pbh,
    _mm512_inserti64x4, _mm512_loadu_si512, _mm512_maskz_loadu_ps, _mm512_permutexvar_epi16,
    _mm512_setzero_si512, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

/// Pairs on each side of a block.
const PAIRS: usize = 16;

/// Transpose 16 rows of 16 pairs.
#[inline]
#[target_feature(enable = "avx512f")]
fn transpose(rows: [__m512i; PAIRS]) -> [__m512i; PAIRS] {
    let mut a = rows;
    let mut b = a;
    for i in (0..PAIRS).step_by(2) {
        b[i] = _mm512_unpacklo_epi32(a[i], a[i + 1]);
        b[i + 1] = _mm512_unpackhi_epi32(a[i], a[i + 1]);
    }
    for i in (0..PAIRS).step_by(4) {
        a[i] = _mm512_unpacklo_epi64(b[i], b[i + 2]);
        a[i + 1] = _mm512_unpackhi_epi64(b[i], b[i + 2]);
        a[i + 2] = _mm512_unpacklo_epi64(b[i + 1], b[i + 3]);
        a[i + 3] = _mm512_unpackhi_epi64(b[i + 1], b[i + 3]);
    }
    for i in 0..4 {
        b[i] = _mm512_shuffle_i32x4::<0x88>(a[i], a[i + 4]);
        b[i + 4] = _mm512_shuffle_i32x4::<0xdd>(a[i], a[i + 4]);
        b[i + 8] = _mm512_shuffle_i32x4::<0x88>(a[i + 8], a[i + 12]);
        b[i + 12] = _mm512_shuffle_i32x4::<0xdd>(a[i + 8], a[i + 12]);
    }
    for i in 0..4 {
        a[i] = _mm512_shuffle_i32x4::<0x88>(b[i], b[i + 8]);
        a[i + 4] = _mm512_shuffle_i32x4::<0x88>(b[i + 4], b[i + 12]);
        a[i + 8] = _mm512_shuffle_i32x4::<0xdd>(b[i], b[i + 8]);
        a[i + 12] = _mm512_shuffle_i32x4::<0xdd>(b[i + 4], b[i + 12]);
    }
    a
}

/// Pack 16 columns of a panel whose rows are `width` elements wide: column `c` is the row of `depth` sums at
/// `columns[c]`, rounded, or zero for null.
///
/// # Safety
/// There must be 16 pointers, each to `depth` sums or null; `to` must have room for `depth` rows, rounded up to pairs.
/// The processor must have AVX512-BF16.
#[target_feature(enable = "avx512f,avx512bf16")]
pub(super) unsafe fn columns_of_sums(columns: &[*const f32], depth: usize, to: *mut u16, width: usize) {
    for from in (0..depth).step_by(2 * PAIRS) {
        let rest = (depth - from).min(2 * PAIRS);
        let masks = [rest.min(PAIRS), rest.saturating_sub(PAIRS)].map(|count| ((1u32 << count) - 1) as u16);
        let mut rows = [_mm512_setzero_si512(); PAIRS];
        for (row, &column) in rows.iter_mut().zip(columns).filter(|(_, column)| !column.is_null()) {
            // SAFETY: the masks end with the row. Both types are 512 bits.
            unsafe {
                let first = _mm512_maskz_loadu_ps(masks[0], column.add(from));
                let second = _mm512_maskz_loadu_ps(masks[1], column.wrapping_add(from + PAIRS));
                *row = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(second, first));
            }
        }
        let pairs = rest.div_ceil(2);
        for (pair, row) in transpose(rows)[..pairs].iter().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { _mm512_storeu_si512(to.add((from + 2 * pair) * width).cast(), *row) };
        }
    }
}

/// The order that interleaves two rows of 16 bf16 into 16 pairs.
const INTERLEAVE: [u16; 32] = {
    let mut order = [0; 32];
    let mut index = 0;
    while index < 32 {
        order[index] = (index / 2 + index % 2 * 16) as u16;
        index += 1;
    }
    order
};

/// Transpose 32 rows of `count` bf16, at most 16, into `count` rows of 32, `stride` elements apart. A null row is zero.
///
/// # Safety
/// Every row must have the elements, and `to` room for them. The processor must have AVX-512.
#[target_feature(enable = "avx512f,avx512bw,avx512vl")]
pub(super) unsafe fn rows_of_operands(rows: &[*const u16; 32], count: usize, to: *mut u16, stride: usize) {
    let mask = ((1u32 << count) - 1) as u16;
    // SAFETY: the mask ends with the row, and a masked load of nothing touches no memory; the rest is the caller's
    // promise.
    unsafe {
        let interleave = _mm512_loadu_si512(INTERLEAVE.as_ptr().cast());
        let mut pairs = [_mm512_setzero_si512(); PAIRS];
        for (pair, rows) in pairs.iter_mut().zip(rows.chunks_exact(2)) {
            let load =
                |row: *const u16| _mm256_maskz_loadu_epi16(if row.is_null() { 0 } else { mask }, row.cast());
            let both = _mm512_inserti64x4::<1>(_mm512_castsi256_si512(load(rows[0])), load(rows[1]));
            *pair = _mm512_permutexvar_epi16(interleave, both);
        }
        for (index, row) in transpose(pairs)[..count].iter().enumerate() {
            _mm512_storeu_si512(to.add(index * stride).cast(), *row);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_rounded_and_laid_out_in_pairs() {
        if !std::is_x86_feature_detected!("avx512bf16") {
            return;
        }
        for depth in [1, 2, 15, 16, 31, 32, 33, 70] {
            let values: Vec<f32> = (0..16 * depth).map(|index| (index as f32).sin()).collect();
            let mut columns: [*const f32; 16] =
                std::array::from_fn(|column| values[column * depth..].as_ptr());
            columns[5] = std::ptr::null();
            let mut packed = vec![0xffff; (depth + 1) * 48];
            // SAFETY: 16 columns of that depth, and room for the rows.
            unsafe { columns_of_sums(&columns, depth, packed.as_mut_ptr(), 48) };
            for k in 0..depth {
                for column in 0..16 {
                    let expected = match column {
                        5 => 0,
                        _ => super::super::super::simd::bf16_bits(values[column * depth + k]),
                    };
                    let index = k / 2 * 96 + column * 2 + k % 2;
                    assert_eq!(packed[index], expected, "row {k}, column {column} of depth {depth}");
                }
            }
        }
    }

    #[test]
    fn operands_are_transposed() {
        if !std::is_x86_feature_detected!("avx512bw") {
            return;
        }
        let values: Vec<u16> = (0..32 * 20).collect();
        for count in [1, 7, 16] {
            for present in [1, 31, 32] {
                let row = |k: usize| if k < present { values[k * 20..].as_ptr() } else { std::ptr::null() };
                let rows: [*const u16; 32] = std::array::from_fn(row);
                let mut packed = vec![0xffffu16; 16 * 40];
                // SAFETY: rows of 20 elements, and room for 16 rows.
                unsafe { rows_of_operands(&rows, count, packed.as_mut_ptr(), 40) };
                for (column, k) in (0..count).flat_map(|column| (0..32).map(move |k| (column, k))) {
                    let expected = if k < present { values[k * 20 + column] } else { 0 };
                    assert_eq!(packed[column * 40 + k], expected, "row {k}, column {column} of {count}");
                }
            }
        }
    }
}
