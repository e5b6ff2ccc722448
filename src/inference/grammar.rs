//! Tests of a language model on a grammar, as Hochreiter and Schmidhuber (1997) tested their LSTM: on strings
//! that it was not trained on.

use std::collections::HashSet;

use candle_core::{DType, Tensor};
use serde::Serialize;

use crate::Result;
use crate::data::builtin::reber;
use crate::data::builtin::text::TRAINING_STRINGS;
use crate::inference::carry::Carried;
use crate::inference::model::Model;
use crate::logits::softmax;
use crate::rng::{self, Purpose};

/// Counts of correct predictions on a grammar's strings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Legality {
    /// Strings that were read.
    pub strings: usize,
    /// Strings with every step right.
    pub strings_right: usize,
    /// Number of target symbols.
    pub steps: usize,
    /// Steps at which the symbols with a probability above one over the number of symbols are exactly those
    /// that the grammar allows.
    pub steps_right: usize,
    /// Strings whose embedded symbol, the last but one, was predicted right: the step that needs memory.
    pub embedded_right: usize,
}

/// Read `count` different strings of the embedded Reber grammar, none of them in the training split of `seed`,
/// one after the other as in training, and compare the predictions after every prefix with the grammar.
/// Return `None` if the model's tokens are not the seven symbols and the line end.
///
/// # Errors
/// If the model reads no text, and errors from candle.
pub fn check_reber(model: &Model, seed: u64, count: usize) -> Result<Option<Legality>> {
    let tokenizer = model.tokenizer()?;
    let symbols: Option<Vec<u32>> =
        reber::SYMBOLS.iter().map(|symbol| tokenizer.id(&symbol.to_string())).collect();
    let (Some(newline), Some(symbols)) = (tokenizer.id("\n"), symbols) else { return Ok(None) };
    let id = |symbol: char| {
        let place = reber::SYMBOLS.iter().position(|&known| known == symbol);
        symbols[place.expect("invariant: strings are made of these symbols")]
    };
    let mut strings = unseen_strings(seed);
    let mut reader = PartReader { model, carried: Carried::default() };
    // The model was trained in the middle of a stream, so one string is read before those that count.
    let first = strings.next().unwrap_or_default();
    reader.read(std::iter::once(model.start_token()?).chain(first.chars().map(id)).collect())?;
    let mut legality = Legality::default();
    for string in strings.take(count) {
        let predictions = reader.read(std::iter::once(newline).chain(string.chars().map(id)).collect())?;
        legality.add(&string, &predictions, &symbols);
    }
    Ok(Some(legality))
}

/// Strings of the grammar that are neither in the training split of `seed` nor repeated: short strings are few.
fn unseen_strings(seed: u64) -> impl Iterator<Item = String> {
    let training = reber::strings(rng::stream(seed, Purpose::Train, 0)).take(TRAINING_STRINGS);
    let mut seen: HashSet<String> = training.collect();
    reber::strings(rng::stream(seed, Purpose::Test, 1)).filter(move |string| seen.insert(string.clone()))
}

impl Legality {
    /// Count one string. `predictions` has the scores (logits) before each of its symbols, by token.
    fn add(&mut self, string: &str, predictions: &[Vec<f32>], symbols: &[u32]) {
        let share = 1. / symbols.len() as f64;
        let length = string.chars().count();
        let mut right = 0;
        for (at, scores) in (0..length).zip(predictions) {
            let legal = reber::allowed(&string[..at]).unwrap_or_default();
            let probabilities = softmax(scores);
            let mut tokens = symbols.iter().zip(reber::SYMBOLS);
            let step_right = tokens
                .all(|(&token, symbol)| (probabilities[token as usize] > share) == legal.contains(&symbol));
            right += usize::from(step_right);
            self.embedded_right += usize::from(step_right && at + 2 == length);
        }
        self.strings += 1;
        self.strings_right += usize::from(right == length);
        self.steps += length;
        self.steps_right += right;
    }
}

/// Reads a text part by part.
struct PartReader<'a> {
    model: &'a Model,
    carried: Carried,
}

impl PartReader<'_> {
    /// Read tokens; returns the scores (logits) of the token after each of them.
    fn read(&mut self, tokens: Vec<u32>) -> Result<Vec<Vec<f32>>> {
        let Model { network, device, .. } = self.model;
        let input = Tensor::from_vec(tokens, (1, ()), device)?; // (1, time)
        let hidden = self.carried.read(network.as_ref(), &input)?;
        Ok(network.outputs(&hidden)?.squeeze(0)?.to_dtype(DType::F32)?.to_vec2()?)
    }
}
