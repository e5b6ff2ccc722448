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
//! weights are packed once for all steps. Their weight gradients can be batched: they are products over all steps at
//! once, after the backward pass. The rows of the batch do not depend on each other, so workers take shares of the
//! batch through all steps, without a barrier. Nothing of the size (batch, target, source, features) exists.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, WithDType, bail};

use super::extra_operand::ExtraOperand;
use crate::kernels::CellKind;
use crate::kernels::cpu::{AttentionSource, Float, GradientOperand, Int8, Isa, Operand, Query, Real};
use crate::ops::backend::{Operation, dispatch};
use crate::ops::inference::refuse_gradients;
use crate::ops::linear::linear_forward;
use crate::ops::storage::read;
use packed::ForwardWeights;
use results::Results;
use sizes::DecoderSizes;

mod backward;
mod forward;
mod inputs;
mod packed;
mod results;
mod sizes;
mod steps;

pub(crate) use inputs::{DecoderInputs, check_source_lengths};
pub(crate) use packed::{DecoderMatrices, PackedWeights, pack_weights};

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

/// Run the decoder over the whole target. Return `None` if there are no kernels for the tensors or the cell, or the
/// target has no steps.
///
/// # Errors
/// If the shapes disagree.
pub(crate) fn decode(kind: CellKind, inputs: DecoderInputs<'_>) -> Result<Option<DecoderOutput>> {
    dispatch(Decode { kind, inputs }, inputs.xs)
}

/// The choice between the implementations of the decoder.
#[derive(Clone, Copy)]
struct Decode<'a> {
    kind: CellKind,
    inputs: DecoderInputs<'a>,
}

impl Decode<'_> {
    /// Return the checked sizes, with the embeddings as part of the operand of the feeding weights if `feeds_input`.
    /// Return `None` if there are no kernels for the cell, or the target has no steps.
    fn sizes(&self, feeds_input: bool) -> Result<Option<DecoderSizes>> {
        let Self { kind, inputs } = self;
        let DecoderMatrices { hh, query, .. } = inputs.matrices;
        let ((batch, target, input), (gates, hidden)) = (inputs.xs.dims3()?, hh.dims2()?);
        if kind.has_second_product() || target == 0 {
            return Ok(None);
        }
        let (_, source, width) = inputs.values.dims3()?;
        let features = query.map_or(Ok(hidden), |query| query.dim(0))?;
        let fed = if feeds_input { input } else { 0 };
        let sizes = DecoderSizes { batch, target, source, hidden, features, width, gates, fed };
        inputs.check(*kind, &sizes)?;
        Ok(Some(sizes))
    }

    /// Return the biases that can be added to the gates beforehand.
    fn folded_biases(&self) -> impl Iterator<Item = &Tensor> {
        let b_hh = self.inputs.b_hh.filter(|_| self.kind.folds_bias());
        [self.inputs.b_ih, b_hh].into_iter().flatten()
    }

    /// Return the part of the gates from the embeddings, with the biases, (batch, target, gates * hidden).
    fn gates(&self, DecoderSizes { batch, target, gates, .. }: DecoderSizes) -> Result<Tensor> {
        let (xs, input) = (self.inputs.xs, self.inputs.xs.dim(2)?);
        let embedded = self.inputs.matrices.ih.narrow(1, 0, input)?;
        let mut sums = linear_forward(&xs.reshape((batch * target, input))?, &embedded, None)?;
        for bias in self.folded_biases() {
            sums = sums.broadcast_add(bias)?;
        }
        sums.reshape((batch, target, gates))
    }

    /// Return the biases alone as the part of the gates, (batch, target, gates * hidden).
    fn biases(&self, DecoderSizes { batch, target, gates, .. }: DecoderSizes) -> Result<Tensor> {
        let mut sums = Tensor::zeros(gates, self.inputs.xs.dtype(), &Device::Cpu)?;
        for bias in self.folded_biases() {
            sums = (sums + bias)?;
        }
        sums.broadcast_as((batch, target, gates))
    }

    /// Connect the tensors that the kernels read, in a fixed order. `gates` is the part of the gates that is known
    /// beforehand, and `feed` the tensor of [`ForwardWeights::feed`]; `fed` are the embeddings if it multiplies them.
    fn operands<E>(
        &self,
        (fed, gates): (Option<&Tensor>, &Tensor),
        feed: &Tensor,
        mut connect: impl FnMut(&Tensor) -> Result<ExtraOperand<E>>,
    ) -> Result<DecoderOperands<E>> {
        let inputs = &self.inputs;
        let DecoderMatrices { hh, query, combine, .. } = inputs.matrices;
        Ok(DecoderOperands {
            fed: fed.map(&mut connect).transpose()?,
            gates: connect(gates)?,
            feed: connect(feed)?,
            hh: connect(hh)?,
            bias: inputs.b_hh.filter(|_| !self.kind.folds_bias()).map(&mut connect).transpose()?,
            keys: connect(inputs.keys)?,
            values: connect(inputs.values)?,
            score: match (query, inputs.score) {
                (Some(query), Some(v)) => Some((connect(query)?, connect(v)?)),
                _ => None,
            },
            combine: connect(combine)?,
            h: connect(inputs.h)?,
            c: inputs.c.map(&mut connect).transpose()?,
            attentional: connect(inputs.attentional)?,
        })
    }

    /// Return the output of the attentional states `ys` and the other results.
    fn output<E: Real>(
        &self,
        sizes: DecoderSizes,
        ys: Tensor,
        results: &Results<E>,
    ) -> Result<DecoderOutput> {
        let DecoderSizes { batch, target, source, hidden, .. } = sizes;
        let tensor = |elements: &[E], shape: &[usize]| Tensor::from_slice(elements, shape, &Device::Cpu);
        Ok(DecoderOutput {
            ys,
            alignments: tensor(&results.weights, &[batch, target, source])?,
            h: tensor(&results.last_h, &[batch, hidden])?,
            c: self.inputs.c.map(|_| tensor(&results.last_c, &[batch, hidden])).transpose()?,
        })
    }
}

