//! Samples of text during training.

use candle_core::Device;
use rnn_zoo_models::Network;

use super::reader::Reader;
use super::recent::Recent;
use super::sampling::Sampling;
use crate::Result;
use crate::rng::Rng;
use crate::tokenizer::Tokenizer;

/// Samples `length` tokens of text at temperature 0.8. `start` is the token that the model reads first; `device` is
/// that of its parameters. The text is cut where no token can be picked because the scores are NaN.
///
/// # Errors
/// Errors from candle.
pub fn sample(
    network: &dyn Network,
    tokenizer: &Tokenizer,
    start: u32,
    length: usize,
    mut rng: Rng,
    device: &Device,
) -> Result<String> {
    let sampling = Sampling { temperature: 0.8, ..Sampling::default() };
    let banned: Vec<u32> = tokenizer.unknown().into_iter().collect();
    let (mut reader, mut tokens) = (Reader::new(network, device)?, vec![]);
    reader.append(&network.zero_state(1)?)?;
    while tokens.len() < length {
        reader.read(&[tokens.last().copied().unwrap_or(start)])?;
        let Some(token) = sampling.pick(reader.scores(0), &Recent::default(), &banned, &mut rng) else {
            break;
        };
        tokens.push(token);
    }
    Ok(tokenizer.decode(&tokens))
}
