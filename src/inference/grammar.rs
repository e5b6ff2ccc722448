//! Whether a language model has understood a grammar: the test that Hochreiter and Schmidhuber (1997)
//! put to their LSTM, on strings it has never seen.

use std::collections::HashSet;

use serde::Serialize;

use crate::Result;
use crate::data::builtin::reber;
use crate::data::corpus::TRAINING_STRINGS;
use crate::inference::generate::Generator;
use crate::inference::model::Model;
use crate::rng::{self, Purpose};

/// A model's answers to a grammar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Legality {
    /// Strings that were read.
    pub strings: usize,
    /// Strings with every step right.
    pub strings_right: usize,
    /// Symbols that were to be predicted.
    pub steps: usize,
    /// Steps at which each legal next symbol, and no other, had more than its share of probability,
    /// which is one over the number of symbols.
    pub steps_right: usize,
    /// Strings whose embedded symbol, the last but one, was predicted right: the step that needs memory.
    pub embedded_right: usize,
}

/// Reads `count` different strings of the embedded Reber grammar, none of them in the training split of `seed`, one after the other as in training, and looks at the model's next symbol after every prefix. `None` for a model whose tokens are not the seven symbols and
/// the line end.
///
/// # Errors
/// Those of the device, and a model that reads no text.
pub fn check_reber(model: &Model, seed: u64, count: usize) -> Result<Option<Legality>> {
    let tokenizer = model.tokenizer()?;
    let symbols: Option<Vec<u32>> =
        reber::SYMBOLS.iter().map(|symbol| tokenizer.id(&symbol.to_string())).collect();
    let (Some(newline), Some(symbols)) = (tokenizer.id("\n"), symbols) else { return Ok(None) };
    let id = |symbol: char| {
        let place = reber::SYMBOLS.iter().position(|&own| own == symbol);
        symbols[place.expect("invariant: strings are made of these symbols")]
    };
    let share = 1. / symbols.len() as f64;
    // The grammar's short strings are few: what training has seen, or this test itself, does not count.
    let mut seen: HashSet<String> =
        reber::strings(rng::stream(seed, Purpose::Train, 0)).take(TRAINING_STRINGS).collect();
    let mut strings =
        reber::strings(rng::stream(seed, Purpose::Test, 1)).filter(|string| seen.insert(string.clone()));
    // One string that does not count, for the model was trained in the middle of a stream.
    let before: Vec<u32> = match strings.next() {
        Some(string) => string.chars().map(id).collect(),
        None => vec![],
    };
    let network = model.network.as_ref();
    let mut generator = Generator::new(network, model.start_token()?, &before, vec![], &model.device)?;
    let mut legality = Legality::default();
    for string in strings.take(count) {
        generator.read(&[newline])?;
        let mut right = 0;
        let length = string.chars().count();
        for (at, symbol) in string.char_indices() {
            let legal = reber::allowed(&string[..at]).unwrap_or_default();
            let probabilities = softmax(generator.scores());
            let step_right = symbols
                .iter()
                .zip(reber::SYMBOLS)
                .all(|(&token, symbol)| (probabilities[token as usize] > share) == legal.contains(&symbol));
            right += usize::from(step_right);
            legality.embedded_right += usize::from(step_right && at + 2 == length);
            generator.read(&[id(symbol)])?;
        }
        legality.strings += 1;
        legality.strings_right += usize::from(right == length);
        legality.steps += length;
        legality.steps_right += right;
    }
    Ok(Some(legality))
}

fn softmax(scores: &[f32]) -> Vec<f64> {
    let highest = scores.iter().fold(f32::NEG_INFINITY, |a, &b| a.max(b));
    let exponentials: Vec<f64> = scores.iter().map(|&score| f64::from(score - highest).exp()).collect();
    let total: f64 = exponentials.iter().sum();
    exponentials.iter().map(|e| e / total).collect()
}
