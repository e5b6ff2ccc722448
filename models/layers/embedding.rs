//! The embedding layer: a row of features for every token.

use candle_core::{Result, Tensor, bail};
use candle_nn::VarBuilder;

use crate::layers::dropout::{Noise, mask};
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

    /// Look up `tokens`, (batch, time), and with `noise` drop each token of the vocabulary with probability `dropout`
    /// throughout the batch (Gal and Ghahramani 2016): (batch, time, features).
    ///
    /// # Errors
    /// If a token is not in the vocabulary.
    pub(crate) fn forward_t(&self, tokens: &Tensor, dropout: f64, noise: Noise<'_>) -> Result<Tensor> {
        let xs = self.forward(tokens)?; // (batch, time, features)
        let Some(rng) = noise.filter(|_| dropout > 0.) else { return Ok(xs) };
        // One factor per token, applied to the rows that were read: the matrix has far more rows.
        let factors = mask(&[self.weight.dim(0)?], dropout, &self.weight, rng)?;
        let read = factors.index_select(&tokens.flatten_all()?, 0)?.reshape(tokens.shape())?;
        xs.broadcast_mul(&read.unsqueeze(2)?) // (batch, time, 1)
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
    /// If the token is not in the vocabulary, or `to` has not the width of a row.
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

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_dropped_token_is_zero_wherever_it_is_read_and_the_others_are_scaled() -> Result<()> {
        let weight = Tensor::arange(1f32, 101., &Device::Cpu)?.reshape((50, 2))?;
        let embedding = Embedding::new(weight);
        let tokens: Vec<u32> = (0..50).chain(0..50).collect();
        let tokens = Tensor::from_vec(tokens, (2, 50), &Device::Cpu)?;
        let plain: Vec<Vec<Vec<f32>>> = embedding.forward_t(&tokens, 0.5, None)?.to_vec3()?;
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let dropped: Vec<Vec<Vec<f32>>> = embedding.forward_t(&tokens, 0.5, Some(&mut rng))?.to_vec3()?;
        assert_eq!(dropped[0], dropped[1], "a token has one factor in the batch");
        let zeros = dropped[0].iter().filter(|row| **row == [0., 0.]).count();
        assert!((10..40).contains(&zeros), "{zeros} of 50 tokens are dropped");
        for (dropped, plain) in dropped[0].iter().zip(&plain[0]) {
            let scaled: Vec<f32> = plain.iter().map(|value| value * 2.).collect();
            assert!(*dropped == [0., 0.] || *dropped == scaled, "{dropped:?} of {plain:?}");
        }
        Ok(())
    }
}
