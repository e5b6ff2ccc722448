//! Tokens with the model's most probable tokens in their place.

use crate::logits::log_sum_exp;
use crate::tokenizer::{Decoder, Tokenizer};

/// A token of a text.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// Its log-probability in nats, before the rules of sampling.
    pub logprob: f64,
    /// The texts of the most probable tokens in its place, and their log-probabilities.
    pub alternatives: Vec<(String, f64)>,
}

impl Token {
    /// A token with the `count` most probable tokens in its place. `decoder` has the text before it; `scores` are the
    /// logits of all tokens.
    pub(super) fn new(
        tokenizer: &Tokenizer,
        decoder: &Decoder<'_>,
        logprob: f64,
        scores: &[f32],
        count: usize,
    ) -> Self {
        Self { logprob, alternatives: alternatives(tokenizer, decoder, scores, count) }
    }
}

fn alternatives(
    tokenizer: &Tokenizer,
    decoder: &Decoder<'_>,
    scores: &[f32],
    count: usize,
) -> Vec<(String, f64)> {
    if count == 0 {
        return vec![];
    }
    let total = log_sum_exp(scores);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let by_score = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    if count < order.len() {
        order.select_nth_unstable_by(count, by_score);
        order.truncate(count);
    }
    order.sort_unstable_by(by_score);
    let mut found: Vec<(String, f64)> = vec![];
    for token in order {
        let mut text = added(tokenizer, decoder, token as u32);
        if found.iter().any(|(other, _)| *other == text) {
            text = spelling(tokenizer, token as u32);
        }
        found.push((text, f64::from(scores[token]) - total));
    }
    found
}

/// The text that a token would add, such as ` cat`; its spelling if it is the end token or a part of a character.
fn added(tokenizer: &Tokenizer, decoder: &Decoder<'_>, token: u32) -> String {
    let text = match Some(token) == tokenizer.end() {
        true => String::new(),
        false => decoder.clone().push(token),
    };
    match text.is_empty() || text.contains(char::REPLACEMENT_CHARACTER) {
        true => spelling(tokenizer, token),
        false => text,
    }
}

fn spelling(tokenizer: &Tokenizer, token: u32) -> String {
    tokenizer.token_text(token).unwrap_or_default().into_owned()
}
