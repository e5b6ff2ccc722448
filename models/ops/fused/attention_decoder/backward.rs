//! Gradients of the attention decoder.

use std::ops::Range;

use candle_core::Result;

use super::Decoder;
use super::packed::packed;
use super::results::Results;
use super::sizes::DecoderSizes;
use super::steps::{RowParts, rows_of};
use crate::kernels::cpu::{
    self, AttentionGradients, Float, GradientOperand, PackedMatrix, Real, add_outer_products_of_rows,
    outer_products, run_items,
};

/// The weights of the backward pass, for products with their columns.
struct BackwardWeights<O> {
    feed: PackedMatrix<O>,
    hh: PackedMatrix<O>,
    combine: PackedMatrix<O>,
    /// Q of a `tanh` score.
    query: Option<PackedMatrix<O>>,
}

/// The gradients of all operands, each in the order of the rows of the batch.
struct DecoderGradients<E> {
    /// Of the input's part of the gates, (batch, target, gates).
    x: Vec<E>,
    /// Of the recurrent product, (batch, target, gates).
    product: Vec<E>,
    /// Of the argument of the attentional state's tanh, (batch, target, hidden).
    combined: Vec<E>,
    /// Of the queries Q h, (batch, target, features); empty without a `tanh` score.
    queries: Vec<E>,
    /// Of v, (batch, features); empty without a `tanh` score.
    v: Vec<E>,
    /// (batch, source, features).
    keys: Vec<E>,
    /// (batch, source, width).
    values: Vec<E>,
    /// Of the initial states, (batch, hidden).
    h: Vec<E>,
    /// Empty for a cell without a cell state.
    c: Vec<E>,
    attentional: Vec<E>,
}

/// A worker's share of the gradients.
struct GradientsShare<'a, E> {
    rows: Range<usize>,
    x: &'a mut [E],
    product: &'a mut [E],
    combined: &'a mut [E],
    queries: &'a mut [E],
    v: &'a mut [E],
    keys: &'a mut [E],
    values: &'a mut [E],
    h: &'a mut [E],
    c: &'a mut [E],
    attentional: &'a mut [E],
}

/// The results of the forward pass, the attentional states after each step and their gradients, (batch, target,
/// hidden).
struct ForwardResults<'a, E> {
    results: &'a Results<E>,
    ys: &'a [E],
    d_ys: &'a [E],
}

/// The gradients of the states between two steps of a share, (rows, hidden).
struct StateGradients<E> {
    h: Vec<E>,
    /// `None` for a cell without a cell state.
    c: Option<Vec<E>>,
    attentional: Vec<E>,
}

/// The backward pass of one share.
struct BackwardSteps<'a, O: GradientOperand<Sum: Real>> {
    decoder: &'a Decoder<O>,
    weights: &'a BackwardWeights<O>,
    saved: &'a ForwardResults<'a, O::Sum>,
    share: GradientsShare<'a, O::Sum>,
    /// The gradients of the states after the current step, from later steps.
    after: StateGradients<O::Sum>,
    /// Gradients of the weighted sums, (rows, target, width).
    contexts: Vec<O::Sum>,
    /// Gradients of the scores, (rows, target, source).
    scores: Vec<O::Sum>,
}

impl<E: Real> DecoderGradients<E> {
    fn new(sizes: &DecoderSizes, has_c: bool, has_query: bool) -> Self {
        let DecoderSizes { batch, target, source, hidden, features, width, gates, .. } = *sizes;
        let zeros = |len: usize| vec![E::zero(); batch * len];
        let features_of_queries = if has_query { features } else { 0 };
        Self {
            x: zeros(target * gates),
            product: zeros(target * gates),
            combined: zeros(target * hidden),
            queries: zeros(target * features_of_queries),
            v: zeros(features_of_queries),
            keys: zeros(source * features),
            values: zeros(source * width),
            h: zeros(hidden),
            c: zeros(if has_c { hidden } else { 0 }),
            attentional: zeros(hidden),
        }
    }

    /// Divide the gradients among workers.
    fn divide(&mut self, sizes: &DecoderSizes) -> Vec<GradientsShare<'_, E>> {
        let shares = sizes.shares();
        let rows = shares.first().map_or(0, Range::len);
        let Self { x, product, combined, queries, v, keys, values, h, c, attentional } = self;
        let mut parts = [x, product, combined, queries, v, keys, values, h, c, attentional]
            .map(|elements| RowParts::new(elements, sizes.batch, rows));
        let share = |rows| {
            let [x, product, combined, queries, v, keys, values, h, c, attentional] =
                parts.each_mut().map(RowParts::take);
            GradientsShare { rows, x, product, combined, queries, v, keys, values, h, c, attentional }
        };
        shares.into_iter().map(share).collect()
    }
}

