//! The continuous cache: a language model that raises the probability of recent tokens.
//!
//! Grave et al. 2017, "Improving Neural Language Models with a Continuous Cache". The cache holds the last N
//! hidden states and the token that followed each. A token is more likely, the more similar its state is to the
//! current one.
//!
//! ```text
//! p_cache(w) ~ sum of exp(theta h_t . h_i) over the last N steps i before t that w followed
//! p(w) = (1 - lambda) p_model(w) + lambda p_cache(w)
//! ```
//!
//! The method has no parameters to train; its cost is one matrix product of hidden states.

use std::ops::Range;
use std::time::Instant;

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::Network;

use super::plain::WINDOW;
use super::scores::EvaluationResult;
use crate::data::batch::Targets;
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::inference::carry::Carried;
use crate::tasks::Measured;
use crate::training::loss::{self, LossSum};
use crate::{Error, Result};

/// The approximate number of similarities in memory at once.
const SIMILARITIES: usize = 1 << 21;

/// Settings of the cache.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cache {
    /// The number of past steps in the cache; at least 1.
    pub window: usize,
    /// The weight of similarity; with 0 all steps have the same weight.
    pub theta: f64,
    /// The weight of the cache in the mixture, at least 0 and below 1.
    pub lambda: f64,
}

impl Cache {
    /// A memory of 500 tokens with a share of 0.15 of the mixture.
    pub const DEFAULT: Self = Self { window: 500, theta: 0.5, lambda: 0.15 };

    /// Score every token of a stream once, in one row, each from the tokens before it. The first token has the
    /// probability that the network gives it, because the cache is empty. The accuracy is not computed.
    ///
    /// # Errors
    /// If the data is not a stream of tokens or cannot be read, a setting is out of range, or the loss is NaN or
    /// infinite, and errors from candle.
    pub fn evaluate(
        &self,
        network: &dyn Network,
        data: &Dataset,
        device: &Device,
    ) -> Result<EvaluationResult> {
        let began = Instant::now();
        let mut total = LossSum::default();
        self.read(network, data, device, &mut |losses| {
            total.loss += losses.iter().sum::<f64>();
            total.count += losses.len();
        })?;
        EvaluationResult::new(Measured::of_nats(&total), began).finite()
    }

    /// Pass the loss of every token to `found`, window by window.
    fn read(
        &self,
        network: &dyn Network,
        data: &Dataset,
        device: &Device,
        found: &mut dyn FnMut(&[f64]),
    ) -> Result<()> {
        self.check(data)?;
        let epoch = data.epoch(Cut { batch_size: 1, window: WINDOW, trim: false, vary: false }, None)?;
        let mut carried = Carried::default();
        let mut past = Past::new(self.window.min(data.len()) + WINDOW);
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, device)?;
            let hidden = carried.encode(network, &batch)?;
            let losses = loss::each(network, &hidden, &batch)?;
            let Targets::Classes(targets) = &batch.targets else { return Err(no_stream()) };
            let present = hidden.detach().squeeze(0)?; // (time, hidden)
            past.append(&present, &targets.flatten_all()?.to_vec1()?)?;
            found(&self.mix(&present, &losses, &past)?);
        }
        Ok(())
    }

    fn check(&self, data: &Dataset) -> Result<()> {
        let Self { window, theta, lambda } = *self;
        if matches!(data, Dataset::Examples(_)) {
            return Err(no_stream());
        }
        if window == 0 {
            return Err(Error::invalid("cache", "is 0; expected at least one step to remember"));
        }
        if !(theta >= 0. && theta.is_finite()) {
            return Err(Error::invalid(
                "cache.theta",
                format!("is {theta}; expected a number of at least 0"),
            ));
        }
        if !(0. ..1.).contains(&lambda) {
            let problem = format!("is {lambda}; expected a share of at least 0 and below 1");
            return Err(Error::invalid("cache.lambda", problem));
        }
        Ok(())
    }

    /// The losses of the newest steps under the mixture. `present` (time, hidden) are their states and `losses`
    /// their losses without a cache. They are the last steps of `past`; each uses the steps before it.
    fn mix(&self, present: &Tensor, losses: &[f64], past: &Past) -> Result<Vec<f64>> {
        let before = past.count - losses.len();
        let states = past.states()?.t()?; // (hidden, steps)
        let rows_at_once = (SIMILARITIES / states.dim(1)?).max(1);
        let mut mixed = Vec::with_capacity(losses.len());
        for from in (0..losses.len()).step_by(rows_at_once) {
            let rows = present.narrow(0, from, rows_at_once.min(losses.len() - from))?;
            let similarities = rows.matmul(&states)?.to_dtype(DType::F64)?.to_vec2::<f64>()?; // (rows, steps)
            for (row, similarities) in (from..).zip(&similarities) {
                let now = before + row;
                let then = now.saturating_sub(self.window)..now;
                if then.is_empty() {
                    mixed.push(losses[row]);
                    continue;
                }
                let memory = past.rows_of(then).map(|rows| (&similarities[rows.clone()], &past.next[rows]));
                let share = log_share(memory, self.theta, past.next[now % past.next.len()]);
                mixed.push(-log_sum((1. - self.lambda).ln() - losses[row], self.lambda.ln() + share));
            }
        }
        Ok(mixed)
    }
}

