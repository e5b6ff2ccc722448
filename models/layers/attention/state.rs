//! What a decoder with attention reads and returns: the encoded source, its own state, and the results of a pass.

use candle_core::{Result, Tensor, bail};

use crate::layers::state::State;
use crate::ops::fused::PackedWeights;

/// The state of a decoder between two steps of the target.
#[derive(Clone, Debug)]
pub struct AttentionState {
    /// The state of the cell: `h`, and `c` for an LSTM, each (1, batch, hidden).
    pub cell: State,
    /// The attentional state a, (batch, hidden).
    pub attentional: Tensor,
}

impl AttentionState {
    /// Return the state of these rows of the batch, in this order. A row may occur several times, as in beam search.
    ///
    /// # Errors
    /// If `rows` is empty, or one of them is not below the batch.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let indices: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let indices = Tensor::new(indices, self.attentional.device())?;
        let attentional = self.attentional.contiguous()?.index_select(&indices, 0)?;
        Ok(Self { cell: self.cell.select(rows)?, attentional })
    }
}

/// The source as a decoder reads it. [`AttentionDecoder::memory`](crate::AttentionDecoder::memory) makes it once for
/// all steps of the target.
#[derive(Clone, Debug)]
pub struct AttentionMemory {
    /// The outputs of an encoder, (batch, source, memory).
    pub(super) outputs: Tensor,
    /// The outputs multiplied by W or K, (batch, source, hidden).
    pub(super) keys: Tensor,
    /// Steps of each source; all of them if `None`.
    pub(super) lengths: Option<Vec<usize>>,
    /// The decoder's weights, packed for the fused op. `None` if there are no kernels for them.
    pub(super) packed: Option<PackedWeights>,
}

impl AttentionMemory {
    /// Return the sources of these rows of the batch, in this order. A row may occur several times, as in beam search.
    ///
    /// # Errors
    /// If a row is not below the batch.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let batch = self.outputs.dim(0)?;
        if let Some(row) = rows.iter().find(|&&row| row >= batch) {
            bail!("row {row} is not in a batch of {batch}");
        }
        let indices: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let indices = Tensor::new(indices, self.outputs.device())?;
        Ok(Self {
            outputs: self.outputs.contiguous()?.index_select(&indices, 0)?,
            keys: self.keys.contiguous()?.index_select(&indices, 0)?,
            lengths: self.lengths.as_ref().map(|lengths| rows.iter().map(|&row| lengths[row]).collect()),
            packed: self.packed.clone(),
        })
    }
}

/// The results of [`AttentionDecoder::step`](crate::AttentionDecoder::step).
#[derive(Clone, Debug)]
pub struct AttendedStep {
    /// The attentional state, (batch, hidden), which predicts the next token.
    pub y: Tensor,
    /// The attention weights, (batch, source).
    pub weights: Tensor,
    /// The state after the step.
    pub state: AttentionState,
}

/// The results of [`AttentionDecoder::run`](crate::AttentionDecoder::run).
#[derive(Clone, Debug)]
pub struct Attended {
    /// The attentional states, (batch, target, hidden).
    pub ys: Tensor,
    /// The attention weights, (batch, target, source), without a gradient.
    pub alignments: Tensor,
    /// The state after the last step, without a gradient.
    pub state: AttentionState,
}
