//! The product of a tile in plain Rust.

use pulp::Simd;

use super::super::simd::{MAX_LANES, Vector};
use super::layout::{ByteProduct, OFFSET};

/// Compute a product.
///
/// # Safety
/// That of [`Operand::multiply`](super::super::product::Operand::multiply).
#[inline(always)]
pub(super) unsafe fn multiply<S: Simd>(_simd: S, product: ByteProduct) {
    let lanes = Vector::<S, f32>::len();
    let ByteProduct { rows, vectors, depth, left, left_stride, panel, tile } = product;
    let width = vectors * lanes;
    // SAFETY: the caller's promise.
    unsafe {
        let (scales, _) = product.columns(lanes);
        for row in 0..rows {
            let (left, left_scale) = (left.add(row * left_stride), product.left_scale(row));
            for first in (0..width).step_by(lanes) {
                let mut sums = [0i32; MAX_LANES];
                for k in (0..depth).step_by(4) {
                    let quad: [i32; 4] =
                        std::array::from_fn(|i| i32::from(left.add(k + i).read().wrapping_sub(OFFSET) as i8));
                    let weights = panel.add(k * width + first * 4);
                    for (lane, sum) in sums[..lanes].iter_mut().enumerate() {
                        let weight = |i: usize| i32::from(weights.add(lane * 4 + i).read());
                        *sum += quad[0] * weight(0)
                            + quad[1] * weight(1)
                            + quad[2] * weight(2)
                            + quad[3] * weight(3);
                    }
                }
                for (lane, &sum) in sums[..lanes].iter().enumerate() {
                    let column = first + lane;
                    let to = tile.add(row * width + column);
                    *to += sum as f32 * scales.add(column).read_unaligned() * left_scale;
                }
            }
        }
    }
}