/// The last hidden states and the token that followed each: a ring buffer, so that no state is ever moved. Step `n`,
/// counted from the beginning of the text, lies in row `n % rows`.
struct Past {
    /// (rows, hidden); `None` before the first step.
    ring: Option<Tensor>,
    /// The token that followed, by row.
    next: Vec<u32>,
    /// The number of steps so far.
    count: usize,
}

impl Past {
    /// A buffer of the last `rows` steps, which is empty.
    fn new(rows: usize) -> Self {
        Self { ring: None, next: vec![0; rows], count: 0 }
    }

    /// The states in the order of the rows, (steps, hidden).
    fn states(&self) -> Result<Tensor> {
        let ring = self.ring.as_ref().ok_or_else(|| Error::Message("the cache is empty".into()))?;
        Ok(ring.narrow(0, 0, self.count.min(self.next.len()))?)
    }

    /// The rows of a range of steps, oldest first: those up to the end of the buffer, and those from its beginning.
    fn rows_of(&self, steps: Range<usize>) -> [Range<usize>; 2] {
        let start = steps.start % self.next.len();
        let first = steps.len().min(self.next.len() - start);
        [start..start + first, 0..steps.len() - first]
    }

    /// Add `states`, (steps, hidden), and the tokens that followed them, in place of the oldest steps. There are at
    /// most as many as rows.
    fn append(&mut self, states: &Tensor, next: &[u32]) -> Result<()> {
        let (added, hidden) = states.dims2()?;
        let states = states.contiguous()?;
        let ring = match self.ring.take() {
            Some(ring) => ring,
            None => Tensor::zeros((self.next.len(), hidden), states.dtype(), states.device())?,
        };
        let mut taken = 0;
        for rows in self.rows_of(self.count..self.count + added).into_iter().filter(|rows| !rows.is_empty()) {
            ring.slice_set(&states.narrow(0, taken, rows.len())?.contiguous()?, 0, rows.start)?;
            self.next[rows.clone()].copy_from_slice(&next[taken..taken + rows.len()]);
            taken += rows.len();
        }
        self.ring = Some(ring);
        self.count += added;
        Ok(())
    }
}

/// The log of the softmax of `theta * similarities`, summed over the steps that `target` followed; -inf if there are
/// none. `memory` has the similarities of consecutive steps and the tokens that followed them.
fn log_share(memory: [(&[f64], &[u32]); 2], theta: f64, target: u32) -> f64 {
    let highest =
        memory.iter().flat_map(|(similarities, _)| *similarities).copied().fold(f64::NEG_INFINITY, f64::max);
    let (mut total, mut matching) = (0., 0.);
    for (similarity, &token) in memory.iter().flat_map(|(similarities, next)| similarities.iter().zip(*next))
    {
        let share = (theta * (similarity - highest)).exp();
        total += share;
        if token == target {
            matching += share;
        }
    }
    (matching / total).ln()
}

/// `ln(exp a + exp b)`; `a` to the bit if `b` is -inf.
fn log_sum(a: f64, b: f64) -> f64 {
    let (high, low) = if a < b { (b, a) } else { (a, b) };
    match high == f64::NEG_INFINITY {
        true => high,
        false => high + (low - high).exp().ln_1p(),
    }
}

fn no_stream() -> Error {
    Error::invalid("cache", "only a language model reads running text, which a cache needs")
}

#[cfg(test)]
mod tests {
    use super::super::evaluate;
    use super::super::fixture::{START, VOCABULARY, assert_close, language_model, step, text, tokens};
    use super::*;
    use crate::data::example::{Example, Input, Target};
    use crate::rng::{Purpose, stream};
    use crate::tasks::figures::{ACCURACY, PERPLEXITY};
    use crate::tasks::{Lm, Names, Task};

