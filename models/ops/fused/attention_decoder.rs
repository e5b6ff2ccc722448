//! A recurrent decoder with attention and input feeding (Luong et al. 2015) as one node of candle's graph.
//!
//! ```text
//! x_t = gates_t + feed a_{t-1}                        the input's part of the gates
//! h_t = cell(x_t, h_{t-1})
//! e_ts = score(h_t, key_s)                            h_t . key_s, or v . tanh(Q h_t + key_s)
//! w_t = softmax over the steps s of the source of e_t
//! a_t = tanh(C [sum over s of w_ts value_s; h_t])     the attentional state, which is the output
//! ```
//!
//! Input feeding makes every step depend on the attention of the step before, so the steps cannot be batched. Their
//! weight gradients can: they are products over all steps at once, after the backward pass. Nothing of the size
//! (batch, target, source, features) exists; with `tanh` scores (batch, source, features) does, one step at a time.

use std::marker::PhantomData;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, D, Device, Layout, Result, Shape, Tensor, bail};
use candle_nn::ops::softmax;

use super::extra_operand::ExtraOperand;
use crate::kernels::CellKind;
use crate::kernels::cpu::{self, Isa, Operand, Real};
use crate::ops::backend::{Operation, dispatch};
use crate::ops::storage::read;

mod backward;

/// The tensors that a decoder reads.
#[derive(Clone, Copy)]
pub(crate) struct DecoderInputs<'a> {
    /// The part of the gates from the target's embeddings, with the biases that can be added beforehand, (batch,
    /// target, gates * hidden).
    pub gates: &'a Tensor,
    /// The weights of the previous attentional state, (gates * hidden, hidden).
    pub feed: &'a Tensor,
    /// The recurrent weights, (gates * hidden, hidden).
    pub hh: &'a Tensor,
    /// The recurrent bias, (gates * hidden), unless it is part of `gates`.
    pub bias: Option<&'a Tensor>,
    /// (batch, source, hidden), or (batch, source, features) with `score`.
    pub keys: &'a Tensor,
    /// (batch, source, width).
    pub values: &'a Tensor,
    /// The weights Q (features, hidden) and v (features) of a `tanh` score; `None` for a dot product.
    pub score: Option<(&'a Tensor, &'a Tensor)>,
    /// The weights C of the attentional state, (hidden, width + hidden).
    pub combine: &'a Tensor,
    /// The initial hidden state, (batch, hidden).
    pub h: &'a Tensor,
    /// The initial cell state, (batch, hidden), if the cell has one.
    pub c: Option<&'a Tensor>,
    /// The initial attentional state, (batch, hidden).
    pub attentional: &'a Tensor,
    /// Steps of each source, at least 1; all of them if `None`.
    pub source_lengths: Option<&'a [usize]>,
}

/// The results of [`decode`]; only `ys` has a gradient.
pub(crate) struct DecoderOutput {
    /// The attentional states, (batch, target, hidden).
    pub ys: Tensor,
    /// The attention weights, (batch, target, source).
    pub alignments: Tensor,
    /// The hidden state after the last step, (batch, hidden).
    pub h: Tensor,
    /// The cell state after the last step, (batch, hidden), if the cell has one.
    pub c: Option<Tensor>,
}

/// Run the decoder over the whole target. Return `None` if there are no kernels for the tensors or the cell.
///
/// # Errors
/// If the shapes disagree.
pub(crate) fn decode(kind: CellKind, inputs: DecoderInputs<'_>) -> Result<Option<DecoderOutput>> {
    dispatch(Decode { kind, inputs }, inputs.gates)
}

/// The choice between the implementations of the decoder.
struct Decode<'a> {
    kind: CellKind,
    inputs: DecoderInputs<'a>,
}