impl Operation for Decode<'_> {
    type Output = Option<DecoderOutput>;

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Self::Output> {
        let Some(sizes) = self.sizes(false)? else { return Ok(None) };
        let Self { kind, inputs } = self;
        let gates = self.gates(sizes)?;
        let (feed, weights) = match inputs.packed.and_then(|packed| packed.of::<O>(isa, inputs.matrices)) {
            Some(packed) => packed,
            None => {
                let feed = inputs.matrices.feed()?;
                let weights = inputs.matrices.pack::<O>(isa, &feed)?;
                (feed, Arc::new(weights))
            }
        };
        let mut token = Tensor::zeros(1, inputs.xs.dtype(), &Device::Cpu)?;
        let operands = self.operands((None, &gates), &feed, |tensor| {
            let (operand, next) = ExtraOperand::connect(tensor, token.clone())?;
            token = next;
            Ok(operand)
        })?;
        let results = Arc::new(OnceLock::new());
        let lengths = inputs.source_lengths.map(<[usize]>::to_vec);
        let op = DecoderOp::<O> {
            decoder: Decoder { kind, isa, sizes, lengths, weights, operands },
            results: results.clone(),
        };
        let ys = token.apply_op1(op)?;
        let Some(results) = results.get() else { bail!("a decoder left no results") };
        Ok(Some(self.output(sizes, ys, results)?))
    }

    /// Run the decoder in int8, without a graph. A row of the input's weights has one scale, and so has a row of their
    /// operand, the embedding and the attentional state: their product is taken at every step.
    fn int8(self, isa: Isa) -> Result<Self::Output> {
        let Some(sizes) = self.sizes(true)? else { return Ok(None) };
        let Self { kind, inputs } = self;
        let DecoderMatrices { ih, hh, query, combine } = inputs.matrices;
        let (feed, weights) = match inputs.packed.and_then(|packed| packed.of::<Int8>(isa, inputs.matrices)) {
            Some(packed) => packed,
            None => {
                inputs.matrices.check_int8()?;
                (ih.clone(), Arc::new(inputs.matrices.pack::<Int8>(isa, ih)?))
            }
        };
        let biases = self.biases(sizes)?;
        let operands = self.operands((Some(inputs.xs), &biases), &feed, ExtraOperand::unconnected)?;
        let lengths = inputs.source_lengths.map(<[usize]>::to_vec);
        let decoder = Decoder::<Int8> { kind, isa, sizes, lengths, weights, operands };
        let DecoderSizes { batch, target, hidden, .. } = sizes;
        let mut ys = vec![0.; batch * target * hidden];
        let results = decoder.forward(&mut ys)?;
        let required = [inputs.xs, ih, hh, combine, inputs.keys, inputs.values, inputs.h, inputs.attentional];
        let optional = [query, inputs.score, inputs.b_ih, inputs.b_hh, inputs.c].into_iter().flatten();
        let tensors: Vec<&Tensor> = required.into_iter().chain(optional).collect();
        let ys = refuse_gradients(Tensor::from_vec(ys, (batch, target, hidden), &Device::Cpu)?, &tensors)?;
        Ok(Some(self.output(sizes, ys, &results)?))
    }

    /// Return `None`: the reference is a loop over the step of the cell, which the layer runs.
    fn reference(self) -> Result<Self::Output> {
        Ok(None)
    }
}