impl<O: GradientOperand<Sum: Real>> Decoder<O> {
    /// Compute the gradients of all operands, from the results, the attentional states `ys` after each step and their
    /// gradients `d_ys`, (batch, target, hidden).
    pub(super) fn backward(&self, results: &Results<O::Sum>, ys: &[O::Sum], d_ys: &[O::Sum]) -> Result<()> {
        let operands = &self.operands;
        let query = operands.score.as_ref();
        let weights = BackwardWeights::<O> {
            feed: packed(self.isa, operands.feed.tensor())?,
            hh: packed(self.isa, operands.hh.tensor())?,
            combine: packed(self.isa, operands.combine.tensor())?,
            query: query.map(|(query, _)| packed(self.isa, query.tensor())).transpose()?,
        };
        let mut gradients = DecoderGradients::new(&self.sizes, operands.c.is_some(), query.is_some());
        let saved = ForwardResults { results, ys, d_ys };
        let done =
            run_items(gradients.divide(&self.sizes), |share| self.backward_share(&weights, &saved, share));
        done.into_iter().collect::<Result<()>>()?;
        self.put_gradients(results, gradients);
        Ok(())
    }

    /// Compute all steps of a share, from the last to the first.
    fn backward_share(
        &self,
        weights: &BackwardWeights<O>,
        saved: &ForwardResults<'_, O::Sum>,
        share: GradientsShare<'_, O::Sum>,
    ) -> Result<()> {
        let DecoderSizes { target, source, hidden, width, .. } = self.sizes;
        let zeros = |features: usize| vec![O::Sum::ZERO; share.rows.len() * features];
        let after = StateGradients {
            h: zeros(hidden),
            c: self.operands.c.as_ref().map(|_| zeros(hidden)),
            attentional: zeros(hidden),
        };
        let (contexts, scores) = (zeros(target * width), zeros(target * source));
        let mut steps = BackwardSteps { decoder: self, weights, saved, share, after, contexts, scores };
        for t in (0..target).rev() {
            steps.through_combine(t);
            steps.through_attention(t)?;
            steps.through_cell(t);
        }
        steps.finish();
        Ok(())
    }

    /// Hand the gradients to the operands, after the products over all steps.
    fn put_gradients(&self, results: &Results<O::Sum>, gradients: DecoderGradients<O::Sum>) {
        let DecoderSizes { hidden, features, width, gates, .. } = self.sizes;
        let DecoderGradients { x, product, combined, queries, v, keys, values, h, c, attentional } =
            gradients;
        let operands = &self.operands;
        let outer =
            |left: &[O::Sum], n, right: &[O::Sum], m| outer_products::<O>(self.isa, (left, n), (right, m));
        operands.feed.put_gradient(outer(&x, gates, &results.attentional, hidden));
        operands.hh.put_gradient(outer(&product, gates, &results.h, hidden));
        operands.combine.put_gradient(outer(&combined, hidden, &results.context_and_h, width + hidden));
        if let Some(bias) = &operands.bias {
            bias.put_gradient(column_sums(&product, gates));
        }
        if let Some((query, of_v)) = &operands.score {
            let rows = results.context_and_h.chunks_exact(width + hidden);
            let h: Vec<_> = rows.flat_map(|row| &row[width..]).copied().collect();
            query.put_gradient(outer(&queries, features, &h, hidden));
            of_v.put_gradient(column_sums(&v, features));
        }
        operands.gates.put_gradient(x);
        operands.keys.put_gradient(keys);
        operands.values.put_gradient(values);
        operands.h.put_gradient(h);
        operands.c.iter().for_each(|operand| operand.put_gradient(c.clone()));
        operands.attentional.put_gradient(attentional);
    }
}

/// Compute the sums of the columns of (rows, columns).
fn column_sums<E: Real>(elements: &[E], columns: usize) -> Vec<E> {
    let mut sums = vec![E::zero(); columns];
    for row in elements.chunks_exact(columns) {
        sums.iter_mut().zip(row).for_each(|(sum, &x)| *sum += x);
    }
    sums
}

