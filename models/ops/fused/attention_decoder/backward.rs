//! Gradients of the attention decoder.

use candle_core::{Device, Result, Tensor, bail};

use super::{
    AttentionDecoder, Operands, Results, Sizes, Step, StepGradient, batch_outer, outer, times_vectors,
    weighted_sum,
};
use crate::kernels::cpu::{self, Real};
use crate::ops::fused::extra_operand::ExtraOperand;
use crate::ops::storage::read;

impl<E: Real> AttentionDecoder<E> {
    /// Compute the gradients of all operands, from `d_ys`, (batch, target, hidden).
    pub(super) fn backward(&self, results: &Results, d_ys: &Tensor) -> Result<()> {
        let Operands { feed, hh, keys, values, combine, .. } = &self.operands;
        let (feed, hh, combine) = (feed.detached(), hh.detached(), combine.detached());
        let (keys, values) = (keys.detached(), values.detached());
        let width = values.dim(2)?;
        let zeros = self.operands.h.detached().zeros_like()?;
        let mut d_h = zeros.clone();
        let mut d_c = self.operands.c.is_some().then(|| zeros.clone());
        let mut d_attentional = zeros;
        let mut d_tanh: Option<(Tensor, Tensor)> = None; // of keys and v
        let mut gradients = Vec::with_capacity(results.steps.len());
        for (t, step) in results.steps.iter().enumerate().rev() {
            let d_output = (d_ys.narrow(1, t, 1)?.squeeze(1)? + &d_attentional)?;
            let combined = (d_output * (1. - step.attentional.sqr()?)?)?;
            let d_context_and_h = combined.matmul(&combine)?;
            let context = d_context_and_h.narrow(1, 0, width)?.contiguous()?;
            let mut d_new_h = (d_context_and_h.narrow(1, width, self.sizes.hidden)? + &d_h)?;

            // Softmax and scores.
            let d_weights = times_vectors(&values, &context)?; // (batch, source)
            let mean = (&d_weights * &step.weights)?.sum_keepdim(1)?;
            let scores = (&step.weights * d_weights.broadcast_sub(&mean)?)?;
            let query = match self.tanh(&keys, &step.h)? {
                None => {
                    d_new_h = (d_new_h + weighted_sum(&scores, &keys)?)?;
                    None
                }
                Some(tanh) => {
                    let (d_keys, d_query, d_v) = tanh.backward(&scores)?;
                    d_tanh = Some(match d_tanh {
                        Some((keys, v)) => ((keys + d_keys)?, (v + d_v)?),
                        None => (d_keys, d_v),
                    });
                    d_new_h = (d_new_h + d_query.matmul(&self.query_weight()?)?)?;
                    Some(d_query)
                }
            };

            let (x, product, h, c) = self.cell_backward(results, t, &d_new_h, d_c.as_ref())?;
            d_h = (h + product.matmul(&hh)?)?;
            d_c = c;
            d_attentional = x.matmul(&feed)?;
            gradients.push(StepGradient { x, product, scores, context, combined, query });
        }
        gradients.reverse();
        self.operands.h.put(&d_h)?;
        if let (Some(c), Some(d_c)) = (&self.operands.c, &d_c) {
            c.put(d_c)?;
        }
        self.operands.attentional.put(&d_attentional)?;
        self.put_products(&results.steps, &gradients, d_tanh)
    }

    /// Return Q of a `tanh` score.
    fn query_weight(&self) -> Result<Tensor> {
        match &self.operands.score {
            Some((query, _)) => Ok(query.detached()),
            None => bail!("a dot product has no query weights"),
        }
    }

    /// Compute the gradients of the gates, the recurrent product, the old hidden state apart from the product, and the old cell
    /// state.
    fn cell_backward(
        &self,
        results: &Results,
        t: usize,
        d_h: &Tensor,
        d_c: Option<&Tensor>,
    ) -> Result<(Tensor, Tensor, Tensor, Option<Tensor>)> {
        let Sizes { batch, hidden, .. } = self.sizes;
        let (h, c) = match t.checked_sub(1).map(|before| &results.steps[before]) {
            Some(before) => (before.h.clone(), before.c.clone()),
            None => (self.operands.h.detached(), self.operands.c.as_ref().map(ExtraOperand::detached)),
        };
        let d_h = d_h.contiguous()?;
        let tensors = [Some(&results.steps[t].saved), Some(&h), c.as_ref(), Some(&d_h), d_c];
        let gradients = read::<E, _, 5>(tensors, |[saved, h, old_c, d_h, new_d_c]| {
            let (c, d_c) = (c.is_some().then_some(old_c), d_c.is_some().then_some(new_d_c));
            cpu::step_backward(self.isa, self.kind, (batch, hidden), saved, (h, c), (d_h, d_c))
        })?;
        let tensor = |values: Vec<E>| {
            let columns = values.len() / batch.max(1);
            Tensor::from_vec(values, (batch, columns), &Device::Cpu)
        };
        let cpu::StepGradients { x, product, h, c } = gradients;
        Ok((tensor(x)?, tensor(product)?, tensor(h)?, c.map(tensor).transpose()?))
    }

    /// Compute the gradients that are products over all steps.
    fn put_products(
        &self,
        steps: &[Step],
        gradients: &[StepGradient],
        d_tanh: Option<(Tensor, Tensor)>,
    ) -> Result<()> {
        let of_steps = |part: fn(&Step) -> &Tensor| steps.iter().map(part).collect::<Vec<_>>();
        let of_gradients =
            |part: fn(&StepGradient) -> &Tensor| gradients.iter().map(part).collect::<Vec<_>>();
        let before = |initial: &'_ Tensor, part: fn(&Step) -> &Tensor| -> Vec<Tensor> {
            let others = steps[..steps.len() - 1].iter().map(|step| part(step).clone());
            std::iter::once(initial.clone()).chain(others).collect()
        };
        let operands = &self.operands;
        let old_h = before(&operands.h.detached(), |step| &step.h);
        let old_attentional = before(&operands.attentional.detached(), |step| &step.attentional);
        let (x, product) = (of_gradients(|step| &step.x), of_gradients(|step| &step.product));

        operands.gates.put(&Tensor::stack(&x, 1)?)?;
        operands.feed.put(&outer(&x, &old_attentional.iter().collect::<Vec<_>>())?)?;
        operands.hh.put(&outer(&product, &old_h.iter().collect::<Vec<_>>())?)?;
        if let Some(bias) = &operands.bias {
            bias.put(&Tensor::cat(&product, 0)?.sum(0)?)?;
        }
        let combined = of_gradients(|step| &step.combined);
        operands.combine.put(&outer(&combined, &of_steps(|step| &step.context_and_h))?)?;
        let contexts = of_gradients(|step| &step.context);
        operands.values.put(&batch_outer(&of_steps(|step| &step.weights), &contexts)?)?;
        match (&operands.score, d_tanh) {
            (Some((query, v)), Some((d_keys, d_v))) => {
                let queries: Vec<&Tensor> = gradients.iter().filter_map(|step| step.query.as_ref()).collect();
                query.put(&outer(&queries, &of_steps(|step| &step.h))?)?;
                v.put(&d_v)?;
                operands.keys.put(&d_keys)
            }
            _ => operands
                .keys
                .put(&batch_outer(&of_gradients(|step| &step.scores), &of_steps(|step| &step.h))?),
        }
    }
}