/// The tensors of [`DecoderInputs`], connected to candle's graph.
struct DecoderOperands<E> {
    /// The embeddings, if they are part of the operand of `feed`.
    fed: Option<ExtraOperand<E>>,
    /// The part of the gates that is known beforehand, (batch, target, gates * hidden).
    gates: ExtraOperand<E>,
    /// The tensor of [`ForwardWeights::feed`].
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

/// A decoder with its weights and operands.
struct Decoder<O: Operand<Sum: Real>> {
    kind: CellKind,
    isa: Isa,
    sizes: DecoderSizes,
    /// Steps of each source.
    lengths: Option<Vec<usize>>,
    /// The weights of the forward pass.
    weights: Arc<ForwardWeights<O>>,
    operands: DecoderOperands<O::Sum>,
}

impl<O: Operand<Sum: Real>> Decoder<O> {
    /// Call `f` with what rows `rows` of the batch attend to.
    fn attend<T>(&self, rows: Range<usize>, f: impl FnOnce(&AttentionSource<'_, O::Sum>) -> T) -> Result<T> {
        let DecoderSizes { source, features, width, .. } = self.sizes;
        let DecoderOperands { keys, values, .. } = &self.operands;
        let lengths = self.lengths.as_deref().map(|lengths| &lengths[rows.clone()]);
        let of_rows = |features: usize| rows.start * source * features..rows.end * source * features;
        read::<O::Sum, _, 2>([Some(keys.tensor()), Some(values.tensor())], |[keys, values]| {
            let (keys, values) = (&keys[of_rows(features)], &values[of_rows(width)]);
            f(&AttentionSource { keys, values, lengths, batch: rows.len(), source, features, width })
        })
    }

    /// Call `f` with the operands of the scores for `queries`, (rows, features).
    fn with_query<T>(&self, queries: &[O::Sum], f: impl FnOnce(Query<'_, O::Sum>) -> T) -> Result<T> {
        let v = self.operands.score.as_ref().map(|(_, v)| v.tensor());
        read::<O::Sum, _, 1>([v], |[elements]| f(Query { rows: queries, v: v.map(|_| elements) }))
    }
}

/// The op from a token, after all operands, to the attentional states, (batch, target, hidden).
struct DecoderOp<O: GradientOperand<Sum: Real>> {
    decoder: Decoder<O>,
    results: Arc<OnceLock<Results<O::Sum>>>,
}

impl<O: GradientOperand<Sum: Real>> CustomOp1 for DecoderOp<O> {
    fn name(&self) -> &'static str {
        "attention-decoder"
    }

    fn cpu_fwd(&self, _token: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let DecoderSizes { batch, target, hidden, .. } = self.decoder.sizes;
        let mut ys = vec![O::Sum::ZERO; batch * target * hidden];
        let results = self.decoder.forward(&mut ys)?;
        let _ = self.results.set(results); // an op runs forward once
        Ok((O::Sum::to_cpu_storage_owned(ys), (batch, target, hidden).into()))
    }

    fn bwd(&self, token: &Tensor, ys: &Tensor, d_ys: &Tensor) -> Result<Option<Tensor>> {
        let Some(results) = self.results.get() else {
            bail!("a decoder saved nothing for its backward pass")
        };
        let (ys, d_ys) = (ys.detach(), d_ys.detach().contiguous()?);
        read::<O::Sum, _, 2>([Some(&ys), Some(&d_ys)], |[ys, d_ys]| {
            self.decoder.backward(results, ys, d_ys)
        })??;
        Ok(Some(token.zeros_like()?))
    }
}
