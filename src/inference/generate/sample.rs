//! One text sample of a network in memory, without stop strings or a saved state.

use candle_core::Device;
use rnn_zoo_models::Network;

use super::reader::Reader;
use super::recent::Recent;
use super::sampling::Sampling;
use super::specials::Specials;
use crate::Result;
use crate::rng::Rng;
use crate::tokenizer::Tokenizer;

/// Sample `length` tokens of text at temperature 0.8. `records` tells whether the model is trained on records or on
/// running text; `device` is that of its parameters. The text ends early if no token can be picked because the scores
/// are NaN.
///
/// # Errors
/// Errors from candle.
pub fn sample(
    network: &dyn Network,
    tokenizer: &Tokenizer,
    records: bool,
    length: usize,
    mut rng: Rng,
    device: &Device,
) -> Result<String> {
    let sampling = Sampling { temperature: 0.8, ..Sampling::default() };
    let Specials { banned, .. } = Specials::of_tokenizer(tokenizer, records);
    let start = tokenizer.start(records);
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
