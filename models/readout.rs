//! Readouts: the vectors of a sequence's hidden states that an output layer reads.
//!
//! ```text
//! every        h_t                                        at every step
//! last         h_T forward, h_1 backward
//! mean         (h_1 + .. + h_T) / T
//! max          max_t h_t                                  in each feature
//! attention    a_1 h_1 + .. + a_T h_T,   a = softmax over t of v . tanh(W h_t + b)
//! ```
//!
//! `T` is the length of the sequence: padding takes part in none of them. A sequence of length 0 reads as zeros, but
//! for `last`, which is the initial state. The attention is additive, as that of Bahdanau et al. 2015, with a learned
//! vector in place of a query, as in Yang et al. 2016 (Hierarchical Attention Networks).
//!
//! | parameter | shape |
//! |---|---|
//! | `attention.weight`, `attention.bias` | `W` (output, output), `b` (output), only for attention |
//! | `attention.vector` | `v` (output), only for attention |

use candle_core::{D, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::softmax;
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::layers::init::parameter;
use crate::layers::linear::{Linear, linear_distribution, linear_zero_bias};
use crate::layers::state::Output;
use crate::ops::reference;

/// The vectors of a sequence's hidden states that an output layer reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Readout {
    /// The output of every step: a tag or value at each.
    Every,
    /// The output of the last step in each direction; see [`Output::last`].
    Last,
    /// The mean over the steps.
    Mean,
    /// The maximum over the steps in each feature.
    Max,
    /// The mean over the steps, weighted by additive attention.
    Attention,
}

impl Readout {
    /// The readouts that make one vector of a sequence.
    pub const POOLED: [Self; 4] = [Self::Last, Self::Mean, Self::Max, Self::Attention];
}

/// A readout with its parameters.
pub(crate) enum ReadoutLayer {
    Every,
    Last,
    Mean,
    Max,
    Attention(AttentionPooling),
}

impl ReadoutLayer {
    /// Take the parameters of `readout` over outputs of `width` features from `vb`.
    ///
    /// # Errors
    /// If a parameter is missing or has another shape.
    pub(crate) fn new(readout: Readout, width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        Ok(match readout {
            Readout::Every => Self::Every,
            Readout::Last => Self::Last,
            Readout::Mean => Self::Mean,
            Readout::Max => Self::Max,
            Readout::Attention => Self::Attention(AttentionPooling::new(width, &vb.pp("attention"))?),
        })
    }

    /// Whether the readout has a vector for every step.
    pub(crate) fn is_every(&self) -> bool {
        matches!(self, Self::Every)
    }

    /// Compute the vectors of `output`: (batch, time, output) for [`Readout::Every`], else (batch, output). `lengths`
    /// holds the steps of each sequence; `None` if all fill the batch.
    ///
    /// # Errors
    /// Errors from candle.
    pub(crate) fn read(&self, output: &Output, lengths: Option<&[usize]>) -> Result<Tensor> {
        let ys = &output.ys; // (batch, time, output), zero past a sequence's length
        let (batch, time, width) = ys.dims3()?;
        match self {
            Self::Every => Ok(ys.clone()),
            Self::Last => output.last(),
            _ if time == 0 => Tensor::zeros((batch, width), ys.dtype(), ys.device()),
            Self::Mean => mean(ys, lengths),
            Self::Max => max(ys, lengths),
            Self::Attention(attention) => attention.pool(ys, lengths),
        }
    }

    /// Draw the parameters anew.
    ///
    /// # Errors
    /// If a parameter is not a variable.
    pub(crate) fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        match self {
            Self::Attention(attention) => attention.reset_parameters(rng),
            Self::Every | Self::Last | Self::Mean | Self::Max => Ok(()),
        }
    }
}

/// Compute the mean over the steps of each sequence, (batch, output).
fn mean(ys: &Tensor, lengths: Option<&[usize]>) -> Result<Tensor> {
    let Some(lengths) = lengths else { return ys.mean(1) };
    let shares = lengths.iter().map(|&length| 1. / length.max(1) as f64).collect::<Vec<_>>();
    let shares = Tensor::new(shares, ys.device())?.to_dtype(ys.dtype())?.unsqueeze(1)?; // (batch, 1)
    ys.sum(1)?.broadcast_mul(&shares)
}

/// Compute the maximum over the steps of each sequence, (batch, output). Of equal maxima the first one gets the
/// gradient.
fn max(ys: &Tensor, lengths: Option<&[usize]>) -> Result<Tensor> {
    let values = ys.detach();
    let values = match padding(ys, lengths)? {
        Some(padding) => values.broadcast_add(&padding.unsqueeze(2)?)?,
        None => values,
    };
    let first = values.contiguous()?.argmax_keepdim(1)?; // (batch, 1, output)
    ys.contiguous()?.gather(&first, 1)?.squeeze(1)
}

/// Return a tensor (batch, time) of minus infinity at padding and 0 elsewhere; `None` without padding. Sequences of
/// length 0 keep their first step, whose output is zero.
fn padding(ys: &Tensor, lengths: Option<&[usize]>) -> Result<Option<Tensor>> {
    let Some(lengths) = lengths else { return Ok(None) };
    let lengths: Vec<usize> = lengths.iter().map(|&length| length.max(1)).collect();
    reference::padding_mask(&lengths, ys.dim(1)?, ys).map(Some)
}

/// Additive attention with a learned vector.
pub(crate) struct AttentionPooling {
    projection: Linear,
    /// (output).
    vector: Tensor,
}

impl AttentionPooling {
    fn new(width: usize, vb: &VarBuilder<'_>) -> Result<Self> {
        let projection = linear_zero_bias(width, width, vb.clone())?;
        let vector = parameter(vb, width, "vector", linear_distribution(width))?;
        Ok(Self { projection, vector })
    }

    /// Compute the weighted mean over the steps of each sequence, (batch, output).
    fn pool(&self, ys: &Tensor, lengths: Option<&[usize]>) -> Result<Tensor> {
        let keys = self.projection.forward(ys)?.tanh()?; // (batch, time, output)
        let scores = keys.broadcast_mul(&self.vector)?.sum(D::Minus1)?; // (batch, time)
        let scores = match padding(ys, lengths)? {
            Some(padding) => (scores + padding)?,
            None => scores,
        };
        let weights = softmax(&scores, D::Minus1)?.unsqueeze(1)?; // (batch, 1, time)
        weights.matmul(&ys.contiguous()?)?.squeeze(1)
    }

    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()> {
        self.projection.reset_zero_bias(rng)?;
        linear_distribution(self.vector.dim(0)?).draw(&self.vector, rng)
    }
}
