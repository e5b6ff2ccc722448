//! Batches of windows of running text.

use candle_core::{Device, Tensor};

use super::batch::{Batch, Targets};
use crate::Result;

/// A window of the same time steps of several texts: token `t` is the target at step `t` and the input one step later.
pub(crate) struct Windows {
    width: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    lengths: Vec<usize>,
}

impl Windows {
    /// A window of `width` time steps, without texts.
    pub(crate) fn of(width: usize) -> Self {
        Self { width, inputs: vec![], targets: vec![], lengths: vec![] }
    }

    /// Add `length` steps of a text. `start` is the token that is read before the first token of a text. It is `None`
    /// if the window begins later in the text; then the token before the window is read. `read` fills the span that it
    /// is given; its first argument is the number of tokens of the span that are before the window.
    pub(crate) fn push(
        &mut self,
        start: Option<u32>,
        length: usize,
        read: impl FnOnce(usize, &mut [u32]) -> Result<()>,
    ) -> Result<()> {
        let mut span = vec![0; self.width + 1]; // the token before the window, then the window
        if let Some(start) = start {
            span[0] = start;
        }
        if length > 0 {
            let before = usize::from(start.is_none());
            read(before, &mut span[1 - before..=length])?;
        }
        self.inputs.extend_from_slice(&span[..self.width]);
        self.targets.extend_from_slice(&span[1..]);
        self.lengths.push(length);
        Ok(())
    }

    /// The batch of all texts. `fresh` tells whether the state starts at zero.
    pub(crate) fn batch(self, fresh: bool, device: &Device) -> Result<Batch> {
        let shape = (self.lengths.len(), self.width);
        Ok(Batch {
            inputs: Tensor::from_vec(self.inputs, shape, device)?.into(),
            targets: Targets::Classes(Tensor::from_vec(self.targets, shape, device)?),
            lengths: self.lengths.iter().any(|&length| length < self.width).then_some(self.lengths),
            fresh,
        })
    }
}
