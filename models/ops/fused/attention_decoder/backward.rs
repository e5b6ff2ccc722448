//! Gradients of the attention decoder.

use candle_core::{Device, Result, Tensor};

use super::tanh_score::TanhGradients;
use super::{AttentionDecoder, Results, Sizes, batch_first};
use crate::kernels::cpu::{self, PackedMatrix, Real};

/// The gradients that the steps leave for the products after the backward pass, each (target, batch, features).
struct StepGradients<E> {
    /// Of the input's part of the gates, (.., gates).
    x: Vec<E>,
    /// Of the recurrent product, (.., gates).
    product: Vec<E>,
    /// Of the scores, (.., source).
    scores: Vec<E>,
    /// Of the weighted sums of the values, (.., width).
    context: Vec<E>,
    /// Of the argument of the attentional state's tanh, (.., hidden).
    combined: Vec<E>,
    /// Of the queries Q h, (.., features), with a `tanh` score.
    query: Vec<E>,
    /// Of the keys and of v, with a `tanh` score.
    tanh: Option<(Tensor, Tensor)>,
}

/// The gradients of the state that a step reads.
struct StateGradients<E> {
    /// (batch, hidden).
    h: Vec<E>,
    /// (batch, hidden), for a cell with a cell state.
    c: Option<Vec<E>>,
    /// (batch, hidden).
    attentional: Vec<E>,
}

/// Compute the sum over rows of outer products, of (rows, n) and (rows, m): (n, m).
fn outer<E: Real>(left: &[E], right: &[E], rows: usize) -> Result<Vec<E>> {
    let matrix = |values: &[E]| Tensor::from_slice(values, (rows, values.len() / rows.max(1)), &Device::Cpu);
    matrix(left)?.t()?.matmul(&matrix(right)?)?.flatten_all()?.to_vec1()
}

/// Compute the sum over steps of outer products within each row of the batch, of (steps, batch, n) and (steps, batch,
/// m): (batch, n, m).
fn batch_outer<E: Real>(left: &[E], right: &[E], (steps, batch): (usize, usize)) -> Result<Vec<E>> {
    let by_row = |values: &[E]| {
        let features = values.len() / (steps * batch).max(1);
        Tensor::from_vec(
            batch_first(values, [steps, batch, features]),
            (batch, steps, features),
            &Device::Cpu,
        )
    };
    by_row(left)?.transpose(1, 2)?.matmul(&by_row(right)?)?.flatten_all()?.to_vec1()
}

/// `x` times the slope of tanh where its value is `y`.
fn through_tanh<E: Real>(x: E, y: E) -> E {
    x * (E::one() - y * y)
}

impl<E: Real> AttentionDecoder<E> {
    /// Compute the gradients of all operands, from `d_ys`, (batch, target, hidden).
    pub(super) fn backward(&self, results: &Results<E>, d_ys: &[E]) -> Result<()> {
        let Sizes { batch, target, source, hidden, width, gates } = self.sizes;
        let operands = &self.operands;
        let (isa, state) = (self.isa, self.sizes.state());
        let (feed, hh) = (operands.feed.packed(isa)?, operands.hh.packed(isa)?);
        let combine = operands.combine.packed(isa)?;
        let tanh = self.tanh_score()?;
        let query = operands.score.as_ref().map(|(query, _)| query.packed(isa)).transpose()?;
        let d_ys = batch_first(d_ys, [batch, target, hidden]); // (target, batch, hidden)
        let zeros = |features: usize| vec![E::zero(); target * batch * features];
        let mut gradients = StepGradients {
            x: zeros(gates),
            product: zeros(gates),
            scores: zeros(source),
            context: zeros(width),
            combined: zeros(hidden),
            query: vec![],
            tanh: None,
        };
        let mut queries = vec![];
        let mut after = StateGradients {
            h: vec![E::zero(); state],
            c: operands.c.as_ref().map(|_| vec![E::zero(); state]),
            attentional: vec![E::zero(); state],
        };
        for t in (0..target).rev() {
            let step = |features: usize| t * batch * features..(t + 1) * batch * features;
            let combined = &mut gradients.combined[step(hidden)];
            let ys = &results.attentional[(t + 1) * state..];
            for (index, combined) in combined.iter_mut().enumerate() {
                *combined = through_tanh(d_ys[t * state + index] + after.attentional[index], ys[index]);
            }
            let context = &mut gradients.context[step(width)];
            let mut d_h = std::mem::take(&mut after.h);
            self.through_combine(&combine, combined, context, &mut d_h);
            let weights = &results.weights[step(source)];
            let scores = &mut gradients.scores[step(source)];
            let through_keys = tanh.is_none().then_some(&mut d_h[..]);
            self.attend(|attended| attended.backward(isa, (weights, context), scores, through_keys))?;
            if let (Some(tanh), Some(query)) = (&tanh, &query) {
                let step = tanh.backward(&results.h[(t + 1) * state..][..state], scores)?;
                query.add_product(&step.query, &mut d_h);
                queries.push(gradients.add_tanh(step)?);
            }

            let of_cell = self.cell_backward(results, t, &d_h, after.c.as_deref())?;
            gradients.x[step(gates)].copy_from_slice(&of_cell.x);
            gradients.product[step(gates)].copy_from_slice(&of_cell.product);
            after = StateGradients { h: of_cell.h, c: of_cell.c, attentional: vec![E::zero(); state] };
            hh.add_product(&of_cell.product, &mut after.h);
            feed.add_product(&of_cell.x, &mut after.attentional);
        }
        gradients.query = queries.into_iter().rev().flatten().collect();
        operands.h.put_gradient(after.h);
        if let (Some(c), Some(d_c)) = (&operands.c, after.c) {
            c.put_gradient(d_c);
        }
        operands.attentional.put_gradient(after.attentional);
        self.put_products(results, gradients)
    }

