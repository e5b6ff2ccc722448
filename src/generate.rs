//! Text from a trained language model, one token at a time, in memory that does not grow with the text.

use candle_core::{DType, Device, Tensor};
use rand::RngExt;
use rnn_zoo_models::{Network, State, TokenStream};

use crate::rng::Rng;
use crate::{Error, Result};

/// Tokens of a prompt that are read at a time: bounds the memory of a long one.
const WINDOW: usize = 256;

/// How the next token is picked from its scores.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// Below 1 the likely becomes likelier, above 1 less so; 0 always takes the likeliest.
    pub temperature: f64,
    /// Pick among this many likeliest tokens only.
    pub top_k: Option<usize>,
    /// Pick among the likeliest tokens that together hold this much probability (Holtzman et al. 2019).
    pub top_p: Option<f64>,
}

impl Default for Sampling {
    /// From the model's own distribution.
    fn default() -> Self {
        Self { temperature: 1., top_k: None, top_p: None }
    }
}

impl Sampling {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the flag: a negative temperature, a `top_k` of zero, a `top_p` outside (0, 1].
    pub fn validate(&self) -> Result<()> {
        if !(self.temperature >= 0. && self.temperature.is_finite()) {
            let problem = format!("{} is no temperature; expected 0 (greedy) or more", self.temperature);
            return Err(Error::usage("--temperature", problem));
        }
        if self.top_k == Some(0) {
            return Err(Error::usage("--top-k", "0 leaves no token to pick; expected 1 or more"));
        }
        match self.top_p {
            Some(p) if !(p > 0. && p <= 1.) => {
                Err(Error::usage("--top-p", format!("{p} is no probability; expected above 0, at most 1")))
            }
            _ => Ok(()),
        }
    }

    /// Picks a token by its score (a logit); never one of `banned`. `None` where nothing is left.
    pub fn pick(&self, scores: &[f32], banned: &[u32], rng: &mut Rng) -> Option<u32> {
        let mut order: Vec<u32> = (0..scores.len() as u32).filter(|token| !banned.contains(token)).collect();
        let score = |token: u32| f64::from(scores[token as usize]);
        // Likeliest first, ties by number, so that equal scores give equal text everywhere.
        let by_score = |a: &u32, b: &u32| score(*b).total_cmp(&score(*a)).then(a.cmp(b));
        let keep = if self.temperature == 0. { 1 } else { self.top_k.unwrap_or(order.len()) };
        if keep < order.len() {
            order.select_nth_unstable_by(keep, by_score);
            order.truncate(keep);
        }
        order.sort_unstable_by(by_score);
        let highest = score(*order.first()?);
        if self.temperature == 0. {
            return order.first().copied();
        }
        let mut weights: Vec<f64> =
            order.iter().map(|&token| ((score(token) - highest) / self.temperature).exp()).collect();
        if let Some(p) = self.top_p {
            let total: f64 = weights.iter().sum();
            let mut within = 0.;
            let kept = weights.iter().take_while(|&&weight| {
                let more = within < p * total;
                within += weight;
                more
            });
            let kept = kept.count();
            weights.truncate(kept);
        }
        let mut left = rng.random::<f64>() * weights.iter().sum::<f64>();
        let at = weights.iter().position(|weight| {
            left -= weight;
            left < 0.
        });
        order.get(at.unwrap_or(weights.len() - 1)).copied()
    }
}

/// A language model in the middle of a text.
pub struct Generator<'a> {
    reader: Reader<'a>,
    /// Logits of the next token.
    scores: Vec<f32>,
    banned: Vec<u32>,
}