impl Operation for Decode<'_> {
    type Output = Option<DecoderOutput>;

    fn cpu<O: Operand<Sum: Real>>(self, isa: Isa) -> Result<Self::Output> {
        let Self { kind, inputs } = self;
        let (batch, target, _) = inputs.gates.dims3()?;
        if kind.has_second_product() || target == 0 {
            return Ok(None);
        }
        let (hidden, source) = (inputs.hh.dim(1)?, inputs.keys.dim(1)?);
        let mut token = Tensor::zeros(1, inputs.gates.dtype(), &Device::Cpu)?;
        let mut connect = |tensor: &Tensor| -> Result<ExtraOperand<O::Sum>> {
            let (operand, next) = ExtraOperand::connect(tensor, token.clone())?;
            token = next;
            Ok(operand)
        };
        let operands = Operands {
            gates: connect(inputs.gates)?,
            feed: connect(inputs.feed)?,
            hh: connect(inputs.hh)?,
            bias: inputs.bias.map(&mut connect).transpose()?,
            keys: connect(inputs.keys)?,
            values: connect(inputs.values)?,
            score: match inputs.score {
                Some((query, v)) => Some((connect(query)?, connect(v)?)),
                None => None,
            },
            combine: connect(inputs.combine)?,
            h: connect(inputs.h)?,
            c: inputs.c.map(&mut connect).transpose()?,
            attentional: connect(inputs.attentional)?,
        };
        let results = Arc::new(OnceLock::new());
        let op = AttentionDecoder {
            kind,
            isa,
            sizes: Sizes { batch, target, source, hidden },
            mask: mask(inputs.source_lengths, (batch, source), inputs.gates)?,
            operands,
            results: results.clone(),
            element: PhantomData,
        };
        let ys = token.apply_op1(op)?;
        let Some(results) = results.get() else { bail!("a decoder left no results") };
        let Results { steps, alignments } = results;
        let last = steps.last();
        Ok(Some(DecoderOutput {
            ys,
            alignments: alignments.clone(),
            h: last.map_or_else(|| inputs.h.detach(), |step| step.h.clone()),
            c: last.map_or_else(|| inputs.c.map(Tensor::detach), |step| step.c.clone()),
        }))
    }

    /// Return `None`: the reference is a loop over the step of the cell, which the layer runs.
    fn reference(self) -> Result<Self::Output> {
        Ok(None)
    }
}

/// Make the mask of the scores: 0 for the steps of each source and -inf for the padding, (batch, source), of the type
/// and on the device of `like`. Return `None` without lengths.
///
/// # Errors
/// If there are more or fewer lengths than sources, or a length is not in 1 to `source`.
pub(crate) fn mask(
    lengths: Option<&[usize]>,
    (batch, source): (usize, usize),
    like: &Tensor,
) -> Result<Option<Tensor>> {
    let Some(lengths) = lengths else { return Ok(None) };
    if lengths.len() != batch {
        bail!("{} source lengths for a batch of {batch}; expected one a sequence", lengths.len());
    }
    if let Some((row, length)) = lengths.iter().enumerate().find(|&(_, &n)| !(1..=source).contains(&n)) {
        bail!("source {row} has length {length}; expected 1 to {source}");
    }
    let score = |t, length| if t < length { 0. } else { f64::NEG_INFINITY };
    let mask: Vec<f64> =
        lengths.iter().flat_map(|&length| (0..source).map(move |t| score(t, length))).collect();
    let mask = Tensor::from_vec(mask, (batch, source), &Device::Cpu)?.to_dtype(like.dtype())?;
    Ok(Some(mask.to_device(like.device())?))
}

/// The sizes of a batch and a decoder.
#[derive(Clone, Copy)]
struct Sizes {
    batch: usize,
    target: usize,
    source: usize,
    hidden: usize,
}

/// The tensors of [`DecoderInputs`], connected to candle's graph.
struct Operands<E> {
    gates: ExtraOperand<E>,
    feed: ExtraOperand<E>,
    hh: ExtraOperand<E>,
    bias: Option<ExtraOperand<E>>,
    keys: ExtraOperand<E>,
    values: ExtraOperand<E>,
    score: Option<(ExtraOperand<E>, ExtraOperand<E>)>,
    combine: ExtraOperand<E>,
    h: ExtraOperand<E>,
    c: Option<ExtraOperand<E>>,
    attentional: ExtraOperand<E>,
}

/// The op from a token, behind all operands, to the attentional states, (batch, target, hidden).
struct AttentionDecoder<E> {
    kind: CellKind,
    isa: Isa,
    sizes: Sizes,
    /// The mask that is added to the scores, (batch, source).
    mask: Option<Tensor>,
    operands: Operands<E>,
    results: Arc<OnceLock<Results>>,
    element: PhantomData<E>,
}