    fn losses(cache: Cache, network: &dyn Network, ids: &[u32]) -> Vec<f64> {
        let mut losses = vec![];
        cache.read(network, &text(ids), &Device::Cpu, &mut |found| losses.extend_from_slice(found)).unwrap();
        losses
    }

    /// The loss of every token, computed with probabilities, one token at a time.
    fn by_hand(cache: Cache, network: &dyn Network, ids: &[u32]) -> Vec<f64> {
        let (mut before, mut state) = (START, None);
        let mut past: Vec<(Vec<f64>, u32)> = vec![];
        let mut losses = vec![];
        for &id in ids {
            let (hidden, mut shares, next) = step(network, before, state.as_ref());
            if !past.is_empty() {
                let mut remembered = [0.; VOCABULARY];
                for (then, token) in past.iter().rev().take(cache.window) {
                    let similarity: f64 = then.iter().zip(&hidden).map(|(a, b)| a * b).sum();
                    remembered[*token as usize] += (cache.theta * similarity).exp();
                }
                let total: f64 = remembered.iter().sum();
                for (share, remembered) in shares.iter_mut().zip(remembered) {
                    *share = (1. - cache.lambda) * *share + cache.lambda * remembered / total;
                }
            }
            losses.push(-shares[id as usize].ln());
            past.push((hidden, id));
            (before, state) = (id, Some(next));
        }
        losses
    }

    #[test]
    fn losses_are_those_of_the_mixture() {
        let (network, _) = language_model();
        // Caches shorter and longer than a window of states, and one whose similarities are computed in parts.
        for (count, window, theta, lambda) in [
            (2 * WINDOW + 10, 5, 0.7, 0.3),
            (2 * WINDOW + 10, WINDOW + 40, 3., 0.6),
            (2 * WINDOW + 10, 1, 0., 0.9),
            (SIMILARITIES / WINDOW + 700, 100_000, 1.5, 0.2),
        ] {
            let cache = Cache { window, theta, lambda };
            let ids = tokens(&mut stream(1, Purpose::Train, window as u64), count);
            let expected = by_hand(cache, network.as_ref(), &ids);
            let found = losses(cache, network.as_ref(), &ids);
            assert_eq!(found.len(), count);
            for (found, expected) in found.iter().zip(&expected) {
                assert!((found - expected).abs() < 1e-11, "{cache:?}: {found} is not {expected}");
            }
            let scores = cache.evaluate(network.as_ref(), &text(&ids), &Device::Cpu).unwrap();
            assert_close(scores.loss, expected.iter().sum::<f64>() / count as f64);
            assert_close(scores.figures.get(PERPLEXITY).unwrap(), scores.loss.exp());
            assert_eq!((scores.tokens, scores.figures.get(ACCURACY)), (count, None));
        }
    }

    #[test]
    fn zero_lambda_changes_no_bit() {
        let (network, _) = language_model();
        let data = text(&tokens(&mut stream(2, Purpose::Train, 0), 700));
        let plain = evaluate(network.as_ref(), &data, 1, Lm.meter(Names::default()), &Device::Cpu).unwrap();
        let cache = Cache { lambda: 0., ..Cache::DEFAULT };
        let scores = cache.evaluate(network.as_ref(), &data, &Device::Cpu).unwrap();
        assert_eq!(scores.loss.to_bits(), plain.loss.to_bits());
    }

    #[test]
    fn losses_do_not_depend_on_later_tokens() {
        let (network, _) = language_model();
        let ids = tokens(&mut stream(3, Purpose::Train, 0), WINDOW + 20);
        let cache = Cache { window: 50, theta: 1., lambda: 0.5 };
        let before = losses(cache, network.as_ref(), &ids);
        for place in [0, 100, WINDOW - 1, WINDOW, WINDOW + 10] {
            let mut other = ids.clone();
            other[place] = (other[place] + 1) % VOCABULARY as u32;
            let after = losses(cache, network.as_ref(), &other);
            assert_eq!(after[..place], before[..place], "token {place}");
            assert_ne!(after[place], before[place]);
            assert_ne!(after[place + 1..], before[place + 1..]);
        }
    }

