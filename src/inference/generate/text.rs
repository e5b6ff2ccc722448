//! A text that a model writes, and its options.

use rnn_zoo_models::Network;

use super::context::Context;
use super::sampling::Sampling;
use super::transcript::Transcript;
use crate::Result;
use crate::hash::fnv1a;
use crate::rng::{self, Purpose, Rng};
use crate::tokenizer::{Prompt, Tokenizer};

/// A text: everything that its continuation depends on.
#[derive(Clone, Debug)]
pub struct Text<'t> {
    /// The part that the model has read.
    pub context: Context,
    /// The source of its random numbers.
    pub rng: Rng,
    /// The decoder of its tokens and the search for its stop strings.
    pub transcript: Transcript<'t>,
}

impl<'t> Text<'t> {
    /// An empty text, which ends before any of `stops`. `start` is the token that the model reads first.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn new(
        network: &dyn Network,
        tokenizer: &'t Tokenizer,
        start: u32,
        stops: &[String],
        rng: Rng,
    ) -> Result<Self> {
        let context = Context::new(network, start)?;
        Ok(Self { context, rng, transcript: Transcript::new(tokenizer, stops) })
    }

    /// Append a prompt, `text` as typed and its tokens. Returns the text to show for it, after what was held
    /// back before.
    pub fn prompt(&mut self, text: &str, prompt: &Prompt) -> String {
        self.context.extend(&prompt.ids);
        self.transcript.prompt(text, prompt)
    }
}

/// Options of writing a text.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TextOptions {
    /// The rules that pick tokens.
    pub sampling: Sampling,
    /// Tokens that are never picked.
    pub banned: Vec<u32>,
    /// The greatest number of tokens, not counting the prompt's.
    pub length: usize,
    /// The token that ends the text.
    pub end: Option<u32>,
    /// Whether events have log-probabilities.
    pub logprobs: bool,
    /// Whether the text can be continued after its end: the session keeps it until it
    /// [leaves](super::Session::leave), and what the transcript holds back is kept, not shown.
    pub resumable: bool,
}

/// The random numbers of text number `sample` of a prompt. They depend on nothing else, so a text is the same
/// whatever is written beside it.
pub fn text_rng(seed: u64, prompt: &str, sample: usize) -> Rng {
    // The index of a stream has 56 bits: 32 of the prompt's hash and 24 of the sample.
    let index = (fnv1a(prompt.as_bytes()) << 24) ^ sample as u64;
    rng::stream(seed, Purpose::Sampling, index & ((1 << 56) - 1))
}
