//! One step of attention over the outputs of an encoder, for each row of a batch.
//!
//! ```text
//! e_s = query . key_s                  or v . tanh(query + key_s)
//! w = softmax of e over the steps s of the row's source
//! context = sum over s of w_s value_s
//! ```

use pulp::Simd;

use super::memory::SharedPtr;
use super::product::add_weighted;
use super::real::Real;
use super::simd::Isa;
use super::tuning::PARALLEL_POINTWISE_UNITS;
use super::workers::{Kernel, Worker, run_kernel, threads_for};
use rows::{dot, softmax, tanh_score, tanh_score_backward};

mod rows;

/// The encoder's outputs and keys that a decoder attends to.
#[derive(Clone, Copy)]
pub(crate) struct AttentionSource<'a, E> {
    /// (batch, source, features).
    pub(crate) keys: &'a [E],
    /// (batch, source, width).
    pub(crate) values: &'a [E],
    /// Steps of each source, at least 1; all of them if `None`.
    pub(crate) lengths: Option<&'a [usize]>,
    pub(crate) batch: usize,
    pub(crate) source: usize,
    pub(crate) features: usize,
    pub(crate) width: usize,
}

/// The operands of the scores of a step, besides the keys.
#[derive(Clone, Copy)]
pub(crate) struct Query<'a, E> {
    /// (batch, features).
    pub(crate) rows: &'a [E],
    /// v, (features), of the score v . tanh(query + key). Without it the score is the dot product of query and key.
    pub(crate) v: Option<&'a [E]>,
}

/// The gradients that a step of attention computes.
pub(crate) struct AttentionGradients<'a, E> {
    /// Of the scores, (batch, source).
    pub(crate) scores: &'a mut [E],
    /// Of the queries, (batch, features), to which the step adds.
    pub(crate) queries: &'a mut [E],
    /// Of the keys, (batch, source, features), and of v for each row of the batch, (batch, features), to which the step
    /// adds; with v.
    pub(crate) keys_and_v: Option<(&'a mut [E], &'a mut [E])>,
}

impl<E: Real> AttentionSource<'_, E> {
    fn check(&self, query: Query<'_, E>) {
        let Self { batch, source, features, width, .. } = *self;
        assert_eq!(self.keys.len(), batch * source * features, "keys of {batch} by {source} by {features}");
        assert_eq!(self.values.len(), batch * source * width, "values of {batch} by {source} by {width}");
        assert_eq!(query.rows.len(), batch * features, "queries");
        assert!(query.v.is_none_or(|v| v.len() == features), "v");
        if let Some(lengths) = self.lengths {
            assert!(
                lengths.len() == batch && lengths.iter().all(|length| (1..=source).contains(length)),
                "lengths"
            );
        }
    }

    fn workers(&self) -> usize {
        threads_for(self.batch * self.source * (self.features + self.width), PARALLEL_POINTWISE_UNITS)
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
        query: Query<'_, E>,
        weights: &mut [E],
        (contexts, stride): (&mut [E], usize),
    ) {
        let Self { batch, source, width, .. } = *self;
        self.check(query);
        assert_eq!(weights.len(), batch * source, "weights");
        assert!(stride >= width && contexts.len() == batch * stride, "contexts");
        let (weights, contexts) = (SharedPtr::new(weights), SharedPtr::new(contexts));
        let kernel = Forward { attended: self, query, weights, contexts, stride };
        // SAFETY: sizes were checked above.
        unsafe { run_kernel(isa, self.workers(), &kernel) };
    }

    /// Compute the gradients from the weights and the gradient of the weighted sums, (batch, width).
    ///
    /// # Panics
    /// If a slice does not have its size, or only one of the query and the gradients has v.
    pub(crate) fn backward(
        &self,
        isa: Isa,
        query: Query<'_, E>,
        (weights, d_contexts): (&[E], &[E]),
        gradients: AttentionGradients<'_, E>,
    ) {
        let Self { batch, source, features, width, .. } = *self;
        let AttentionGradients { scores, queries, keys_and_v } = gradients;
        self.check(query);
        assert_eq!((weights.len(), scores.len()), (batch * source, batch * source), "weights");
        assert_eq!(d_contexts.len(), batch * width, "gradients of contexts");
        assert_eq!(queries.len(), batch * features, "gradients of queries");
        assert_eq!(keys_and_v.is_some(), query.v.is_some(), "gradients of v");
        if let Some((keys, v)) = &keys_and_v {
            assert_eq!((keys.len(), v.len()), (self.keys.len(), queries.len()), "gradients of keys and v");
        }
        let kernel = Backward {
            attended: self,
            query,
            weights,
            d_contexts,
            scores: SharedPtr::new(scores),
            queries: SharedPtr::new(queries),
            keys_and_v: keys_and_v.map(|(keys, v)| (SharedPtr::new(keys), SharedPtr::new(v))),
        };
        // SAFETY: sizes were checked above.
        unsafe { run_kernel(isa, self.workers(), &kernel) };
    }
}

