//! One step of attention over the outputs of an encoder, for each row of a batch.
//!
//! ```text
//! e_s = h . key_s                      or given
//! w = softmax of e over the steps s of the row's source
//! context = sum over s of w_s value_s
//! ```

use pulp::Simd;

use super::memory::SharedPtr;
use super::product::MAX_LANES;
use super::real::Real;
use super::simd::{Isa, Vector};
use super::tuning::PARALLEL_POINTWISE_UNITS;
use super::workers::{Kernel, Worker, run_kernel, threads_for};

/// Vectors of sums that are kept in registers.
const SUMS: usize = 4;

/// The encoder's outputs and keys that a decoder attends to.
#[derive(Clone, Copy)]
pub(crate) struct Attended<'a, E> {
    /// (batch, source, hidden).
    pub(crate) keys: &'a [E],
    /// (batch, source, width).
    pub(crate) values: &'a [E],
    /// Steps of each source, at least 1; all of them if `None`.
    pub(crate) lengths: Option<&'a [usize]>,
    pub(crate) batch: usize,
    pub(crate) source: usize,
    pub(crate) hidden: usize,
    pub(crate) width: usize,
}

/// The scores of a step.
#[derive(Clone, Copy)]
pub(crate) enum Scores<'a, E> {
    /// The dot products of this hidden state, (batch, hidden), and the keys.
    Dot(&'a [E]),
    /// (batch, source).
    Given(&'a [E]),
}

impl<E: Real> Attended<'_, E> {
    fn check(&self) {
        let Self { batch, source, hidden, width, .. } = *self;
        assert_eq!(self.keys.len(), batch * source * hidden, "keys of {batch} by {source} by {hidden}");
        assert_eq!(self.values.len(), batch * source * width, "values of {batch} by {source} by {width}");
        if let Some(lengths) = self.lengths {
            assert!(
                lengths.len() == batch && lengths.iter().all(|length| (1..=source).contains(length)),
                "lengths"
            );
        }
    }

    fn workers(&self) -> usize {
        threads_for(self.batch * self.source * (self.hidden + self.width), PARALLEL_POINTWISE_UNITS)
    }

    fn length(&self, row: usize) -> usize {
        self.lengths.map_or(self.source, |lengths| lengths[row])
    }

    /// Compute the attention weights, (batch, source), 0 beyond each length, and write the weighted sum of row r to
    /// `contexts[r * stride..]`.
    ///
    /// # Panics
    /// If a slice does not have its size.
    pub(crate) fn attend(
        &self,
        isa: Isa,
        scores: Scores<'_, E>,
        weights: &mut [E],
        (contexts, stride): (&mut [E], usize),
    ) {
        let Self { batch, source, hidden, width, .. } = *self;
        self.check();
        let expected = match scores {
            Scores::Dot(h) => (h.len(), batch * hidden),
            Scores::Given(scores) => (scores.len(), batch * source),
        };
        assert_eq!(expected.0, expected.1, "scores");
        assert_eq!(weights.len(), batch * source, "weights");
        assert!(stride >= width && contexts.len() == batch * stride, "contexts");
        let (weights, contexts) = (SharedPtr::new(weights), SharedPtr::new(contexts));
        let kernel = Forward { attended: self, scores, weights, contexts, stride };
        // SAFETY: sizes were checked above.
        unsafe { run_kernel(isa, self.workers(), &kernel) };
    }

    /// Compute the gradients of the scores, (batch, source), from the weights and the gradient of the weighted sums, (batch,
    /// width). Add the gradient of the hidden state, (batch, hidden), if the scores are dot products.
    ///
    /// # Panics
    /// If a slice does not have its size.
    pub(crate) fn backward(
        &self,
        isa: Isa,
        (weights, d_contexts): (&[E], &[E]),
        d_scores: &mut [E],
        d_h: Option<&mut [E]>,
    ) {
        let Self { batch, source, hidden, width, .. } = *self;
        self.check();
        assert_eq!((weights.len(), d_scores.len()), (batch * source, batch * source), "weights");
        assert_eq!(d_contexts.len(), batch * width, "gradients of contexts");
        assert!(d_h.as_ref().is_none_or(|d_h| d_h.len() == batch * hidden), "gradients of hidden states");
        let (d_scores, d_h) = (SharedPtr::new(d_scores), d_h.map(SharedPtr::new));
        let kernel = Backward { attended: self, weights, d_contexts, d_scores, d_h };
        // SAFETY: sizes were checked above.
        unsafe { run_kernel(isa, self.workers(), &kernel) };
    }
}

struct Forward<'a, E> {
    attended: &'a Attended<'a, E>,
    scores: Scores<'a, E>,
    weights: SharedPtr<E>,
    contexts: SharedPtr<E>,
    stride: usize,
}

impl<E: Real> Kernel for Forward<'_, E> {
    /// # Safety
    /// All slices must have their sizes.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Attended { keys, values, batch, source, hidden, width, .. } = *self.attended;
        for row in worker.share(batch) {
            let length = self.attended.length(row);
            // SAFETY: the caller's promise; workers write different rows.
            unsafe {
                let weights = self.weights.at(row * source);
                for s in 0..length {
                    *weights.add(s) = match self.scores {
                        Scores::Dot(h) => {
                            let key = keys.as_ptr().add((row * source + s) * hidden);
                            dot(simd, key, h.as_ptr().add(row * hidden), hidden)
                        }
                        Scores::Given(scores) => *scores.as_ptr().add(row * source + s),
                    };
                }
                softmax(simd, weights, length);
                (length..source).for_each(|s| *weights.add(s) = E::zero());
                let context = self.contexts.at(row * self.stride);
                std::slice::from_raw_parts_mut(context, width).fill(E::zero());
                let rows = values.as_ptr().add(row * source * width);
                add_weighted(simd, (weights, length), (rows, width), context);
            }
        }
    }
}

