//! Where a text stands before the model goes on with it.

use candle_core::{Device, Tensor};
use rnn_zoo_models::{Network, State};

use super::recent::Recent;
use crate::Result;
use crate::inference::evaluate::WINDOW;

/// What a model has read of a text, and the one token that it is yet to read.
#[derive(Clone, Debug)]
pub struct Context {
    /// After all tokens but the last, (layers, 1, hidden).
    pub(super) state: State,
    pub(super) last: u32,
    /// The tokens of prompt and text.
    pub(super) recent: Recent,
}

impl Context {
    /// Before the first token, after `start`: `<eos>`, say, the end of whatever came before.
    ///
    /// # Errors
    /// Those of the device.
    pub fn new(network: &dyn Network, start: u32) -> Result<Self> {
        Ok(Self { state: network.zero_state(1)?, last: start, recent: Recent::default() })
    }

    /// Reads a prompt, whatever its length; its last token waits until something is asked of it.
    ///
    /// # Errors
    /// Those of the device.
    pub fn read(&mut self, network: &dyn Network, prompt: &[u32], device: &Device) -> Result<()> {
        let Some((&last, rest)) = prompt.split_last() else { return Ok(()) };
        // Many at a time, without scores that nobody asks for.
        for window in [&[self.last], rest].concat().chunks(WINDOW) {
            let inputs = Tensor::new(window, device)?.unsqueeze(0)?; // (1, time)
            self.state = network.encode(&inputs, Some(&self.state), None)?.1.detach();
        }
        self.last = last;
        prompt.iter().for_each(|&token| self.recent.push(token));
        Ok(())
    }
}