struct Forward<'a, E> {
    attended: &'a AttentionSource<'a, E>,
    query: Query<'a, E>,
    weights: SharedPtr<E>,
    contexts: SharedPtr<E>,
    stride: usize,
}

impl<E: Real> Kernel for Forward<'_, E> {
    /// # Safety
    /// All slices must have their sizes.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let AttentionSource { keys, values, batch, source, features, width, .. } = *self.attended;
        for row in worker.share(batch) {
            let length = self.attended.length(row);
            // SAFETY: the caller's promise; workers write different rows.
            unsafe {
                let weights = self.weights.at(row * source);
                let query = self.query.rows.as_ptr().add(row * features);
                for s in 0..length {
                    let key = keys.as_ptr().add((row * source + s) * features);
                    *weights.add(s) = match self.query.v {
                        Some(v) => tanh_score(simd, [query, key, v.as_ptr()], features),
                        None => dot(simd, key, query, features),
                    };
                }
                softmax(simd, weights, length);
                (length..source).for_each(|s| *weights.add(s) = E::zero());
                let context = self.contexts.at(row * self.stride);
                std::slice::from_raw_parts_mut(context, width).fill(E::zero());
                let values = values.as_ptr().add(row * source * width);
                add_weighted(simd, length, (weights, 1), (values, width), (context, width));
            }
        }
    }
}

struct Backward<'a, E> {
    attended: &'a AttentionSource<'a, E>,
    query: Query<'a, E>,
    weights: &'a [E],
    d_contexts: &'a [E],
    scores: SharedPtr<E>,
    queries: SharedPtr<E>,
    keys_and_v: Option<(SharedPtr<E>, SharedPtr<E>)>,
}

impl<E: Real> Kernel for Backward<'_, E> {
    /// # Safety
    /// All slices must have their sizes.
    #[inline(always)]
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>) {
        let AttentionSource { values, batch, source, width, .. } = *self.attended;
        for row in worker.share(batch) {
            let length = self.attended.length(row);
            // SAFETY: the caller's promise; workers write different rows.
            unsafe {
                let weights = self.weights.as_ptr().add(row * source);
                let scores = self.scores.at(row * source);
                let mut mean = E::zero();
                for s in 0..length {
                    let value = values.as_ptr().add((row * source + s) * width);
                    let d_weight = dot(simd, value, self.d_contexts.as_ptr().add(row * width), width);
                    mean += *weights.add(s) * d_weight;
                    *scores.add(s) = d_weight;
                }
                for s in 0..length {
                    *scores.add(s) = *weights.add(s) * (*scores.add(s) - mean);
                }
                (length..source).for_each(|s| *scores.add(s) = E::zero());
                self.through_scores(simd, row, length, scores);
            }
        }
    }
}

impl<E: Real> Backward<'_, E> {
    /// Add the gradients of the operands of the scores of one row.
    ///
    /// # Safety
    /// All slices must have their sizes, and the row `length` gradients of scores.
    #[inline(always)]
    unsafe fn through_scores<S: Simd>(&self, simd: S, row: usize, length: usize, scores: *const E) {
        let AttentionSource { keys, source, features, .. } = *self.attended;
        // SAFETY: the caller's promise; workers write different rows.
        unsafe {
            let keys = keys.as_ptr().add(row * source * features);
            let d_query = self.queries.at(row * features);
            let (Some(v), Some((d_keys, d_v))) = (self.query.v, self.keys_and_v) else {
                return add_weighted(simd, length, (scores, 1), (keys, features), (d_query, features));
            };
            let query = self.query.rows.as_ptr().add(row * features);
            let (d_keys, d_v) = (d_keys.at(row * source * features), d_v.at(row * features));
            for s in 0..length {
                let operands = [query, keys.add(s * features), v.as_ptr()];
                let gradients = [d_query, d_keys.add(s * features), d_v];
                tanh_score_backward(simd, operands, *scores.add(s), gradients, features);
            }
        }
    }
}
