//! How the next token is picked from its scores.
//!
//! The rules apply in the order of Hugging Face's logits processors and warpers: repetition penalty, temperature,
//! top-k, top-p, min-p, typical-p. Each looks at the distribution that those before it have left.

use rand::RngExt;

use super::best_first::BestFirst;
use super::recent::Recent;
use crate::rng::Rng;
use crate::{Error, Result};

/// How the next token is picked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Scores of tokens that have been in the text are divided by this where positive, multiplied where negative
    /// (Keskar et al. 2019, CTRL; the sign is Hugging Face's care); 1 leaves them.
    pub repetition_penalty: f64,
    /// Penalise only tokens among this many newest of prompt and text; all by default.
    pub repetition_window: Option<usize>,
    /// Scores are divided by this: below 1 the likely becomes likelier, above 1 less so; 0 always takes the
    /// likeliest.
    pub temperature: f64,
    /// Pick among this many likeliest tokens only (Fan et al. 2018).
    pub top_k: Option<usize>,
    /// Pick among the likeliest tokens that together hold this much probability (Holtzman et al. 2019).
    pub top_p: Option<f64>,
    /// Pick among tokens at least this much as likely as the likeliest (Nguyen et al. 2024).
    pub min_p: Option<f64>,
    /// Pick among the tokens whose surprise, -ln p, is nearest to the entropy and that together hold this much
    /// probability (locally typical sampling, Meister et al. 2022).
    pub typical_p: Option<f64>,
}

impl Default for Sampling {
    /// From the model's own distribution.
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
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the field: a negative temperature, a penalty that is not positive, a `top_k` or window of zero, a
    /// probability outside its bounds.
    pub fn validate(&self) -> Result<()> {
        let (temperature, penalty) = (self.temperature, self.repetition_penalty);
        if !(temperature >= 0. && temperature.is_finite()) {
            let problem = format!("{temperature} is no temperature; expected 0 (greedy) or more");
            return Err(Error::invalid("temperature", problem));
        }
        if !(penalty > 0. && penalty.is_finite()) {
            let problem =
                format!("{penalty} is no penalty; expected above 0: 1 for none, 1.2 for a usual one");
            return Err(Error::invalid("repetition_penalty", problem));
        }
        if self.repetition_window == Some(0) {
            let problem = "0 tokens repeat nothing; expected 1 or more";
            return Err(Error::invalid("repetition_window", problem));
        }
        if self.top_k == Some(0) {
            return Err(Error::invalid("top_k", "0 leaves no token to pick; expected 1 or more"));
        }
        let improbable = |p: Option<f64>| {
            let p = p.filter(|p| !(*p > 0. && *p <= 1.))?;
            Some(format!("{p} is no probability; expected above 0, at most 1"))
        };
        if let Some(problem) = improbable(self.top_p) {
            return Err(Error::invalid("top_p", problem));
        }
        if let Some(problem) = improbable(self.typical_p) {
            return Err(Error::invalid("typical_p", problem));
        }
        if let Some(p) = self.min_p.filter(|p| !(0. ..=1.).contains(p)) {
            let problem = format!("{p} is no share of the likeliest; expected 0 to 1");
            return Err(Error::invalid("min_p", problem));
        }
        Ok(())
    }

    /// Picks a token by its score (a logit), one for each of the vocabulary; never one of `banned`. `recent` is
    /// what the text has had. `None` where nothing is left. One number is drawn for a token, whatever the rules,
    /// but none where the likeliest is taken.
    pub fn pick(&self, scores: &[f32], recent: &Recent, banned: &[u32], rng: &mut Rng) -> Option<u32> {
        let (likeliest, scores) = self.adjusted(scores, recent, banned)?;
        if self.temperature == 0. {
            return Some(likeliest as u32);
        }
        draw(&self.weights(scores, likeliest), rng).map(|token| token as u32)
    }

    /// The scores after penalty and ban, and the place of the highest.
    fn adjusted(&self, scores: &[f32], recent: &Recent, banned: &[u32]) -> Option<(usize, Vec<f64>)> {
        let mut scores: Vec<f64> = scores.iter().map(|&score| f64::from(score)).collect();
        self.penalise(&mut scores, recent);
        for &token in banned {
            if let Some(score) = scores.get_mut(token as usize) {
                *score = f64::NEG_INFINITY;
            }
        }
        Some((likeliest(&scores)?, scores))
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

    /// What each token weighs, the likeliest one 1; 0 for those that a rule leaves out.
    fn weights(&self, mut scores: Vec<f64>, likeliest: usize) -> Vec<f64> {
        if let Some(k) = self.top_k.filter(|&k| k < scores.len()) {
            // Before the temperature, which changes no order but may make two scores one.
            keep_highest(&mut scores, k);
        }
        let highest = scores[likeliest];
        for score in &mut scores {
            // The likeliest need not be finite; what is no number weighs nothing.
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
            // Not of their ratio, which is infinite where a weight is next to nothing.
            let surprise = |weight: f64| total.ln() - weight.ln();
            let entropy: f64 = positive(&weights).map(|(_, weight)| weight / total * surprise(weight)).sum();
            keep_first(&mut weights, p, |weight| (surprise(weight) - entropy).abs());
        }
        weights
    }
}

/// The place of the highest score, the first of several; none where no score is a number above minus infinity.
fn likeliest(scores: &[f64]) -> Option<usize> {
    let mut best = (None, f64::NEG_INFINITY);
    for (token, &score) in scores.iter().enumerate() {
        if score > best.1 {
            best = (Some(token), score);
        }
    }
    best.0
}

/// Bans all but the `k` highest scores; of equal ones the first stay.
fn keep_highest(scores: &mut [f64], k: usize) {
    let mut order: Vec<usize> = (0..scores.len()).filter(|&token| !scores[token].is_nan()).collect();
    if k < order.len() {
        order.select_nth_unstable_by(k, |&a, &b| scores[b].total_cmp(&scores[a]).then(a.cmp(&b)));
        order[k..].iter().for_each(|&token| scores[token] = f64::NEG_INFINITY);
    }
}

/// Lets go of all but the first tokens, by their key, that hold a share of the weight; of equal ones the first
/// stay. At least one does.
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

/// A place, drawn by weight.
fn draw(weights: &[f64], rng: &mut Rng) -> Option<usize> {
    let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
    for (place, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0. {
            return Some(place);
        }
    }
    // Rounding may leave a crumb.
    weights.iter().rposition(|&weight| weight > 0.)
}

#[cfg(test)]
mod tests;
