//! The trait of sequence-to-sequence networks: they read a source once, then write a target token by token.

use candle_core::{Result, Tensor};

use crate::layers::attention::{AttentionMemory, AttentionState};

/// A network that reads a source text and writes a target text one token after another. Several targets may be written
/// side by side, as in beam search.
pub trait SequenceToSequence: Send + Sync {
    /// Read sources outside training: tokens, u32, (batch, source), with the number of tokens of each, at least 1; all
    /// have `source` tokens if `lengths` is `None`. Return what the decoder attends to, and its initial state.
    ///
    /// # Errors
    /// If a token is not in the vocabulary, or a length is not in 1 to `source`.
    fn read_source(
        &self,
        source: &Tensor,
        lengths: Option<&[usize]>,
    ) -> Result<(AttentionMemory, AttentionState)>;

    /// Read the last token of each target, and compute the scores of the next.
    ///
    /// # Errors
    /// If a token is not in the vocabulary, or there are more or fewer tokens than sources and states.
    fn write_step(
        &self,
        tokens: &[u32],
        memory: &AttentionMemory,
        state: &AttentionState,
    ) -> Result<WrittenStep>;
}

/// The results of [`SequenceToSequence::write_step`].
#[derive(Clone, Debug)]
pub struct WrittenStep {
    /// The scores (logits) of the next token, (batch, target vocabulary).
    pub scores: Tensor,
    /// The attention weights of the step, (batch, source).
    pub weights: Tensor,
    /// The state after the step.
    pub state: AttentionState,
}
