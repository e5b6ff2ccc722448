//! Sums over the features of a query and a key, and the softmax over the steps of a source.

use pulp::Simd;

use super::super::product::ROW_SUMS;
use super::super::real::Real;
use super::super::simd::{MAX_LANES, Vector};

/// Compute the dot product of two vectors of `count` elements.
///
/// # Safety
/// `count` elements must be readable at both.
#[inline(always)]
pub(super) unsafe fn dot<S: Simd, E: Real>(simd: S, a: *const E, b: *const E, count: usize) -> E {
    let lanes = E::lanes::<S>();
    let whole = count - count % (ROW_SUMS * lanes);
    let mut sums = [Vector::<S, E>::zero(simd); ROW_SUMS];
    let mut stored = [E::zero(); MAX_LANES];
    // SAFETY: the caller's promise; no vector has more than `MAX_LANES` elements.
    unsafe {
        for from in (0..whole).step_by(ROW_SUMS * lanes) {
            for (index, sum) in sums.iter_mut().enumerate() {
                let at = from + index * lanes;
                *sum = Vector::load(simd, a.add(at)).mul_add(Vector::load(simd, b.add(at)), *sum);
            }
        }
        for from in (whole..count).step_by(lanes) {
            let rest = lanes.min(count - from);
            let [a, b] = [a, b].map(|values| Vector::load_first(simd, values.add(from), rest));
            sums[0] = a.mul_add(b, sums[0]);
        }
        ((sums[0] + sums[1]) + (sums[2] + sums[3])).store(stored.as_mut_ptr());
    }
    stored[..lanes].iter().fold(E::zero(), |sum, &x| sum + x)
}

/// Compute v . tanh(query + key), of `count` features each.
///
/// # Safety
/// `count` elements must be readable at all three.
#[inline(always)]
pub(super) unsafe fn tanh_score<S: Simd, E: Real>(
    simd: S,
    [query, key, v]: [*const E; 3],
    count: usize,
) -> E {
    let lanes = E::lanes::<S>();
    let mut sum = Vector::<S, E>::zero(simd);
    let mut stored = [E::zero(); MAX_LANES];
    // SAFETY: the caller's promise; no vector has more than `MAX_LANES` elements.
    unsafe {
        for from in (0..count).step_by(lanes) {
            let rest = lanes.min(count - from);
            let [query, key, v] =
                [query, key, v].map(|values| Vector::load_first(simd, values.add(from), rest));
            sum = (query + key).tanh().mul_add(v, sum);
        }
        sum.store(stored.as_mut_ptr());
    }
    stored[..lanes].iter().fold(E::zero(), |sum, &x| sum + x)
}

/// Add the gradients of the query, the key and v of [`tanh_score`], from that of the score.
///
/// # Safety
/// `count` elements must be readable at all operands, and writable at all gradients.
#[inline(always)]
pub(super) unsafe fn tanh_score_backward<S: Simd, E: Real>(
    simd: S,
    [query, key, v]: [*const E; 3],
    d_score: E,
    [d_query, d_key, d_v]: [*mut E; 3],
    count: usize,
) {
    let lanes = E::lanes::<S>();
    let d_score = Vector::splat(simd, d_score);
    let one = Vector::splat(simd, E::one());
    for from in (0..count).step_by(lanes) {
        let rest = lanes.min(count - from);
        // SAFETY: the caller's promise.
        unsafe {
            let load = |values: *const E| Vector::<S, E>::load_first(simd, values.add(from), rest);
            let activation = (load(query) + load(key)).tanh();
            let slope = (one - activation * activation) * load(v) * d_score;
            (load(d_query) + slope).store_first(d_query.add(from), rest);
            (load(d_key) + slope).store_first(d_key.add(from), rest);
            activation.mul_add(d_score, load(d_v)).store_first(d_v.add(from), rest);
        }
    }
}

/// Replace `count` scores by their softmax.
///
/// # Safety
/// `count` elements must be writable.
#[inline(always)]
pub(super) unsafe fn softmax<S: Simd, E: Real>(simd: S, scores: *mut E, count: usize) {
    let lanes = E::lanes::<S>();
    // SAFETY: the caller's promise.
    unsafe {
        let values = std::slice::from_raw_parts_mut(scores, count);
        let Some(&first) = values.first() else { return };
        let highest = values.iter().fold(first, |a, &b| if b > a { b } else { a });
        for from in (0..count).step_by(lanes) {
            let rest = lanes.min(count - from);
            let shifted = Vector::load_first(simd, scores.add(from), rest) - Vector::splat(simd, highest);
            shifted.exp().store_first(scores.add(from), rest);
        }
        let sum = values.iter().fold(E::zero(), |sum, &x| sum + x);
        values.iter_mut().for_each(|value| *value /= sum);
    }
}
