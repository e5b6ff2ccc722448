//! The forward pass of the attention decoder.

use std::borrow::Cow;
use std::ops::Range;

use candle_core::Result;

use super::results::{Results, ResultsShare};
use super::sizes::DecoderSizes;
use super::{Decoder, DecoderOperands};
use crate::kernels::cpu::{self, Float, Operand, Real, run_items};
use crate::ops::fused::extra_operand::ExtraOperand;
use crate::ops::storage::read;

/// The states between two steps of a share, (rows, hidden).
struct States<E> {
    h: Vec<E>,
    /// `None` for a cell without a cell state.
    c: Option<Vec<E>>,
    attentional: Vec<E>,
}

impl<O: Operand<Sum: Real>> Decoder<O> {
    /// Write the attentional states to `ys`, (batch, target, hidden), and return the other results.
    pub(super) fn forward(&self, ys: &mut [O::Sum]) -> Result<Results<O::Sum>> {
        let saved = cpu::saved_per_unit(self.kind) * self.sizes.hidden;
        let mut results = Results::new(&self.sizes, saved, self.operands.c.is_some());
        let shares = results.divide(&self.sizes, ys);
        let done = run_items(shares, |mut share| self.forward_share(&mut share));
        done.into_iter().collect::<Result<()>>()?;
        Ok(results)
    }

    /// Return the initial states of some rows of the batch.
    fn initial(&self, rows: &Range<usize>) -> Result<States<O::Sum>> {
        let DecoderOperands { h, c, attentional, .. } = &self.operands;
        let of_rows = |operand: &ExtraOperand<O::Sum>| operand.rows(rows.clone());
        Ok(States {
            h: of_rows(h)?,
            c: c.as_ref().map(of_rows).transpose()?,
            attentional: of_rows(attentional)?,
        })
    }

    /// Compute all steps of a share.
    fn forward_share(&self, share: &mut ResultsShare<'_, O::Sum>) -> Result<()> {
        let DecoderSizes { target, source, hidden, width, gates, .. } = self.sizes;
        let count = share.rows.len();
        let zeros = |features: usize| vec![O::Sum::ZERO; count * features];
        let gates_of_rows = self.operands.gates.rows(share.rows.clone())?; // (rows, target, gates)
        let fed_of_rows = self.operands.fed.as_ref().map(|fed| fed.rows(share.rows.clone())).transpose()?;
        let limit = cpu::state_limit(self.kind, false);
        let mut states = self.initial(&share.rows)?;
        let mut x = vec![];
        let (mut weights, mut both) = (zeros(source), zeros(width + hidden));
        for t in 0..target {
            self.sizes.steps(hidden).write(t, &states.h, share.h);
            self.sizes.steps(hidden).write(t, &states.attentional, share.attentional);
            states.c.iter().for_each(|c| self.sizes.steps(hidden).write(t, c, share.c));

            self.sizes.steps(gates).read(t, &gates_of_rows, &mut x);
            let fed = self.fed(t, fed_of_rows.as_deref(), &states.attentional);
            self.weights.feed.add_product(&fed, &mut x);
            let product = self.weights.hh.product_within(&states.h, limit);
            let saved = self.cell(&x, &product, &mut states)?;
            self.sizes.steps(saved.len() / count).write(t, &saved, share.saved);

            let queries = self.weights.query.as_ref().map(|query| query.product(&states.h));
            let queries = queries.as_ref().unwrap_or(&states.h);
            self.attend(share.rows.clone(), |attended| {
                let contexts = (&mut both[..], width + hidden);
                self.with_query(queries, |query| attended.attend(self.isa, query, &mut weights, contexts))
            })??;
            for (both, h) in both.chunks_exact_mut(width + hidden).zip(states.h.chunks_exact(hidden)) {
                both[width..].copy_from_slice(h);
            }
            states.attentional = self.weights.combine.product(&both);
            cpu::tanh(self.isa, &mut states.attentional);

            self.sizes.steps(source).write(t, &weights, share.weights);
            self.sizes.steps(width + hidden).write(t, &both, share.context_and_h);
            self.sizes.steps(hidden).write(t, &states.attentional, share.ys);
        }
        share.last_h.copy_from_slice(&states.h);
        states.c.iter().for_each(|c| share.last_c.copy_from_slice(c));
        Ok(())
    }

    /// Return the operand of the feeding weights at step `t`, (rows, fed + hidden): the embeddings, if they are part of
    /// it, and the attentional state.
    fn fed<'a>(&self, t: usize, embedded: Option<&[O::Sum]>, attentional: &'a [O::Sum]) -> Cow<'a, [O::Sum]> {
        let DecoderSizes { fed, hidden, .. } = self.sizes;
        let Some(embedded) = embedded.filter(|_| fed > 0) else { return attentional.into() };
        let mut step = vec![];
        self.sizes.steps(fed).read(t, embedded, &mut step);
        let rows = step.chunks_exact(fed).zip(attentional.chunks_exact(hidden));
        rows.flat_map(|(x, attentional)| [x, attentional].concat()).collect()
    }

    /// Compute a step of the cell: replace `states`, and return the numbers that the backward pass needs.
    fn cell(&self, x: &[O::Sum], product: &[O::Sum], states: &mut States<O::Sum>) -> Result<Vec<O::Sum>> {
        let hidden = self.sizes.hidden;
        let rows = states.h.len() / hidden;
        let bias = self.operands.bias.as_ref().map(ExtraOperand::tensor);
        let cpu::StepOutputs { h, c, saved } = read::<O::Sum, _, 1>([bias], |[bias_elements]| {
            let bias = bias.map(|_| bias_elements);
            let inputs = cpu::StepInputs { x, product, bias, h: &states.h, c: states.c.as_deref() };
            cpu::step(self.isa, self.kind, (rows, hidden), &inputs)
        })?;
        (states.h, states.c) = (h, c);
        Ok(saved)
    }
}
