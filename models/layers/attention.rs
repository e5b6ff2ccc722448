//! A decoder with attention and input feeding (Luong et al. 2015).
//!
//! ```text
//! h_t = cell([y_t; a_{t-1}], h_{t-1})                 y_t the embedding of the target's previous token
//! e_ts = h_t . W m_s                                  score "general"
//! e_ts = v . tanh(Q h_t + K m_s)                      score "concat" (Bahdanau et al. 2015)
//! w_t = softmax over the steps s of the source of e_t
//! a_t = tanh(C [sum over s of w_ts m_s; h_t])         the attentional state, which predicts the next token
//! ```
//!
//! | parameter | shape |
//! |---|---|
//! | `weight_ih_l0`, `weight_hh_l0`, `bias_ih_l0`, `bias_hh_l0` | those of the cell with input + hidden features |
//! | `attention.key.weight` | W (hidden, memory), or K (hidden, memory) |
//! | `attention.query.weight`, `attention.score.weight` | Q (hidden, hidden) and v (hidden), for "concat" |
//! | `attention.combine.weight` | C (hidden, memory + hidden) |

use candle_core::{D, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::ops::softmax;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::layers::cell::Cell;
use crate::layers::config::{StackConfig, StackOptions};
use crate::layers::init::parameter;
use crate::layers::linear::linear_distribution;
use crate::layers::recurrent::Recurrent;
use crate::layers::stack::Stack;
use crate::layers::state::State;
use crate::layers::weights::zeros;
use crate::ops::fused::{
    DecoderInputs, DecoderMatrices, DecoderOutput, check_source_lengths, decode, pack_weights,
};
use crate::ops::linear::linear_forward;
use crate::ops::reference;

mod state;

pub use state::{Attended, AttendedStep, AttentionMemory, AttentionState};

/// The score of a step of the source for a step of the target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttentionScore {
    /// `h . W m`.
    #[default]
    General,
    /// `v . tanh(Q h + K m)`.
    Concat,
}

/// A decoder of one layer with attention and input feeding.
///
/// ```
/// use candle_core::{DType, Device, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use rnn_zoo_models::{AttentionDecoder, AttentionScore, LstmCell, LstmConfig};
///
/// let parameters = VarMap::new();
/// let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
/// let config = LstmConfig::new(4, 8);
/// let decoder = AttentionDecoder::<LstmCell>::new(&config, 6, AttentionScore::General, vb)?;
/// let encoded = Tensor::zeros((2, 5, 6), DType::F32, &Device::Cpu)?; // (batch, source, memory)
/// let memory = decoder.memory(&encoded, Some(&[5, 3]))?;
/// let xs = Tensor::zeros((2, 7, 4), DType::F32, &Device::Cpu)?; // embeddings, (batch, target, input)
/// let attended = decoder.run(&xs, &memory, &decoder.zero_state(2)?)?;
/// assert_eq!(attended.ys.dims(), [2, 7, 8]); // (batch, target, hidden)
/// assert_eq!(attended.alignments.dims(), [2, 7, 5]); // (batch, target, source)
/// # Ok::<(), candle_core::Error>(())
/// ```
#[derive(Clone)]
pub struct AttentionDecoder<C: Cell> {
    /// One layer in one direction over the embedding and the attentional state.
    rnn: Stack<C>,
    key: Tensor,
    /// Q and v of [`AttentionScore::Concat`].
    concat: Option<(Tensor, Tensor)>,
    combine: Tensor,
}

/// An [`AttentionDecoder`] of any kind of cell.
pub(crate) trait DecodeWithAttention: Send + Sync {
    /// As [`AttentionDecoder::memory`].
    fn memory(&self, outputs: &Tensor, lengths: Option<&[usize]>) -> Result<AttentionMemory>;

    /// Return the state of a cell, (1, batch, hidden), with an attentional state of zeros.
    fn start(&self, cell: State) -> Result<AttentionState>;

    /// As [`AttentionDecoder::zero_state`].
    fn zero_state(&self, batch: usize) -> Result<AttentionState>;

    /// As [`AttentionDecoder::run`].
    fn run(&self, xs: &Tensor, memory: &AttentionMemory, state: &AttentionState) -> Result<Attended>;

    /// As [`AttentionDecoder::step`].
    fn step(&self, x: &Tensor, memory: &AttentionMemory, state: &AttentionState) -> Result<AttendedStep>;

    /// As [`AttentionDecoder::reset_parameters`].
    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()>;
}

impl<C: Cell> DecodeWithAttention for AttentionDecoder<C> {
    fn memory(&self, outputs: &Tensor, lengths: Option<&[usize]>) -> Result<AttentionMemory> {
        self.memory(outputs, lengths)
    }

    fn start(&self, cell: State) -> Result<AttentionState> {
        Ok(AttentionState { attentional: zeros((cell.h.dim(1)?, self.hidden_size()), &self.key)?, cell })
    }

    fn zero_state(&self, batch: usize) -> Result<AttentionState> {
        self.zero_state(batch)
    }

    fn run(&self, xs: &Tensor, memory: &AttentionMemory, state: &AttentionState) -> Result<Attended> {
        self.run(xs, memory, state)
    }