/// The results of the forward pass, which the backward pass reads.
struct Results {
    steps: Vec<Step>,
    /// (batch, target, source).
    alignments: Tensor,
}

/// One step of the forward pass. All tensors are (batch, features).
struct Step {
    /// The numbers that the backward pass of the cell needs.
    saved: Tensor,
    h: Tensor,
    c: Option<Tensor>,
    /// The attention weights, (batch, source).
    weights: Tensor,
    /// The weighted sum of the values and the hidden state, (batch, width + hidden).
    context_and_h: Tensor,
    attentional: Tensor,
}

/// The gradients that every step leaves for the products after the backward pass.
struct StepGradient {
    /// The gradient of the input's part of the gates, (batch, gates * hidden).
    x: Tensor,
    /// The gradient of the recurrent product, (batch, gates * hidden).
    product: Tensor,
    /// The gradient of the scores, (batch, source).
    scores: Tensor,
    /// The gradient of the weighted sum of the values, (batch, width).
    context: Tensor,
    /// The gradient of the argument of the attentional state's tanh, (batch, hidden).
    combined: Tensor,
    /// The gradient of the query Q h, (batch, features), with a `tanh` score.
    query: Option<Tensor>,
}

impl<E: Real> ExtraOperand<E> {
    /// Return the tensor without its place in candle's graph.
    fn detached(&self) -> Tensor {
        self.tensor().detach()
    }

    /// Hand the gradient to the operand's node.
    fn put(&self, gradient: &Tensor) -> Result<()> {
        self.put_gradient(gradient.flatten_all()?.to_vec1::<E>()?);
        Ok(())
    }
}

/// Multiply (batch, source, features) by (batch, features): (batch, source).
fn times_vectors(matrices: &Tensor, vectors: &Tensor) -> Result<Tensor> {
    matrices.matmul(&vectors.unsqueeze(2)?)?.squeeze(2)
}

/// Sum the rows of (batch, source, features) with weights (batch, source): (batch, features).
fn weighted_sum(weights: &Tensor, values: &Tensor) -> Result<Tensor> {
    weights.unsqueeze(1)?.matmul(values)?.squeeze(1)
}

/// Compute the sum over steps of `left^T right`, of (target * batch, n) and (target * batch, m): (n, m).
fn outer(left: &[&Tensor], right: &[&Tensor]) -> Result<Tensor> {
    Tensor::cat(left, 0)?.t()?.matmul(&Tensor::cat(right, 0)?)
}

/// Compute the sum over steps of outer products within each row of the batch, of (batch, n) and (batch, m): (batch, n, m).
fn batch_outer(left: &[&Tensor], right: &[&Tensor]) -> Result<Tensor> {
    Tensor::stack(left, 1)?.transpose(1, 2)?.contiguous()?.matmul(&Tensor::stack(right, 1)?)
}

impl<E: Real> AttentionDecoder<E> {
    fn forward(&self) -> Result<Results> {
        let Operands { gates, feed, hh, keys, values, combine, h, c, attentional, .. } = &self.operands;
        let gates = gates.detached().transpose(0, 1)?.contiguous()?; // (target, batch, gates * hidden)
        let (feed, hh, combine) = (feed.detached().t()?, hh.detached().t()?, combine.detached().t()?);
        let (keys, values) = (keys.detached(), values.detached());
        let mut state = (h.detached(), c.as_ref().map(ExtraOperand::detached), attentional.detached());
        let mut steps: Vec<Step> = Vec::with_capacity(self.sizes.target);
        for t in 0..self.sizes.target {
            let x = (gates.get(t)? + state.2.matmul(&feed)?)?;
            let product = state.0.matmul(&hh)?;
            let (h, c, saved) = self.cell(&x, &product, &state.0, state.1.as_ref())?;
            let scores = match self.tanh(&keys, &h)? {
                Some(tanh) => tanh.scores()?,
                None => times_vectors(&keys, &h)?,
            };
            let scores = match &self.mask {
                Some(mask) => (scores + mask)?,
                None => scores,
            };
            let weights = softmax(&scores, D::Minus1)?; // (batch, source)
            let context_and_h = Tensor::cat(&[&weighted_sum(&weights, &values)?, &h], 1)?;
            let attentional = context_and_h.matmul(&combine)?.tanh()?;
            state = (h.clone(), c.clone(), attentional.clone());
            steps.push(Step { saved, h, c, weights, context_and_h, attentional });
        }
        let alignments = match steps.is_empty() {
            true => Tensor::zeros((self.sizes.batch, 0, self.sizes.source), keys.dtype(), &Device::Cpu)?,
            false => Tensor::stack(&steps.iter().map(|step| &step.weights).collect::<Vec<_>>(), 1)?,
        };
        Ok(Results { steps, alignments })
    }

