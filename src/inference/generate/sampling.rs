//! Sampling of the next token by its score.
//!
//! The rules apply in the order of Hugging Face's logits processors and warpers: repetition penalty, temperature,
//! top-k, top-p, min-p, typical-p. Each applies to the distribution that the rules before it leave.

use rand::RngExt;

use super::best_first::BestFirst;
use super::recent::Recent;
use crate::logits::first_highest;
use crate::rng::Rng;
use crate::{Error, Result};

/// Options of sampling.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Scores of tokens that occur in the text are divided by this if positive and multiplied if negative (Keskar
    /// et al. 2019, CTRL; the distinction of sign is Hugging Face's). 1 changes nothing.
    pub repetition_penalty: f64,
    /// Penalise only the last so many tokens of prompt and text; all by default.
    pub repetition_window: Option<usize>,
    /// Scores are divided by this. Below 1 the distribution becomes sharper, above 1 flatter; 0 always picks the most
    /// probable token.
    pub temperature: f64,
    /// Pick among this many most probable tokens (Fan et al. 2018).
    pub top_k: Option<usize>,
    /// Pick among the most probable tokens whose probabilities sum to this (nucleus sampling, Holtzman et al. 2019).
    pub top_p: Option<f64>,
    /// Pick among tokens whose probability is at least this fraction of the highest (Nguyen et al. 2024).
    pub min_p: Option<f64>,
    /// Pick among the tokens whose surprisal, -ln p, is nearest to the entropy and whose probabilities sum to this
    /// (locally typical sampling, Meister et al. 2022).
    pub typical_p: Option<f64>,
}

impl Default for Sampling {
    /// Sample from the model's own distribution.
    fn default() -> Self {
        Self {
            repetition_penalty: 1.,
            repetition_window: None,
            temperature: 1.,
            top_k: None,
            top_p: None,
            min_p: None,
            typical_p: None,
        }
    }
}

impl Sampling {
    /// Check the options.
    ///
    /// # Errors
    /// If the temperature is negative, the penalty not positive, `top_k` or the window zero, or a probability out of
    /// bounds; the error names the field.
    pub fn validate(&self) -> Result<()> {
        let (temperature, penalty) = (self.temperature, self.repetition_penalty);
        if !(temperature >= 0. && temperature.is_finite()) {
            let problem = format!("{temperature} is not a temperature; expected 0 (greedy) or more");
            return Err(Error::invalid("temperature", problem));
        }
        if !(penalty > 0. && penalty.is_finite()) {
            let problem = format!("{penalty} is not a penalty; expected above 0: 1 for none, often 1.2");
            return Err(Error::invalid("repetition_penalty", problem));
        }
        if self.repetition_window == Some(0) {
            let problem = "is 0; expected 1 or more tokens";
            return Err(Error::invalid("repetition_window", problem));
        }
        if self.top_k == Some(0) {
            return Err(Error::invalid("top_k", "0 leaves no token to pick; expected 1 or more"));
        }
        let improbable = |p: Option<f64>| {
            let p = p.filter(|p| !(*p > 0. && *p <= 1.))?;
            Some(format!("{p} is not a probability; expected above 0, at most 1"))
        };
        if let Some(problem) = improbable(self.top_p) {
            return Err(Error::invalid("top_p", problem));
        }
        if let Some(problem) = improbable(self.typical_p) {
            return Err(Error::invalid("typical_p", problem));
        }
        if let Some(p) = self.min_p.filter(|p| !(0. ..=1.).contains(p)) {
            let problem = format!("{p} is not a share of the likeliest; expected 0 to 1");
            return Err(Error::invalid("min_p", problem));
        }
        Ok(())
    }

    /// Pick a token by the scores (logits) of the vocabulary, but none of `banned`. `recent` has the tokens of the
    /// text. Returns `None` if no token is left. One random number is drawn for each token, whatever the rules, and
    /// none at temperature 0.
    pub fn pick(&self, scores: &[f32], recent: &Recent, banned: &[u32], rng: &mut Rng) -> Option<u32> {
        let (best, scores) = self.adjusted(scores, recent, banned)?;
        if self.temperature == 0. {
            return Some(best as u32);
        }
        draw(&self.weights(scores, best), rng).map(|token| token as u32)
    }