    fn step(&self, x: &Tensor, memory: &AttentionMemory, state: &AttentionState) -> Result<AttendedStep> {
        self.step(x, memory, state)
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        self.reset_parameters(rng)
    }
}

impl<C: Cell> AttentionDecoder<C> {
    /// Take the parameters from `vb`. `config` describes the cell, with the embedding as its input; its layer reads the
    /// attentional state too. `memory` is the number of features of the encoder's outputs.
    ///
    /// # Errors
    /// If the configuration is invalid, has several layers, both directions, a projection, recurrent dropout, weight
    /// drop or zoneout, or a parameter is missing or has another shape.
    #[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
    pub fn new(
        config: &StackConfig<C::Options>,
        memory: usize,
        score: AttentionScore,
        vb: VarBuilder<'_>,
    ) -> Result<Self> {
        let StackOptions { input_size, hidden_size: hidden, num_layers, bidirectional, .. } = config.stack;
        let StackOptions { recurrent_dropout, weight_drop, zoneout, .. } = config.stack;
        if num_layers != 1 || bidirectional.is_some() || C::projection(&config.cell).is_some() {
            bail!("an attention decoder has one layer in one direction without a projection");
        }
        if [recurrent_dropout, weight_drop, zoneout].iter().any(|&p| p > 0.) {
            bail!("an attention decoder has no recurrent dropout, weight drop or zoneout");
        }
        let mut config = config.clone();
        config.stack.input_size = input_size + hidden;
        let attention = vb.pp("attention");
        let matrix = |name: &str, rows: usize, columns: usize| {
            parameter(&attention, (rows, columns), name, linear_distribution(columns))
        };
        let concat = match score {
            AttentionScore::General => None,
            AttentionScore::Concat => {
                let v = parameter(&attention, hidden, "score.weight", linear_distribution(hidden))?;
                Some((matrix("query.weight", hidden, hidden)?, v))
            }
        };
        Ok(Self {
            rnn: Stack::new(&config, vb)?,
            key: matrix("key.weight", hidden, memory)?,
            concat,
            combine: matrix("combine.weight", hidden, memory + hidden)?,
        })
    }

    /// Return the number of hidden units.
    pub fn hidden_size(&self) -> usize {
        self.cell().weights().hidden_size()
    }

