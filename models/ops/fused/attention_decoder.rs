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
//! Input feeding makes every step depend on the attention of the step before, so the steps cannot be batched. Their weights
//! are packed once for all steps. Their weight gradients can be batched: they are products over all steps at once, after
//! the backward pass. Nothing of the size
//! (batch, target, source, features) exists; with `tanh` scores (batch, source, features) does, one step at a time.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp1, Device, Layout, Result, Shape, Tensor, bail};

use super::extra_operand::ExtraOperand;
use crate::kernels::CellKind;
use crate::kernels::cpu::{self, Attended, GradientOperand, Isa, PackedMatrix, Real, Scores};
use crate::ops::backend::{Operation, dispatch};
use crate::ops::storage::read;
use packed::ForwardWeights;

mod backward;
mod packed;
mod tanh_score;

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

    fn cpu<O: GradientOperand<Sum: Real>>(self, _isa: Isa) -> Result<Self::Output> {
        let Self { kind, inputs } = self;
        let (batch, target, rows) = inputs.gates.dims3()?;
        if kind.has_second_product() || target == 0 {
            return Ok(None);
        }
        let (_, source, width) = inputs.values.dims3()?;
        let sizes = Sizes { batch, target, source, hidden: inputs.hh.dim(1)?, width, gates: rows };
        sizes.check(&inputs)?;
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
        let isa = Isa::current()?; // the products of the decoder are in f32 in every precision
        let weights = match inputs.packed.and_then(|packed| packed.of::<O::Sum>()) {
            Some(weights) => weights,
            None => Arc::new(ForwardWeights::pack(isa, inputs.feed, inputs.hh, inputs.combine)?),
        };
        let results = Arc::new(OnceLock::new());
        let lengths = inputs.source_lengths.map(<[usize]>::to_vec);
        let op = AttentionDecoder { kind, isa, sizes, lengths, weights, operands, results: results.clone() };
        let ys = token.apply_op1(op)?;
        let Some(results) = results.get() else { bail!("a decoder left no results") };
        let last = |states: &[O::Sum]| {
            Tensor::from_slice(
                &states[states.len() - batch * sizes.hidden..],
                (batch, sizes.hidden),
                &Device::Cpu,
            )
        };
        let alignments = batch_first(&results.weights, [target, batch, source]);
        Ok(Some(DecoderOutput {
            ys,
            alignments: Tensor::from_vec(alignments, (batch, target, source), &Device::Cpu)?,
            h: last(&results.h)?,
            c: inputs.c.map(|_| last(&results.c)).transpose()?,
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
    /// Features of the values.
    width: usize,
    /// Rows of the recurrent weights: gates * hidden.
    gates: usize,
}

impl Sizes {
    /// Check the shapes of the inputs and the lengths of the sources.
    fn check(&self, inputs: &DecoderInputs<'_>) -> Result<()> {
        let Self { batch, source, hidden, width, gates, .. } = *self;
        mask(inputs.source_lengths, (batch, source), inputs.gates)?;
        let features = inputs.score.map_or(Ok(hidden), |(query, _)| query.dim(0))?;
        for (name, tensor, expected) in [
            ("the feeding weights", inputs.feed, &[gates, hidden][..]),
            ("the recurrent weights", inputs.hh, &[gates, hidden]),
            ("the keys", inputs.keys, &[batch, source, features]),
            ("the values", inputs.values, &[batch, source, width]),
            ("the weights of the attentional state", inputs.combine, &[hidden, width + hidden]),
            ("the hidden state", inputs.h, &[batch, hidden]),
            ("the attentional state", inputs.attentional, &[batch, hidden]),
        ] {
            if tensor.dims() != expected {
                bail!("{name} are {:?}; expected {expected:?}", tensor.dims());
            }
        }
        Ok(())
    }

    /// Elements of a step of the hidden state.
    fn state(&self) -> usize {
        self.batch * self.hidden
    }
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
    /// Steps of each source.
    lengths: Option<Vec<usize>>,
    /// The weights of the forward pass.
    weights: Arc<ForwardWeights<E>>,
    operands: Operands<E>,
    results: Arc<OnceLock<Results<E>>>,
}

/// The results of the forward pass, which the backward pass reads.
struct Results<E> {
    /// For each step, the numbers that the backward pass of the cell needs.
    saved: Vec<Vec<E>>,
    /// The initial hidden state and that after each step, (1 + target, batch, hidden).
    h: Vec<E>,
    /// The cell states, likewise; empty for a cell that has none.
    c: Vec<E>,
    /// The attentional states, likewise.
    attentional: Vec<E>,
    /// The attention weights, (target, batch, source).
    weights: Vec<E>,
    /// The weighted sums of the values and the hidden states, (target, batch, width + hidden).
    context_and_h: Vec<E>,
}

impl<E: Real> ExtraOperand<E> {
    /// Return the tensor without its place in candle's graph.
    fn detached(&self) -> Tensor {
        self.tensor().detach()
    }

    /// Return the elements.
    fn elements(&self) -> Result<Vec<E>> {
        self.detached().flatten_all()?.to_vec1::<E>()
    }

    /// Pack a matrix, for products with its columns.
    fn packed(&self, isa: Isa) -> Result<PackedMatrix<E>> {
        let size = self.tensor().dims2()?;
        read::<E, _, 1>([Some(self.tensor())], |[matrix]| PackedMatrix::new(isa, matrix, size))
    }
}

/// Exchange the first two dimensions of (steps, batch, features).
fn batch_first<E: Copy>(elements: &[E], [steps, batch, features]: [usize; 3]) -> Vec<E> {
    let mut exchanged = Vec::with_capacity(elements.len());
    for row in 0..batch {
        for step in 0..steps {
            exchanged.extend_from_slice(&elements[(step * batch + row) * features..][..features]);
        }
    }
    exchanged
}

impl<E: Real> AttentionDecoder<E> {
    /// Call `f` with what the decoder attends to. Keys of a `tanh` score are not multiplied.
    fn attend<T>(&self, f: impl FnOnce(&Attended<'_, E>) -> T) -> Result<T> {
        let Sizes { batch, source, hidden, width, .. } = self.sizes;
        let Operands { keys, values, score, .. } = &self.operands;
        let lengths = self.lengths.as_deref();
        read::<E, _, 2>([Some(keys.tensor()), Some(values.tensor())], |[keys, values]| {
            let (keys, hidden) = if score.is_some() { (&[][..], 0) } else { (keys, hidden) };
            f(&Attended { keys, values, lengths, batch, source, hidden, width })
        })
    }

    fn forward(&self) -> Result<Results<E>> {
        let Sizes { batch, target, source, hidden, width, gates } = self.sizes;
        let operands = &self.operands;
        let isa = self.isa;
        let ForwardWeights { feed, hh, combine, .. } = &*self.weights;
        let tanh = self.tanh_score()?;
        let by_row = operands.gates.elements()?;
        let mut x = batch_first(&by_row, [batch, target, gates]); // (target, batch, gates)
        let mut results = Results {
            saved: Vec::with_capacity(target),
            h: operands.h.elements()?,
            c: operands.c.as_ref().map_or(Ok(vec![]), ExtraOperand::elements)?,
            attentional: operands.attentional.elements()?,
            weights: vec![E::zero(); target * batch * source],
            context_and_h: vec![E::zero(); target * batch * (width + hidden)],
        };
        let state = self.sizes.state();
        let mut product = vec![E::zero(); batch * gates];
        for t in 0..target {
            let x = &mut x[t * batch * gates..][..batch * gates];
            feed.add_product(&results.attentional[t * state..], x);
            product.fill(E::zero());
            hh.add_product(&results.h[t * state..], &mut product);
            self.cell(x, &product, t, &mut results)?;

            let Results { h, weights, context_and_h, attentional, .. } = &mut results;
            let h = &h[(t + 1) * state..];
            let weights = &mut weights[t * batch * source..][..batch * source];
            let both = &mut context_and_h[t * batch * (width + hidden)..][..batch * (width + hidden)];
            let given = tanh.as_ref().map(|tanh| tanh.scores(h)).transpose()?;
            let scores = given.as_deref().map_or(Scores::Dot(h), Scores::Given);
            self.attend(|attended| attended.attend(isa, scores, weights, (&mut *both, width + hidden)))?;
            for (both, h) in both.chunks_exact_mut(width + hidden).zip(h.chunks_exact(hidden)) {
                both[width..].copy_from_slice(h);
            }
            let mut combined = vec![E::zero(); state];
            combine.add_product(both, &mut combined);
            cpu::tanh(isa, &mut combined);
            attentional.extend_from_slice(&combined);
        }
        Ok(results)
    }

    /// Compute step `t` of the cell, and append its results.
    fn cell(&self, x: &[E], product: &[E], t: usize, results: &mut Results<E>) -> Result<()> {
        let Sizes { batch, hidden, .. } = self.sizes;
        let from = t * self.sizes.state();
        let bias = self.operands.bias.as_ref().map(ExtraOperand::tensor);
        let cpu::StepOutputs { h, c, saved } = read::<E, _, 1>([bias], |[bias_elements]| {
            let bias = bias.is_some().then_some(bias_elements);
            let c = (!results.c.is_empty()).then(|| &results.c[from..]);
            let inputs = cpu::StepInputs { x, product, bias, h: &results.h[from..], c };
            cpu::step(self.isa, self.kind, (batch, hidden), &inputs)
        })?;
        results.h.extend_from_slice(&h);
        results.c.extend(c.into_iter().flatten());
        results.saved.push(saved);
        Ok(())
    }
}

impl<E: Real> CustomOp1 for AttentionDecoder<E> {
    fn name(&self) -> &'static str {
        "attention-decoder"
    }

    fn cpu_fwd(&self, _token: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let results = self.forward()?;
        let Sizes { batch, target, hidden, .. } = self.sizes;
        let ys = batch_first(&results.attentional[self.sizes.state()..], [target, batch, hidden]);
        let _ = self.results.set(results); // an op runs forward once
        Ok((E::to_cpu_storage_owned(ys), (batch, target, hidden).into()))
    }

    fn bwd(&self, token: &Tensor, _ys: &Tensor, d_ys: &Tensor) -> Result<Option<Tensor>> {
        let Some(results) = self.results.get() else {
            bail!("a decoder saved nothing for its backward pass")
        };
        self.backward(results, &d_ys.detach().flatten_all()?.to_vec1::<E>()?)?;
        Ok(Some(token.zeros_like()?))
    }
}
