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

    /// Append the tokens of a prompt. [`Context::read_windows`] reads them.
    pub fn extend(&mut self, prompt: &[u32]) {
        self.unread.extend(prompt);
        prompt.iter().for_each(|&token| self.recent.push(token));
    }

    /// The number of tokens that the next [`Context::read_windows`] reads: 0 after the last window of the prompt,
    /// at most 256.
    pub fn window(&self) -> usize {
        self.unread.len().min(WINDOW)
    }

    /// Read one window of the prompt of each of several texts side by side, without scores. Texts whose prompt has been
    /// read stay as they are.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn read_windows<'c>(
        contexts: impl IntoIterator<Item = &'c mut Self>,
        network: &dyn Network,
        device: &Device,
    ) -> Result<()> {
        let mut contexts: Vec<_> = contexts.into_iter().filter(|context| context.window() > 0).collect();
        let windows: Vec<Vec<u32>> = contexts.iter_mut().map(|context| context.take_window()).collect();
        let lengths: Vec<usize> = windows.iter().map(Vec::len).collect();
        let Some(&longest) = lengths.iter().max() else { return Ok(()) };
        let padding = |window: &Vec<u32>| std::iter::repeat_n(0, longest - window.len());
        let inputs = windows.iter().flat_map(|window| window.iter().copied().chain(padding(window)));
        let inputs = Tensor::from_iter(inputs, device)?.reshape((windows.len(), longest))?; // (texts, time)
        let states: Vec<State> = contexts.iter().map(|context| context.state.clone()).collect();
        let lengths = lengths.iter().any(|&length| length < longest).then_some(&lengths[..]);
        let (_, after) = network.encode(&inputs.into(), Some(&State::join(&states)?), lengths)?;
        for (row, context) in contexts.into_iter().enumerate() {
            context.state = after.select(&[row])?.detach();
        }
        Ok(())
    }

    /// Take the next window from the prompt: `last` and the tokens after it but one, which is the new `last`.
    fn take_window(&mut self) -> Vec<u32> {
        let window: Vec<u32> = self.unread.drain(..self.window()).collect();
        let read = [self.last].into_iter().chain(window.iter().copied()).take(window.len()).collect();
        self.last = window.last().copied().unwrap_or(self.last);
        read
    }

    /// Read the whole prompt.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn read(&mut self, network: &dyn Network, device: &Device) -> Result<()> {
        while self.window() > 0 {
            Self::read_windows([&mut *self], network, device)?;
        }
        Ok(())
    }
}