    /// The token with the highest score after penalty and ban, and the scores.
    fn adjusted(&self, scores: &[f32], recent: &Recent, banned: &[u32]) -> Option<(usize, Vec<f64>)> {
        let mut scores: Vec<f64> = scores.iter().map(|&score| f64::from(score)).collect();
        self.penalise(&mut scores, recent);
        for &token in banned {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = f64::NEG_INFINITY;
            }
        }
        Some((first_highest(&scores)?, scores))
    }

    fn penalise(&self, scores: &mut [f64], recent: &Recent) {
        if self.repetition_penalty == 1. {
            return;
        }
        for token in recent.within(self.repetition_window) {
            if let Some(score) = scores.get_mut(token) {
                let negative = *score < 0.;
                *score = if negative {
                    *score * self.repetition_penalty
                } else {
                    *score / self.repetition_penalty
                };
            }
        }
    }

    /// The unnormalised probability of each token: 1 for the most probable, 0 for those that a rule excludes.
    fn weights(&self, mut scores: Vec<f64>, best: usize) -> Vec<f64> {
        if let Some(k) = self.top_k.filter(|&k| k < scores.len()) {
            // Before the temperature, which keeps the order but may round two scores to the same value.
            keep_highest(&mut scores, k);
        }
        let highest = scores[best];
        for score in &mut scores {
            // The highest score may be infinite; a NaN has weight 0.
            let weight = if *score == highest { 1. } else { ((*score - highest) / self.temperature).exp() };
            *score = if weight.is_nan() { 0. } else { weight };
        }
        let mut weights = scores;
        if let Some(p) = self.top_p.filter(|&p| p < 1.) {
            keep_first(&mut weights, p, |weight| -weight);
        }
        if let Some(p) = self.min_p {
            weights.iter_mut().filter(|weight| **weight < p).for_each(|weight| *weight = 0.);
        }
        if let Some(p) = self.typical_p.filter(|&p| p < 1.) {
            let total: f64 = weights.iter().sum();
            // The logarithm of the ratio would be infinite for the smallest weights.
            let surprisal = |weight: f64| total.ln() - weight.ln();
            let entropy: f64 = positive(&weights).map(|(_, weight)| weight / total * surprisal(weight)).sum();
            keep_first(&mut weights, p, |weight| (surprisal(weight) - entropy).abs());
        }
        weights
    }
}

/// Ban all but the `k` highest scores. Of equal ones the first are kept.
fn keep_highest(scores: &mut [f64], k: usize) {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&token| !scores[token].is_nan()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k, |&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        order[k..].iter().for_each(|&token| scores[token] = f64::NEG_INFINITY);
    }
}

/// Set the weights to zero except those of the first tokens, by their key, that sum to a share of all weight. Of
/// equal ones the first are kept; at least one is.
fn keep_first(weights: &mut [f64], share: f64, key: impl Fn(f64) -> f64) {
    let target = share * weights.iter().sum::<f64>();
    let keyed: Vec<(f64, usize)> = positive(weights).map(|(token, weight)| (key(weight), token)).collect();
    let mut order = BestFirst::new(keyed, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut within = 0.;
    while within < target {
        let Some((_, token)) = order.next() else { return };
        within += weights[token];
    }
    order.rest().iter().for_each(|&(_, token)| weights[token] = 0.);
}

fn positive(weights: &[f64]) -> impl Iterator<Item = (usize, f64)> {
    weights.iter().copied().enumerate().filter(|&(_, weight)| weight > 0.)
}

/// Draw an index in proportion to the weights.
fn draw(weights: &[f64], rng: &mut Rng) -> Option<usize> {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (place, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0. {
            return Some(place);
        }
    }
    // Rounding may leave a remainder.
    weights.iter().rposition(|&weight| weight > 0.)
}

#[cfg(test)]
mod tests;