struct Backward<'a, E> {
    attended: &'a Attended<'a, E>,
    weights: &'a [E],
    d_contexts: &'a [E],
    d_scores: SharedPtr<E>,
    d_h: Option<SharedPtr<E>>,
}

impl<E: Real> Kernel for Backward<'_, E> {
    /// # Safety
    /// All slices must have their sizes.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let Attended { keys, values, batch, source, hidden, width, .. } = *self.attended;
        for row in worker.share(batch) {
            let length = self.attended.length(row);
            // SAFETY: the caller's promise; workers write different rows.
            unsafe {
                let weights = self.weights.as_ptr().add(row * source);
                let d_scores = self.d_scores.at(row * source);
                let mut mean = E::zero();
                for s in 0..length {
                    let value = values.as_ptr().add((row * source + s) * width);
                    let d_weight = dot(simd, value, self.d_contexts.as_ptr().add(row * width), width);
                    mean += *weights.add(s) * d_weight;
                    *d_scores.add(s) = d_weight;
                }
                for s in 0..length {
                    *d_scores.add(s) = *weights.add(s) * (*d_scores.add(s) - mean);
                }
                (length..source).for_each(|s| *d_scores.add(s) = E::zero());
                if let Some(d_h) = self.d_h {
                    let rows = keys.as_ptr().add(row * source * hidden);
                    add_weighted(simd, (d_scores, length), (rows, hidden), d_h.at(row * hidden));
                }
            }
        }
    }
}

/// Replace values by their tanh.
pub(crate) fn tanh<E: Real>(isa: Isa, values: &mut [E]) {
    let count = values.len();
    let kernel = Tanh { values: SharedPtr::new(values), count };
    // SAFETY: `values` has `count` elements.
    unsafe { run_kernel(isa, threads_for(count, PARALLEL_POINTWISE_UNITS), &kernel) };
}

struct Tanh<E> {
    values: SharedPtr<E>,
    count: usize,
}

impl<E: Real> Kernel for Tanh<E> {
    /// # Safety
    /// There must be `count` values.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let lanes = E::lanes::<S>();
        for vector in worker.share(self.count.div_ceil(lanes)) {
            let (from, count) = (vector * lanes, lanes.min(self.count - vector * lanes));
            // SAFETY: the caller's promise; workers have different vectors.
            unsafe {
                let to = self.values.at(from);
                Vector::<S, E>::load_first(simd, to, count).tanh().store_first(to, count);
            }
        }
    }
}

/// Compute the dot product of two vectors of `count` elements.
///
/// # Safety
/// `count` elements must be readable at both.
#[inline(always)]
unsafe fn dot<S: Simd, E: Real>(simd: S, a: *const E, b: *const E, count: usize) -> E {
    let lanes = E::lanes::<S>();
    let whole = count - count % (SUMS * lanes);
    let mut sums = [Vector::<S, E>::zero(simd); SUMS];
    let mut stored = [E::zero(); MAX_LANES];
    // SAFETY: the caller's promise; no vector has more than `MAX_LANES` elements.
    unsafe {
        for from in (0..whole).step_by(SUMS * lanes) {
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

/// Add the rows, each of `width` elements, times their weights to `sums`.
///
/// # Safety
/// There must be as many rows as weights, and `width` sums.
#[inline(always)]
unsafe fn add_weighted<S: Simd, E: Real>(
    simd: S,
    (weights, count): (*const E, usize),
    (rows, width): (*const E, usize),
    sums: *mut E,
) {
    let lanes = E::lanes::<S>();
    let whole = width - width % (SUMS * lanes);
    // SAFETY: the caller's promise.
    unsafe {
        for from in (0..whole).step_by(SUMS * lanes) {
            let mut block: [Vector<S, E>; SUMS] = Vector::load_all(simd, sums.add(from));
            for s in 0..count {
                let weight = Vector::splat(simd, *weights.add(s));
                let row = rows.add(s * width + from);
                for (index, sum) in block.iter_mut().enumerate() {
                    *sum = weight.mul_add(Vector::load(simd, row.add(index * lanes)), *sum);
                }
            }
            Vector::store_all(block, sums.add(from));
        }
        for from in (whole..width).step_by(lanes) {
            let rest = lanes.min(width - from);
            let mut sum = Vector::load_first(simd, sums.add(from), rest);
            for s in 0..count {
                let weight = Vector::splat(simd, *weights.add(s));
                sum = weight.mul_add(Vector::load_first(simd, rows.add(s * width + from), rest), sum);
            }
            sum.store_first(sums.add(from), rest);
        }
    }
}

/// Replace `count` scores by their softmax.
///
/// # Safety
/// `count` elements must be writable.
#[inline(always)]
unsafe fn softmax<S: Simd, E: Real>(simd: S, scores: *mut E, count: usize) {
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
