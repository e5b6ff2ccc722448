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
use crate::kernels::cpu::{AttentionSource, Float, GradientOperand, Isa, PackedMatrix, Query, Real};
use crate::ops::backend::{Operation, dispatch};
use crate::ops::storage::read;
use packed::ForwardWeights;
use results::Results;
use sizes::DecoderSizes;

mod backward;
mod forward;
mod packed;
mod results;
mod sizes;
mod steps;

pub(crate) use packed::{PackedWeights, pack_weights};

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
    /// The weights, if they have been packed before.
    pub packed: Option<&'a PackedWeights>,
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

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Self::Output> {
        let Self { kind, inputs } = self;
        let (batch, target, rows) = inputs.gates.dims3()?;
        if kind.has_second_product() || target == 0 {
            return Ok(None);
        }
        let (_, source, width) = inputs.values.dims3()?;
        let hidden = inputs.hh.dim(1)?;
        let features = inputs.score.map_or(Ok(hidden), |(query, _)| query.dim(0))?;
        let sizes = DecoderSizes { batch, target, source, hidden, features, width, gates: rows };
        sizes.check(kind, &inputs)?;
        let mut token = Tensor::zeros(1, inputs.gates.dtype(), &Device::Cpu)?;
        let mut connect = |tensor: &Tensor| -> Result<ExtraOperand<O::Sum>> {
            let (operand, next) = ExtraOperand::connect(tensor, token.clone())?;
            token = next;
            Ok(operand)
        };
        let operands = DecoderOperands {
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
        let weights = match inputs.packed.and_then(PackedWeights::of::<O>) {
            Some(weights) => weights,
            None => Arc::new(ForwardWeights::<O>::pack(isa, inputs.feed, inputs.hh, inputs.combine)?),
        };
        let query = inputs.score.map(|(query, _)| packed::transposed(isa, query)).transpose()?;
        let results = Arc::new(OnceLock::new());
        let lengths = inputs.source_lengths.map(<[usize]>::to_vec);
        let op = DecoderOp { kind, isa, sizes, lengths, weights, query, operands, results: results.clone() };
        let ys = token.apply_op1(op)?;
        let Some(results) = results.get() else { bail!("a decoder left no results") };
        let tensor = |elements: &[O::Sum], shape: &[usize]| Tensor::from_slice(elements, shape, &Device::Cpu);
        Ok(Some(DecoderOutput {
            ys,
            alignments: tensor(&results.weights, &[batch, target, source])?,
            h: tensor(&results.last_h, &[batch, hidden])?,
            c: inputs.c.map(|_| tensor(&results.last_c, &[batch, hidden])).transpose()?,
        }))
    }

    /// Return `None`: the reference is a loop over the step of the cell, which the layer runs.
    fn reference(self) -> Result<Self::Output> {
        Ok(None)
    }
}

/// Check the number of steps of each source.
///
/// # Errors
/// If there are more or fewer lengths than sources, or a length is not in 1 to `source`.
pub(crate) fn check_source_lengths(lengths: Option<&[usize]>, (batch, source): (usize, usize)) -> Result<()> {
    let Some(lengths) = lengths else { return Ok(()) };
    if lengths.len() != batch {
        bail!("{} source lengths for a batch of {batch}; expected one a sequence", lengths.len());
    }
    match lengths.iter().enumerate().find(|&(_, &length)| !(1..=source).contains(&length)) {
        Some((row, length)) => bail!("source {row} has length {length}; expected 1 to {source}"),
        None => Ok(()),
    }
}

impl DecoderSizes {
    /// Check the shapes of the inputs and the lengths of the sources.
    fn check(&self, kind: CellKind, inputs: &DecoderInputs<'_>) -> Result<()> {
        let Self { batch, source, hidden, features, width, gates, .. } = *self;
        check_source_lengths(inputs.source_lengths, (batch, source))?;
        if gates != kind.gates() * hidden {
            bail!("the gates are {gates} numbers; expected {} a unit for {hidden} units", kind.gates());
        }
        if inputs.c.is_some() != kind.has_cell_state() {
            bail!("a cell state is for an LSTM, and an LSTM needs one");
        }
        let optional = [
            ("the bias", inputs.bias, &[gates][..]),
            ("the cell state", inputs.c, &[batch, hidden]),
            ("the query weights", inputs.score.map(|(query, _)| query), &[features, hidden]),
            ("the score weights", inputs.score.map(|(_, v)| v), &[features]),
        ];
        let optional = optional.into_iter().filter_map(|(name, tensor, shape)| Some((name, tensor?, shape)));
        let required = [
            ("the feeding weights", inputs.feed, &[gates, hidden][..]),
            ("the recurrent weights", inputs.hh, &[gates, hidden]),
            ("the keys", inputs.keys, &[batch, source, features]),
            ("the values", inputs.values, &[batch, source, width]),
            ("the weights of the attentional state", inputs.combine, &[hidden, width + hidden]),
            ("the hidden state", inputs.h, &[batch, hidden]),
            ("the attentional state", inputs.attentional, &[batch, hidden]),
        ];
        for (name, tensor, expected) in required.into_iter().chain(optional) {
            if tensor.dims() != expected {
                bail!("the shape of {name} is {:?}; expected {expected:?}", tensor.dims());
            }
        }
        Ok(())
    }
}

/// The tensors of [`DecoderInputs`], connected to candle's graph.
struct DecoderOperands<E> {
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
struct DecoderOp<O: GradientOperand<Sum: Real>> {
    kind: CellKind,
    isa: Isa,
    sizes: DecoderSizes,
    /// Steps of each source.
    lengths: Option<Vec<usize>>,
    /// The weights of the forward pass.
    weights: Arc<ForwardWeights<O>>,
    /// Q of a `tanh` score, for products with hidden states.
    query: Option<PackedMatrix<O>>,
    operands: DecoderOperands<O::Sum>,
    results: Arc<OnceLock<Results<O::Sum>>>,
}

impl<O: GradientOperand<Sum: Real>> DecoderOp<O> {
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

impl<O: GradientOperand<Sum: Real>> CustomOp1 for DecoderOp<O> {
    fn name(&self) -> &'static str {
        "attention-decoder"
    }

    fn cpu_fwd(&self, _token: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let DecoderSizes { batch, target, hidden, .. } = self.sizes;
        let mut ys = vec![O::Sum::ZERO; batch * target * hidden];
        let results = self.forward(&mut ys)?;
        let _ = self.results.set(results); // an op runs forward once
        Ok((O::Sum::to_cpu_storage_owned(ys), (batch, target, hidden).into()))
    }

    fn bwd(&self, token: &Tensor, ys: &Tensor, d_ys: &Tensor) -> Result<Option<Tensor>> {
        let Some(results) = self.results.get() else {
            bail!("a decoder saved nothing for its backward pass")
        };
        let (ys, d_ys) = (ys.detach(), d_ys.detach().contiguous()?);
        read::<O::Sum, _, 2>([Some(&ys), Some(&d_ys)], |[ys, d_ys]| self.backward(results, ys, d_ys))??;
        Ok(Some(token.zeros_like()?))
    }
}