impl<O: GradientOperand<Sum: Real>> BackwardSteps<'_, O> {
    /// Return step `t` of an array (batch, target, features) for the rows of the share, (rows, features).
    fn step(&self, t: usize, elements: &[O::Sum]) -> Vec<O::Sum> {
        let DecoderSizes { batch, target, .. } = self.decoder.sizes;
        let mut step = vec![];
        let layout = self.decoder.sizes.steps(elements.len() / (batch * target));
        layout.read(t, rows_of(elements, batch, &self.share.rows), &mut step);
        step
    }

    /// Compute the gradients of the weighted sums of the values of step `t`, and add that of the hidden state to
    /// `after`.
    fn through_combine(&mut self, t: usize) {
        let DecoderSizes { hidden, width, .. } = self.decoder.sizes;
        let (ys, mut combined) = (self.step(t, self.saved.ys), self.step(t, self.saved.d_ys));
        for ((combined, &after), &y) in combined.iter_mut().zip(&self.after.attentional).zip(&ys) {
            *combined = (*combined + after) * (O::Sum::ONE - y * y);
        }
        self.decoder.sizes.steps(hidden).write(t, &combined, self.share.combined);
        let mut both = vec![O::Sum::ZERO; self.share.rows.len() * (width + hidden)];
        self.weights.combine.add_product(&combined, &mut both);
        let context: Vec<_> =
            both.chunks_exact(width + hidden).flat_map(|row| &row[..width]).copied().collect();
        self.decoder.sizes.steps(width).write(t, &context, &mut self.contexts);
        for (d_h, both) in self.after.h.chunks_exact_mut(hidden).zip(both.chunks_exact(width + hidden)) {
            d_h.iter_mut().zip(&both[width..]).for_each(|(d_h, &more)| *d_h += more);
        }
    }

    /// Compute the gradients of the scores of step `t`, and add those of their operands.
    fn through_attention(&mut self, t: usize) -> Result<()> {
        let DecoderSizes { source, hidden, features, width, .. } = self.decoder.sizes;
        let (decoder, rows) = (self.decoder, self.share.rows.clone());
        let weights = self.step(t, &self.saved.results.weights);
        let h: Vec<_> = self.step(t, &self.saved.results.context_and_h);
        let h: Vec<_> = h.chunks_exact(width + hidden).flat_map(|row| &row[width..]).copied().collect();
        let mut context = vec![];
        decoder.sizes.steps(width).read(t, &self.contexts, &mut context);
        let mut scores = vec![O::Sum::ZERO; weights.len()];
        let mut d_queries = vec![];
        let queries = decoder.weights.query.as_ref().map(|query| {
            d_queries = vec![O::Sum::ZERO; rows.len() * features];
            query.product(&h)
        });
        let gradients = match queries {
            Some(_) => AttentionGradients {
                scores: &mut scores,
                queries: &mut d_queries,
                keys_and_v: Some((&mut *self.share.keys, &mut *self.share.v)),
            },
            None => AttentionGradients { scores: &mut scores, queries: &mut self.after.h, keys_and_v: None },
        };
        decoder.attend(rows, |attended| {
            decoder.with_query(queries.as_ref().unwrap_or(&h), |query| {
                attended.backward(decoder.isa, query, (&weights, &context), gradients);
            })
        })??;
        decoder.sizes.steps(source).write(t, &scores, &mut self.scores);
        if let Some(query) = &self.weights.query {
            query.add_product(&d_queries, &mut self.after.h);
            decoder.sizes.steps(features).write(t, &d_queries, self.share.queries);
        }
        Ok(())
    }

    /// Compute the gradients of the gates of step `t` and of the states before it.
    fn through_cell(&mut self, t: usize) {
        let DecoderSizes { hidden, gates, .. } = self.decoder.sizes;
        let results = self.saved.results;
        let (saved, h) = (self.step(t, &results.saved), self.step(t, &results.h));
        let c = self.after.c.as_ref().map(|_| self.step(t, &results.c));
        let of_cell = cpu::step_backward(
            self.decoder.isa,
            self.decoder.kind,
            (self.share.rows.len(), hidden),
            &saved,
            (&h, c.as_deref()),
            (&self.after.h, self.after.c.as_deref()),
        );
        self.decoder.sizes.steps(gates).write(t, &of_cell.x, self.share.x);
        self.decoder.sizes.steps(gates).write(t, &of_cell.product, self.share.product);
        (self.after.h, self.after.c) = (of_cell.h, of_cell.c);
        self.weights.hh.add_product(&of_cell.product, &mut self.after.h);
        self.after.attentional.fill(O::Sum::ZERO);
        self.weights.feed.add_product(&of_cell.x, &mut self.after.attentional);
    }

    /// Write the gradients of the initial states, and those that sum over all steps of a row.
    fn finish(self) {
        let DecoderSizes { batch, target, source, hidden, width, .. } = self.decoder.sizes;
        let Self { decoder, saved, share, after, contexts, scores, .. } = self;
        share.h.copy_from_slice(&after.h);
        after.c.iter().for_each(|c| share.c.copy_from_slice(c));
        share.attentional.copy_from_slice(&after.attentional);
        let weights = rows_of(&saved.results.weights, batch, &share.rows);
        let contexts = (&contexts[..], width, width);
        add_outer_products_of_rows(decoder.isa, target, (weights, source), contexts, share.values);
        if decoder.weights.query.is_none() {
            let h = &rows_of(&saved.results.context_and_h, batch, &share.rows)[width..];
            let h = (h, hidden, width + hidden);
            add_outer_products_of_rows(decoder.isa, target, (&scores, source), h, share.keys);
        }
    }
}