    /// Compute the gradient of the weighted sums of the values, and add that of the hidden state, from that of the argument
    /// of the attentional state's tanh.
    fn through_combine(&self, combine: &PackedMatrix<E>, combined: &[E], context: &mut [E], d_h: &mut [E]) {
        let Sizes { batch, hidden, width, .. } = self.sizes;
        let mut both = vec![E::zero(); batch * (width + hidden)];
        combine.add_product(combined, &mut both);
        for (row, both) in both.chunks_exact(width + hidden).enumerate() {
            context[row * width..][..width].copy_from_slice(&both[..width]);
            let d_h = &mut d_h[row * hidden..][..hidden];
            d_h.iter_mut().zip(&both[width..]).for_each(|(d_h, &more)| *d_h += more);
        }
    }

    /// Compute the gradients of the inputs of step `t` of the cell, from those of its results.
    fn cell_backward(
        &self,
        results: &Results<E>,
        t: usize,
        d_h: &[E],
        d_c: Option<&[E]>,
    ) -> Result<cpu::StepGradients<E>> {
        let Sizes { batch, hidden, .. } = self.sizes;
        let state = self.sizes.state();
        let before = |states: &'_ [E]| -> Vec<E> { states[t * state..][..state].to_vec() };
        let h = before(&results.h);
        let c = (!results.c.is_empty()).then(|| before(&results.c));
        let saved = &results.saved[t];
        Ok(cpu::step_backward(self.isa, self.kind, (batch, hidden), saved, (&h, c.as_deref()), (d_h, d_c)))
    }

    /// Compute the gradients that are products over all steps.
    fn put_products(&self, results: &Results<E>, gradients: StepGradients<E>) -> Result<()> {
        let Sizes { batch, target, gates, .. } = self.sizes;
        let (rows, steps, state) = (target * batch, (target, batch), self.sizes.state());
        let StepGradients { x, product, scores, context, combined, query, tanh } = gradients;
        let operands = &self.operands;
        let before = |states: &'_ [E]| -> Vec<E> { states[..target * state].to_vec() };

        operands.feed.put_gradient(outer(&x, &before(&results.attentional), rows)?);
        operands.hh.put_gradient(outer(&product, &before(&results.h), rows)?);
        if let Some(bias) = &operands.bias {
            let mut sums = vec![E::zero(); gates];
            for row in product.chunks_exact(gates) {
                sums.iter_mut().zip(row).for_each(|(sum, &more)| *sum += more);
            }
            bias.put_gradient(sums);
        }
        operands.gates.put_gradient(batch_first(&x, [target, batch, gates]));
        operands.combine.put_gradient(outer(&combined, &results.context_and_h, rows)?);
        operands.values.put_gradient(batch_outer(&results.weights, &context, steps)?);
        let h = &results.h[state..];
        match (&operands.score, tanh) {
            (Some((of_query, v)), Some((d_keys, d_v))) => {
                of_query.put_gradient(outer(&query, h, rows)?);
                v.put_gradient(d_v.to_vec1()?);
                operands.keys.put_gradient(d_keys.flatten_all()?.to_vec1()?);
            }
            _ => operands.keys.put_gradient(batch_outer(&scores, h, steps)?),
        }
        Ok(())
    }
}

impl<E: Real> StepGradients<E> {
    /// Add the gradients of a `tanh` score of one step. Return that of the query.
    fn add_tanh(&mut self, step: TanhGradients<E>) -> Result<Vec<E>> {
        let TanhGradients { keys, query, v } = step;
        self.tanh = Some(match self.tanh.take() {
            Some((all_keys, all_v)) => ((all_keys + keys)?, (all_v + v)?),
            None => (keys, v),
        });
        Ok(query)
    }
}
