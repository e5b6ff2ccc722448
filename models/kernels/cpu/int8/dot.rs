//! The product of a tile in registers.

use super::super::tuning::{TILE_ROWS, TILE_SUMS_OF_16_REGISTERS, TILE_SUMS_OF_32_REGISTERS};
use super::instructions::Dot;
use super::layout::ByteProduct;
use super::x86::{Avx2, Avx2Twice, Avx512Vnni, AvxVnni};

/// Compute a tile of `R` rows by `V` vectors. Each sum is divided among `N` registers: an instruction waits for the one
/// before it on the same register.
///
/// # Safety
/// As [`Operand::multiply`](super::super::product::Operand::multiply), on a processor with the instructions.
#[inline(always)]
unsafe fn tile<D: Dot, const R: usize, const V: usize, const N: usize>(
    product: ByteProduct,
    first_row: usize,
) {
    let ByteProduct { depth, left, left_stride, panel, tile, .. } = product;
    let width = V * D::LANES;
    let quads = depth.div_ceil(4);
    // SAFETY: the caller's promise. The last quad of a row and of the panel is filled up.
    unsafe {
        let left = left.add(first_row * left_stride);
        let mut sums = [[[D::zero(); V]; R]; N];
        let mut q = 0;
        while q + N <= quads {
            for (n, sums) in sums.iter_mut().enumerate() {
                step::<D, R, V>(sums, left.add(4 * (q + n)), left_stride, panel.add(4 * (q + n) * width));
            }
            q += N;
        }
        while q < quads {
            step::<D, R, V>(&mut sums[0], left.add(4 * q), left_stride, panel.add(4 * q * width));
            q += 1;
        }
        let (scales, offsets) = product.columns(D::LANES);
        for r in 0..R {
            let left_scale = product.left_scale(first_row + r);
            for v in 0..V {
                let mut sum = sums[0][r][v];
                for other in &sums[1..] {
                    sum = D::join(sum, other[r][v]);
                }
                let column = v * D::LANES;
                let to = tile.add((first_row + r) * width + column);
                D::finish(sum, offsets.add(column), scales.add(column), left_scale, to);
            }
        }
    }
}

/// Add the products of four consecutive elements to all sums of a tile.
///
/// # Safety
/// As [`tile`].
#[inline(always)]
unsafe fn step<D: Dot, const R: usize, const V: usize>(
    sums: &mut [[D::Sums; V]; R],
    left: *const u8,
    left_stride: usize,
    panel: *const i8,
) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut weights = [D::weights(panel); V];
        for (v, weights) in weights.iter_mut().enumerate().skip(1) {
            *weights = D::weights(panel.add(v * D::LANES * 4));
        }
        for (r, sums) in sums.iter_mut().enumerate() {
            let quad = D::quad(left.add(r * left_stride).cast::<u32>().read_unaligned());
            for (sum, weights) in sums.iter_mut().zip(weights) {
                *sum = D::add(*sum, quad, weights);
            }
        }
    }
}

/// Return the number of registers that each of `count` sums is divided among.
const fn parts(count: usize) -> usize {
    let mut parts = 8;
    while parts > 1 && parts * count > TILE_SUMS_OF_16_REGISTERS {
        parts /= 2;
    }
    parts
}

/// Define the product for some instructions: cut into tiles that fit the registers.
macro_rules! product {
    ($name:ident, $dot:ident, $features:literal, $($vectors:literal: $($rows:literal)*;)*) => {
        /// Compute a product.
        ///
        /// # Safety
        /// That of [`Operand::multiply`](super::super::product::Operand::multiply), on a processor with the
        /// instructions.
        pub(super) unsafe fn $name(product: ByteProduct) {
            #[target_feature(enable = $features)]
            unsafe fn sized<const R: usize, const V: usize, const N: usize>(
                product: ByteProduct,
                first_row: usize,
            ) {
                // SAFETY: the caller's promise.
                unsafe { tile::<$dot, R, V, N>(product, first_row) }
            }
            let ByteProduct { rows, vectors, .. } = product;
            let max_rows = ($dot::SUMS / vectors.max(1)).min(TILE_ROWS);
            for first_row in (0..rows).step_by(max_rows.max(1)) {
                match (vectors, max_rows.min(rows - first_row)) {
                    // SAFETY: the caller's promise.
                    $($(($vectors, $rows) => unsafe {
                        sized::<$rows, $vectors, { parts($rows * $vectors) }>(product, first_row)
                    },)*)*
                    _ => unreachable!("invariant: a tile of {rows} by {vectors} vectors"),
                }
            }
        }
    };
}

product!(avx512_vnni, Avx512Vnni, "avx512f,avx512bw,avx512vl,avx512vnni",
    1: 1 2 3 4 5 6 7 8 9 10 11 12;
    2: 1 2 3 4 5 6 7 8 9 10 11 12;
    3: 1 2 3 4 5 6 7 8;
    4: 1 2 3 4 5 6;
);
product!(avx_vnni, AvxVnni, "avx2,fma,avxvnni",
    1: 1 2 3 4 5 6 7 8 9 10 11 12;
    2: 1 2 3 4 5 6;
    3: 1 2 3 4;
    4: 1 2 3;
);
product!(avx2, Avx2, "avx2",
    1: 1 2 3 4 5 6 7 8 9 10 11 12;
    2: 1 2 3 4 5 6;
    3: 1 2 3 4;
    4: 1 2 3;
);
product!(avx2_twice, Avx2Twice, "avx2",
    1: 1 2 3 4 5 6;
    2: 1 2 3;
    3: 1 2;
    4: 1;
);

const _: () = assert!(TILE_SUMS_OF_32_REGISTERS == 24 && TILE_SUMS_OF_16_REGISTERS == 12 && TILE_ROWS == 12);