/// How the model reads.
enum Reader<'a> {
    /// Token by token, with all that can be prepared.
    Stream(TokenStream),
    /// Through tensors, where there is no stream.
    Tensors { network: &'a dyn Network, device: Device, state: State },
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
        let (last, before) = match prompt.split_last() {
            Some((&last, rest)) => (last, [&[start], rest].concat()),
            None => (start, vec![]),
        };
        // All but the last token many at a time, without scores that nobody asks for.
        let mut state = network.zero_state(1)?;
        for window in before.chunks(WINDOW) {
            let inputs = Tensor::new(window, device)?.unsqueeze(0)?; // (1, time)
            state = network.encode(&inputs, Some(&state), None)?.1.detach();
        }
        let reader = match network.stream()? {
            Some(mut stream) => {
                stream.set_state(&state)?;
                Reader::Stream(stream)
            }
            None => Reader::Tensors { network, device: device.clone(), state },
        };
        let mut generator = Self { reader, scores: vec![], banned };
        generator.read(&[last])?;
        Ok(generator)
    }

    /// Picks the next token and reads it. `None` where all tokens are banned.
    ///
    /// # Errors
    /// Those of the device.
    pub fn next(&mut self, sampling: &Sampling, rng: &mut Rng) -> Result<Option<u32>> {
        let Some(token) = sampling.pick(&self.scores, &self.banned, rng) else { return Ok(None) };
        self.read(&[token])?;
        Ok(Some(token))
    }

    /// Logits of the next token, one for each of the vocabulary.
    pub fn scores(&self) -> &[f32] {
        &self.scores
    }

    /// Reads tokens that someone else picked; at least one.
    ///
    /// # Errors
    /// Those of the device.
    pub fn read(&mut self, tokens: &[u32]) -> Result<()> {
        match &mut self.reader {
            Reader::Stream(stream) => {
                for (at, &token) in tokens.iter().enumerate() {
                    let scores = stream.read(token)?;
                    if at + 1 == tokens.len() {
                        self.scores.clear();
                        self.scores.extend_from_slice(scores);
                    }
                }
            }
            Reader::Tensors { network, device, state } => {
                let inputs = Tensor::new(tokens, device)?.unsqueeze(0)?; // (1, time)
                let (hidden, after) = network.encode(&inputs, Some(state), None)?;
                // Detached: with parameters in training the graph would grow with every token.
                *state = after.detach();
                let last = hidden.detach().narrow(1, tokens.len() - 1, 1)?.squeeze(1)?; // (1, hidden)
                self.scores = network.decode(&last)?.squeeze(0)?.to_dtype(DType::F32)?.to_vec1()?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Purpose, stream};

    const SCORES: [f32; 4] = [1., 3., 2., f32::NEG_INFINITY];

    fn shares(sampling: Sampling, banned: &[u32]) -> [f64; 4] {
        let mut rng = stream(1, Purpose::Sampling, 0);
        let mut counts = [0.; 4];
        for _ in 0..20_000 {
            counts[sampling.pick(&SCORES, banned, &mut rng).unwrap() as usize] += 1. / 20_000.;
        }
        counts
    }

    fn softmax(temperature: f64, tokens: &[usize]) -> [f64; 4] {
        let mut shares = [0.; 4];
        for &token in tokens {
            shares[token] = (f64::from(SCORES[token]) / temperature).exp();
        }
        let total: f64 = shares.iter().sum();
        shares.map(|share| share / total)
    }

    #[test]
    fn tokens_come_in_the_shares_that_the_rules_leave() {
        let plain = Sampling::default();
        let cases = [
            (plain, vec![], softmax(1., &[0, 1, 2])),
            (Sampling { temperature: 0.5, ..plain }, vec![], softmax(0.5, &[0, 1, 2])),
            (Sampling { top_k: Some(2), ..plain }, vec![], softmax(1., &[1, 2])),
            // 0.665 + 0.245 reaches 0.9, so the third is left out; 0.665 alone reaches 0.6.
            (Sampling { top_p: Some(0.9), ..plain }, vec![], softmax(1., &[1, 2])),
            (Sampling { top_p: Some(0.6), ..plain }, vec![], [0., 1., 0., 0.]),
            (Sampling { temperature: 0., ..plain }, vec![], [0., 1., 0., 0.]),
            (plain, vec![1], softmax(1., &[0, 2])),
        ];
        for (sampling, banned, expected) in cases {
            let found = shares(sampling, &banned);
            let far = found.iter().zip(expected).any(|(a, b)| (a - b).abs() > 0.015);
            assert!(!far, "{sampling:?} without {banned:?}: {found:?}, expected {expected:?}");
        }
    }

    #[test]
    fn nothing_is_picked_where_all_is_banned() {
        let mut rng = stream(1, Purpose::Sampling, 0);
        assert_eq!(Sampling::default().pick(&SCORES, &[0, 1, 2, 3], &mut rng), None);
    }

    #[test]
    fn senseless_settings_name_their_flag() {
        let plain = Sampling::default();
        for (sampling, flag) in [
            (Sampling { temperature: -1., ..plain }, "--temperature"),
            (Sampling { temperature: f64::NAN, ..plain }, "--temperature"),
            (Sampling { top_k: Some(0), ..plain }, "--top-k"),
            (Sampling { top_p: Some(0.), ..plain }, "--top-p"),
            (Sampling { top_p: Some(1.5), ..plain }, "--top-p"),
        ] {
            assert!(sampling.validate().unwrap_err().to_string().starts_with(flag));
        }
    }
}
