//! Text from a trained language model, one token at a time, in memory that does not grow with the text.
//!
//! | file | what it is |
//! |---|---|
//! | `sampling.rs` | how the next token is picked from its scores |
//! | `beam.rs` | the likeliest texts, by beam search |
//! | `writer.rs` | texts side by side, each with its own random numbers |
//! | `reader.rs` | the model, reading a token of each |
//! | `context.rs`, `recent.rs` | what it has read of a text |
//! | `transcript.rs`, `stop.rs` | tokens become text, cut at stop strings |
//! | `saved.rs` | a text that is gone on with another day |

mod beam;
mod best_first;
mod context;
mod reader;
mod recent;
mod sample;
mod sampling;
mod saved;
mod stop;
mod transcript;
mod writer;

use candle_core::Device;
use rnn_zoo_models::Network;
use serde::Serialize;

pub use beam::{BeamSearch, Hypothesis};
pub use context::Context;
pub use reader::Reader;
pub use recent::Recent;
pub use sample::sample;
pub use sampling::Sampling;
pub use saved::SavedText;
pub use stop::StopFilter;
pub use transcript::Transcript;
pub use writer::{Gain, Text, Writer};

use crate::hash::fnv1a;
use crate::rng::{self, Purpose, Rng};
use crate::{Error, Result};

/// How a text ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// It has as many tokens as were asked for.
    Length,
    /// The model wrote its end token.
    Eos,
    /// A stop string came.
    Stop,
}

/// A language model in the middle of a text.
pub struct Generator<'a> {
    reader: Reader<'a>,
    recent: Recent,
    banned: Vec<u32>,
}

impl<'a> Generator<'a> {
    /// Before the first token, having read `start` (`<eos>`, say: the end of whatever came before) and
    /// then the prompt, whatever its length. Tokens in `banned` will not be picked.
    ///
    /// # Errors
    /// Those of the device.
    pub fn new(
        network: &'a dyn Network,
        start: u32,
        prompt: &[u32],
        banned: Vec<u32>,
        device: &Device,
    ) -> Result<Self> {
        let mut context = Context::new(network, start)?;
        context.read(network, prompt, device)?;
        let mut reader = Reader::new(network, device)?;
        reader.begin(&context.state)?;
        reader.read(&[0], &[context.last])?;
        Ok(Self { reader, recent: context.recent, banned })
    }

    /// Picks the next token and reads it. `None` where all tokens are banned.
    ///
    /// # Errors
    /// Those of the device.
    pub fn next(&mut self, sampling: &Sampling, rng: &mut Rng) -> Result<Option<u32>> {
        let picked = sampling.pick(self.scores(), &self.recent, &self.banned, rng);
        if let Some(token) = picked {
            self.read(&[token])?;
        }
        Ok(picked)
    }

    /// Logits of the next token, one for each of the vocabulary.
    pub fn scores(&self) -> &[f32] {
        self.reader.scores(0)
    }

    /// Reads tokens that someone else picked.
    ///
    /// # Errors
    /// Those of the device.
    pub fn read(&mut self, tokens: &[u32]) -> Result<()> {
        for &token in tokens {
            self.recent.push(token);
            self.reader.read(&[0], &[token])?;
        }
        Ok(())
    }
}

/// The random numbers of a text: by the seed, the prompt, and which of the prompt's texts it is, and by nothing
/// else, so that it makes no difference to a text what is written beside it.
pub fn random_numbers(seed: u64, prompt: &str, sample: usize) -> Rng {
    // 32 bits of the prompt and 24 of the sample: as many as a stream's index may have.
    let index = (fnv1a(prompt.as_bytes()) << 24) ^ sample as u64;
    rng::stream(seed, Purpose::Sampling, index & ((1 << 56) - 1))
}

/// What is wrong where no token can come next.
fn nothing_to_write() -> Error {
    let problem = "the model leaves no token to write: its scores are no numbers, or its vocabulary is <unk> \
                   alone; train it anew";
    Error::Message(problem.into())
}

/// The logarithm of the sum of the exponentials of scores: what they lack to be log-probabilities.
fn log_sum_exp(scores: &[f32]) -> f64 {
    let highest = f64::from(scores.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b)));
    highest + scores.iter().map(|&score| (f64::from(score) - highest).exp()).sum::<f64>().ln()
}

/// The logarithm of a token's probability, in nats, by the softmax over its scores.
fn log_probability(scores: &[f32], token: u32) -> f64 {
    f64::from(scores[token as usize]) - log_sum_exp(scores)
}

#[cfg(test)]
mod fixture;