    /// Compute one step of the cell: the new hidden state, the new cell state and the saved activations.
    fn cell(
        &self,
        x: &Tensor,
        product: &Tensor,
        h: &Tensor,
        c: Option<&Tensor>,
    ) -> Result<(Tensor, Option<Tensor>, Tensor)> {
        let Sizes { batch, hidden, .. } = self.sizes;
        let bias = self.operands.bias.as_ref().map(ExtraOperand::tensor);
        let tensors = [Some(x), Some(product), bias, Some(h), c];
        let cpu::StepOutputs { h, c, saved } = read::<E, _, 5>(tensors, |[x, product, b, h, old_c]| {
            let (bias, c) = (bias.is_some().then_some(b), c.is_some().then_some(old_c));
            let inputs = cpu::StepInputs { x, product, bias, h, c };
            cpu::step(self.isa, self.kind, (batch, hidden), &inputs)
        })?;
        let tensor = |values: Vec<E>| {
            let columns = values.len() / batch.max(1);
            Tensor::from_vec(values, (batch, columns), &Device::Cpu)
        };
        Ok((tensor(h)?, c.map(tensor).transpose()?, tensor(saved)?))
    }

    /// Compute the parts of a `tanh` score of hidden states (batch, hidden), if the decoder has one.
    fn tanh(&self, keys: &Tensor, h: &Tensor) -> Result<Option<TanhScore>> {
        let Some((query, v)) = &self.operands.score else { return Ok(None) };
        let queries = h.matmul(&query.detached().t()?)?; // (batch, features)
        let activations = keys.broadcast_add(&queries.unsqueeze(1)?)?.tanh()?;
        Ok(Some(TanhScore { activations, v: v.detached() }))
    }
}

/// The parts of the score v . tanh(Q h + key).
struct TanhScore {
    /// The values of tanh, (batch, source, features).
    activations: Tensor,
    /// (features).
    v: Tensor,
}

impl TanhScore {
    /// Compute the scores, (batch, source).
    fn scores(&self) -> Result<Tensor> {
        self.activations.broadcast_matmul(&self.v.unsqueeze(1)?)?.squeeze(2)
    }

    /// Compute the gradients of the keys (batch, source, features), of the queries (batch, features) and of v (features).
    fn backward(&self, d_scores: &Tensor) -> Result<(Tensor, Tensor, Tensor)> {
        let d_scores = d_scores.unsqueeze(2)?; // (batch, source, 1)
        let d_v = self.activations.broadcast_mul(&d_scores)?.sum((0, 1))?;
        let slopes = (1. - self.activations.sqr()?)?.broadcast_mul(&self.v)?;
        let d_keys = slopes.broadcast_mul(&d_scores)?;
        let d_query = d_keys.sum(1)?;
        Ok((d_keys, d_query, d_v))
    }
}

impl<E: Real> CustomOp1 for AttentionDecoder<E> {
    fn name(&self) -> &'static str {
        "attention-decoder"
    }

    fn cpu_fwd(&self, _token: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let results = self.forward()?;
        let Sizes { batch, target, hidden, .. } = self.sizes;
        let states: Vec<&Tensor> = results.steps.iter().map(|step| &step.attentional).collect();
        let ys = match states.is_empty() {
            true => vec![],
            false => Tensor::stack(&states, 1)?.flatten_all()?.to_vec1::<E>()?,
        };
        let _ = self.results.set(results); // an op runs forward once
        Ok((E::to_cpu_storage_owned(ys), (batch, target, hidden).into()))
    }

    fn bwd(&self, token: &Tensor, _ys: &Tensor, d_ys: &Tensor) -> Result<Option<Tensor>> {
        let Some(results) = self.results.get() else {
            bail!("a decoder saved nothing for its backward pass")
        };
        self.backward(results, &d_ys.detach())?;
        Ok(Some(token.zeros_like()?))
    }
}
