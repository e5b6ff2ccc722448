//! The embedding layer: a row of features for every token.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

use crate::layers::init::{Distribution, parameter};
use crate::ops::embedding::{copy_row, embed};

/// Distribution of an embedding's initial values, that of PyTorch's word language model example.
pub(crate) const EMBEDDING_DISTRIBUTION: Distribution = Distribution::Uniform(0.1);

/// Make an embedding with `weight`, (vocabulary, features), from `vb`. A matrix that `vb` creates is uniform in ±0.1.
///
/// # Errors
/// If the vocabulary is empty or larger than 2^24, or the parameter is missing or has another shape.
#[allow(clippy::needless_pass_by_value)] // as candle's own constructors take it
pub fn embedding(vocabulary: usize, features: usize, vb: VarBuilder<'_>) -> Result<Embedding> {
    check_vocabulary(vocabulary)?;
    Ok(Embedding::new(parameter(&vb, (vocabulary, features), "weight", EMBEDDING_DISTRIBUTION)?))
}

/// An embedding matrix, (vocabulary, features).
#[derive(Clone, Debug)]
pub struct Embedding {
    weight: Tensor,
}

impl Embedding {
    /// Make an embedding of `weight`, (vocabulary, features). [`embedding()`] takes it from a `VarBuilder`.
    pub fn new(weight: Tensor) -> Self {
        Self { weight }
    }

    /// Return the matrix, (vocabulary, features).
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }

    /// Look up `tokens`, (batch, time): (batch, time, features).
    ///
    /// # Errors
    /// If a token is not in the vocabulary.
    pub fn forward(&self, tokens: &Tensor) -> Result<Tensor> {
        embed(&self.weight, tokens)
    }

    /// Copy the embedding as it is now, contiguous and without a gradient. Later changes of a variable do not reach
    /// it.
    pub(crate) fn snapshot(&self) -> Result<Self> {
        let weight = if self.weight.is_variable() { self.weight.copy()? } else { self.weight.clone() };
        Ok(Self { weight: weight.detach().contiguous()? })
    }

    /// Copy a token's row of a [snapshot](Embedding::snapshot) in f32 on the processor.
    ///
    /// # Errors
    /// If the token is not in the vocabulary, or `to` is wider than a row.
    pub(crate) fn copy_row(&self, token: u32, to: &mut [f32]) -> Result<()> {
        copy_row(&self.weight, token as usize, to)
    }
}

/// The largest vocabulary: far beyond any language, and small enough to be allocated.
const LARGEST_VOCABULARY: usize = 1 << 24;

/// Refuse a vocabulary that is empty or too large to be allocated.
///
/// # Errors
/// If `size` is not in 1 to 2^24.
pub(crate) fn check_vocabulary(size: usize) -> Result<()> {
    if (1..=LARGEST_VOCABULARY).contains(&size) {
        return Ok(());
    }
    bail!("vocabulary_size is {size}; expected 1 to {LARGEST_VOCABULARY}")
}