    /// Make a state of zeros for `batch` sequences.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn zero_state(&self, batch: usize) -> Result<AttentionState> {
        let attentional = zeros((batch, self.hidden_size()), &self.key)?;
        Ok(AttentionState { cell: self.rnn.zero_state(batch)?, attentional })
    }

    /// Prepare the outputs of an encoder, (batch, source, memory), and the decoder's weights as they are now, for all
    /// steps of a target. `lengths` holds the steps of each source, at least 1; all have `source` steps if `None`. The
    /// padding must be finite, and its attention weights are 0.
    ///
    /// # Errors
    /// If the outputs have another number of features than the decoder reads.
    pub fn memory(&self, outputs: &Tensor, lengths: Option<&[usize]>) -> Result<AttentionMemory> {
        let (batch, source, features) = outputs.dims3()?;
        let expected = self.key.dim(1)?;
        if features != expected {
            bail!("the encoder's outputs have {features} features; expected {expected}");
        }
        let flat = outputs.reshape((batch * source, features))?;
        let keys = linear_forward(&flat, &self.key, None)?.reshape((batch, source, self.hidden_size()))?;
        let (outputs, lengths) = (outputs.contiguous()?, lengths.map(<[usize]>::to_vec));
        let packed = self.matrices().map(pack_weights).transpose()?.flatten();
        Ok(AttentionMemory { outputs, keys, lengths, packed })
    }

    /// Return the matrices that the fused op reads; `None` if there is none for the cell.
    fn matrices(&self) -> Option<DecoderMatrices<'_>> {
        let weights = self.cell().weights().fused()?;
        let query = self.concat.as_ref().map(|(query, _)| query);
        Some(DecoderMatrices { ih: weights.ih, hh: weights.hh, query, combine: &self.combine })
    }

    /// Run the decoder over the embeddings `xs` of the target, (batch, target, input), from `state`.
    ///
    /// The fused forward pass uses the weights as they were when this decoder made `memory`, and the backward pass the
    /// weights as they are then. After weights have changed in place, as by a step of an optimizer, make the memory
    /// anew. A memory that another decoder has made is read with this decoder's weights.
    ///
    /// # Errors
    /// If the shapes disagree, or a source has no step or more than `memory` has.
    pub fn run(&self, xs: &Tensor, memory: &AttentionMemory, state: &AttentionState) -> Result<Attended> {
        let (batch, sources) = (xs.dim(0)?, memory.outputs.dim(0)?);
        if batch != sources {
            bail!("{sources} sources for a batch of {batch}; expected one a sequence");
        }
        match self.fused(xs, memory, state)? {
            Some(attended) => Ok(attended),
            None => self.reference(xs, memory, state),
        }
    }

    /// Run one step of inference, for greedy and beam search: `x` is the embedding of the last token, (batch, input).
    ///
    /// # Errors
    /// As [`AttentionDecoder::run`].
    pub fn step(&self, x: &Tensor, memory: &AttentionMemory, state: &AttentionState) -> Result<AttendedStep> {
        let Attended { ys, alignments, state } = self.run(&x.unsqueeze(1)?, memory, state)?;
        Ok(AttendedStep { y: ys.squeeze(1)?, weights: alignments.squeeze(1)?, state })
    }

    /// Draw all parameters anew.
    ///
    /// # Errors
    /// If a parameter is not a variable.
    pub fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        self.rnn.reset_parameters(rng)?;
        let matrices = [Some(&self.key), self.concat.as_ref().map(|(query, _)| query), Some(&self.combine)];
        for matrix in matrices.into_iter().flatten() {
            linear_distribution(matrix.dim(1)?).draw(matrix, rng)?;
        }
        self.concat.iter().try_for_each(|(_, v)| linear_distribution(v.dim(0)?).draw(v, rng))
    }

    fn cell(&self) -> &C {
        &self.rnn.cells()[0]
    }

    /// Run the whole target by the fused op. Return `None` if there is none.
    fn fused(
        &self,
        xs: &Tensor,
        memory: &AttentionMemory,
        state: &AttentionState,
    ) -> Result<Option<Attended>> {
        let cell = self.cell();
        let (Some(kind), Some(weights), Some(matrices)) =
            (cell.kind(), cell.weights().fused(), self.matrices())
        else {
            return Ok(None);
        };
        weights.check(kind)?;
        let State { h, c } = state.cell.layer(0)?;
        let inputs = DecoderInputs {
            xs,
            matrices,
            b_ih: weights.b_ih,
            b_hh: weights.b_hh,
            keys: &memory.keys,
            values: &memory.outputs,
            score: self.concat.as_ref().map(|(_, v)| v),
            h: &h,
            c: c.as_ref(),
            attentional: &state.attentional,
            source_lengths: memory.lengths.as_deref(),
            packed: memory.packed.as_ref(),
        };
        let Some(DecoderOutput { ys, alignments, h, c }) = decode(kind, inputs)? else { return Ok(None) };
        let attentional = ys.narrow(1, xs.dim(1)? - 1, 1)?.squeeze(1)?.detach();
        let cell = State { h: h.unsqueeze(0)?, c: c.map(|c| c.unsqueeze(0)).transpose()? };
        Ok(Some(Attended { ys, alignments, state: AttentionState { cell, attentional } }))
    }

    /// Run the whole target in plain candle ops.
    fn reference(&self, xs: &Tensor, memory: &AttentionMemory, state: &AttentionState) -> Result<Attended> {
        let (batch, target, _) = xs.dims3()?;
        let keys = &memory.keys;
        let source = keys.dim(1)?;
        check_source_lengths(memory.lengths.as_deref(), (batch, source))?;
        let mask = memory.lengths.as_deref().map(|lengths| reference::padding_mask(lengths, source, keys));
        let mask = mask.transpose()?;
        let cell = self.cell();
        let (mut state, mut attentional) = (state.cell.layer(0)?, state.attentional.clone());
        let (mut ys, mut alignments) = (Vec::with_capacity(target), Vec::with_capacity(target));
        for t in 0..target {
            let x = Tensor::cat(&[&xs.narrow(1, t, 1)?, &attentional.unsqueeze(1)?], 2)?; // (batch, 1, ..)
            let gates = cell.weights().project_input(&x, cell.folds_hidden_bias())?.squeeze(1)?;
            state = cell.step(&gates, &state.h, &state)?;
            let scores = match &self.concat {
                None => keys.matmul(&state.h.unsqueeze(2)?)?.squeeze(2)?,
                Some((query, v)) => {
                    let queries = reference::product(&state.h, &query.t()?)?.unsqueeze(1)?; // (batch, 1, hidden)
                    keys.broadcast_add(&queries)?.tanh()?.broadcast_mul(v)?.sum(D::Minus1)?
                }
            };
            let scores = match &mask {
                Some(mask) => (scores + mask)?,
                None => scores,
            };
            let weights = softmax(&scores, D::Minus1)?; // (batch, source)
            let context = weights.unsqueeze(1)?.matmul(&memory.outputs)?.squeeze(1)?;
            let both = Tensor::cat(&[&context, &state.h], 1)?; // (batch, memory + hidden)
            attentional = reference::product(&both, &self.combine.t()?)?.tanh()?;
            ys.push(attentional.clone());
            alignments.push(weights.detach());
        }
        let (ys, alignments) = match target {
            0 => (zeros((batch, 0, self.hidden_size()), keys)?, zeros((batch, 0, source), keys)?),
            _ => (Tensor::stack(&ys, 1)?, Tensor::stack(&alignments, 1)?),
        };
        let cell = State {
            h: state.h.detach().unsqueeze(0)?,
            c: state.c.map(|c| c.detach().unsqueeze(0)).transpose()?,
        };
        Ok(Attended { ys, alignments, state: AttentionState { cell, attentional: attentional.detach() } })
    }
}

#[cfg(test)]
mod tests;
