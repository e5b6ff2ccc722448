//! Tokens with what the model expected in their place.

use crate::Result;
use crate::inference::Model;
use crate::logits::log_sum_exp;

/// A token of a text.
#[derive(Clone, Debug)]
pub(super) struct Token {
    /// The token, for people to read.
    pub text: String,
    /// Its log-probability in nats, before the rules of sampling.
    pub logprob: f64,
    /// The most probable tokens in its place and their log-probabilities.
    pub alternatives: Vec<(String, f64)>,
}

impl Token {
    /// A token of `model` with the `count` most probable tokens in its place; `scores` are the logits of all.
    ///
    /// # Errors
    /// If the model has no tokenizer.
    pub(super) fn new(model: &Model, token: u32, logprob: f64, scores: &[f32], count: usize) -> Result<Self> {
        let text = shown(model, token)?;
        Ok(Self { text, logprob, alternatives: alternatives(model, scores, count)? })
    }
}

fn shown(model: &Model, token: u32) -> Result<String> {
    Ok(model.tokenizer()?.token_text(token).unwrap_or_default().into_owned())
}

fn alternatives(model: &Model, scores: &[f32], count: usize) -> Result<Vec<(String, f64)>> {
    if count == 0 {
        return Ok(vec![]);
    }
    let total = log_sum_exp(scores);
    let mut order: Vec<usize> = (0..scores.len()).collect();
    let by_score = |a: &usize, b: &usize| scores[*b].total_cmp(&scores[*a]).then(a.cmp(b));
    if count < order.len() {
        order.select_nth_unstable_by(count, by_score);
        order.truncate(count);
    }
    order.sort_unstable_by(by_score);
    order
        .into_iter()
        .map(|token| Ok((shown(model, token as u32)?, f64::from(scores[token]) - total)))
        .collect()
}