    #[test]
    fn ring_holds_the_bits_of_the_last_states_and_is_allocated_once() {
        let (rows, steps) = (1000, 100);
        let mut rng = stream(4, Purpose::Train, 0);
        let (mut past, mut states, mut next) = (Past::new(rows), vec![], vec![]);
        let mut buffers = std::collections::BTreeSet::new();
        for step in 0..steps {
            // The last window of a text is shorter.
            let added = if step + 1 == steps { 77 } else { WINDOW };
            let numbers: Vec<f64> = (0..added * 3).map(|n| (n * step) as f64 / 7.).collect();
            let tokens = tokens(&mut rng, added);
            past.append(&Tensor::from_slice(&numbers, (added, 3), &Device::Cpu).unwrap(), &tokens).unwrap();
            states.extend(numbers);
            next.extend(tokens);
            let held = past.states().unwrap().to_vec2::<f64>().unwrap();
            let first = next.len().saturating_sub(rows);
            assert_eq!(held.len(), next.len() - first);
            let order = past.rows_of(first..next.len()).into_iter().flatten();
            for (row, step) in order.zip(first..) {
                assert_eq!((&held[row][..], past.next[row]), (&states[3 * step..][..3], next[step]));
            }
            buffers.insert(format!("{:?}", past.ring.as_ref().unwrap().id()));
        }
        assert_eq!(buffers.len(), 1);
    }

    /// The products of a window with the past do not depend on where the past lies in the ring.
    #[test]
    fn position_in_the_ring_changes_no_bit() {
        let (network, _) = language_model();
        let ids = tokens(&mut stream(5, Purpose::Train, 0), 12 * WINDOW);
        let cache = Cache { window: 300, theta: 1.3, lambda: 0.4 };
        let found = losses(cache, network.as_ref(), &ids);
        // The same with a buffer for the whole text, whose rows are in the order of the steps.
        let cut = Cut { batch_size: 1, window: WINDOW, trim: false, vary: false };
        let data = text(&ids);
        let epoch = data.epoch(cut, None).unwrap();
        let (mut carried, mut expected) = (Carried::default(), vec![]);
        let mut past = Past::new(ids.len());
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, &Device::Cpu).unwrap();
            let hidden = carried.encode(network.as_ref(), &batch).unwrap();
            let plain = loss::each(network.as_ref(), &hidden, &batch).unwrap();
            let present = hidden.detach().squeeze(0).unwrap();
            past.append(&present, &ids[index * WINDOW..][..plain.len()]).unwrap();
            expected.extend(cache.mix(&present, &plain, &past).unwrap());
        }
        let bits = |losses: &[f64]| losses.iter().map(|loss| loss.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&found), bits(&expected));
    }

    #[test]
    fn absent_tokens_have_no_share() {
        let empty: (&[f64], &[u32]) = (&[], &[]);
        assert_eq!(log_share([(&[1., 2.], &[3, 4]), empty], 1., 5), f64::NEG_INFINITY);
        assert_eq!(log_share([(&[1e6], &[3]), (&[0.], &[4])], 1., 3), 0.);
        assert_eq!(log_sum(-2.5, f64::NEG_INFINITY).to_bits(), (-2.5f64).to_bits());
        assert_eq!(log_sum(f64::NEG_INFINITY, f64::NEG_INFINITY), f64::NEG_INFINITY);
        for (a, b) in [(0.2f64, 0.3f64), (0.7, 0.01)] {
            assert_close(log_sum(a.ln(), b.ln()), (a + b).ln());
        }
    }

    #[test]
    fn invalid_settings_and_data_name_the_field() {
        let (network, _) = language_model();
        let refused = |cache: Cache, data: &Dataset| {
            cache.evaluate(network.as_ref(), data, &Device::Cpu).unwrap_err().to_string()
        };
        let plain = Cache::DEFAULT;
        for (cache, field) in [
            (Cache { window: 0, ..plain }, "cache:"),
            (Cache { theta: -1., ..plain }, "cache.theta:"),
            (Cache { theta: f64::INFINITY, ..plain }, "cache.theta:"),
            (Cache { lambda: 1., ..plain }, "cache.lambda:"),
            (Cache { lambda: f64::NAN, ..plain }, "cache.lambda:"),
        ] {
            assert!(refused(cache, &text(&[1, 2])).starts_with(field), "{cache:?}");
        }
        let example = Example { input: Input::Tokens(vec![1]), target: Target::Class(0) };
        assert!(refused(plain, &vec![example].into()).contains("only a language model"));
    }
}
