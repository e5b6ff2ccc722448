//! A single sample of text.

use candle_core::Device;
use rnn_zoo_models::Network;

use super::context::Context;
use super::reader::Reader;
use super::sampling::Sampling;
use super::transcript::Transcript;
use super::writer::{Text, Writer};
use crate::Result;
use crate::rng::Rng;
use crate::tokenizer::Tokenizer;

/// The sampling temperature: below 1, so that the sample shows what the model has learned rather than its noise.
const TEMPERATURE: f64 = 0.8;

/// Writes a sample of `length` tokens after the token `start`, without unknown tokens.
///
/// # Errors
/// If the scores of the model leave no token to pick, and errors from candle.
pub fn sample(
    network: &dyn Network,
    tokenizer: &Tokenizer,
    start: u32,
    length: usize,
    rng: Rng,
    device: &Device,
) -> Result<String> {
    let writer = Writer {
        sampling: Sampling { temperature: TEMPERATURE, ..Sampling::default() },
        banned: tokenizer.unknown().into_iter().collect(),
        length,
        ..Writer::default()
    };
    let context = Context::new(network, start)?;
    let mut texts = [Text { context, rng, transcript: Transcript::new(tokenizer, &[]) }];
    let mut tokens = Vec::with_capacity(length);
    writer.write(&mut Reader::new(network, device)?, &mut texts, &mut |gain| {
        tokens.extend(gain.token);
        Ok(())
    })?;
    Ok(tokenizer.decode(&tokens))
}
