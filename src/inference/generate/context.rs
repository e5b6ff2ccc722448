//! The context of a text: what the model has read of it.

use std::collections::VecDeque;

use candle_core::{Device, Tensor};
use rnn_zoo_models::{Network, State};

use super::recent::Recent;
use crate::Result;
use crate::inference::evaluate::WINDOW;

/// The state of a network after the tokens of a text, and the tokens that it has not read yet.
///
/// The last token is always unread: the network reads it when the next one is to be predicted.
#[derive(Clone, Debug)]
pub struct Context {
    /// The state after the tokens read, (layers, 1, hidden).
    pub(super) state: State,
    /// The next token to read.
    pub(super) last: u32,
    /// The tokens of the prompt after `last`.
    unread: VecDeque<u32>,
    /// The tokens of prompt and text.
    pub(super) recent: Recent,
}

impl Context {
    /// The context before the first token of a text. `start` stands for the end of whatever came before: `<eos>`,
    /// or a newline.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn new(network: &dyn Network, start: u32) -> Result<Self> {
        Ok(Self::restore(network.zero_state(1)?, start, Recent::default()))
    }

    /// The context of a text with `state` after all its tokens but `last`.
    pub(super) fn restore(state: State, last: u32, recent: Recent) -> Self {
        Self { state, last, unread: VecDeque::new(), recent }
    }

    /// Append the tokens of a prompt. [`Context::read_window`] reads them.
    pub fn extend(&mut self, prompt: &[u32]) {
        self.unread.extend(prompt);
        prompt.iter().for_each(|&token| self.recent.push(token));
    }

    /// The number of tokens that the next [`Context::read_window`] reads: 0 after the last window of the prompt,
    /// at most 256.
    pub fn window(&self) -> usize {
        self.unread.len().min(WINDOW)
    }

    /// Read one window of the prompt, without scores.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn read_window(&mut self, network: &dyn Network, device: &Device) -> Result<()> {
        let mut window: Vec<u32> = self.unread.drain(..self.window()).collect();
        let Some(next) = window.pop() else { return Ok(()) };
        window.insert(0, self.last);
        let inputs = Tensor::new(window, device)?.unsqueeze(0)?; // (1, time)
        self.state = network.encode(&inputs.into(), Some(&self.state), None)?.1.detach();
        self.last = next;
        Ok(())
    }

    /// Read the whole prompt.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn read(&mut self, network: &dyn Network, device: &Device) -> Result<()> {
        while self.window() > 0 {
            self.read_window(network, device)?;
        }
        Ok(())
    }
}
