//! Sums and maxima over all tag sequences of a linear chain, in f64 and log space.
//!
//! A tag sequence y of n steps has the score
//!
//! ```text
//! s(y) = start[y_1] + sum over t of emission[t][y_t] + sum over t > 1 of transition[y_{t-1}][y_t] + end[y_n]
//! ```
//!
//! The forward-backward algorithm sums exp(s(y)) over all y, and the Viterbi algorithm finds the highest s(y) (Lafferty
//! et al. 2001; Rabiner 1989). Both take n * tags^2 operations.

use std::ops::Range;

/// Sums of exponentials below this are computed anew in log space: their terms may have underflowed.
const SMALLEST_SUM: f64 = 1e-200;

/// The scores of a chain's starts, transitions and ends.
pub(super) struct Chain {
    tags: usize,
    start: Vec<f64>,
    /// (from, to).
    transitions: Vec<f64>,
    end: Vec<f64>,
    /// The highest transition.
    highest: f64,
    /// exp(transition - highest), (from, to).
    factors: Vec<f64>,
}

/// The loss of one sequence and its gradients.
pub(super) struct SequenceLoss {
    /// -log p(tags) in nats.
    pub(super) loss: f64,
    /// The gradient of the emissions, (steps, tags).
    pub(super) d_emissions: Vec<f64>,
    /// The gradient of the potentials, in the layout of [`Chain::new`].
    pub(super) d_potentials: Vec<f64>,
}

impl Chain {
    /// Make a chain of `tags` tags. `potentials` is (tags + 2, tags): the transitions (from, to), the starts, the ends.
    pub(super) fn new(potentials: &[f64], tags: usize) -> Self {
        let (transitions, ends) = potentials.split_at(tags * tags);
        let (start, end) = ends.split_at(tags);
        let highest = finite_or_zero(max(transitions.iter().copied()));
        Self {
            tags,
            start: start.to_vec(),
            transitions: transitions.to_vec(),
            end: end.to_vec(),
            highest,
            factors: transitions.iter().map(|score| (score - highest).exp()).collect(),
        }
    }

    /// Return the number of tags.
    pub(super) fn tags(&self) -> usize {
        self.tags
    }

    /// Compute -log p(y) = log sum over y' of exp(s(y')) - s(y) for the tag sequence `y`, without gradients.
    /// `emissions` is (steps, tags).
    pub(super) fn loss(&self, emissions: &[f64], y: &[u32]) -> f64 {
        match y.len() {
            0 => 0.,
            steps => self.log_total(&self.forward(emissions), steps) - self.score(emissions, y),
        }
    }

    /// Compute the loss of the tag sequence `y` and its gradients: the expected counts of tags and transitions under
    /// the model less those of `y`.
    pub(super) fn loss_and_gradients(&self, emissions: &[f64], y: &[u32]) -> SequenceLoss {
        let (tags, steps) = (self.tags, y.len());
        let mut d_potentials = vec![0.; (tags + 2) * tags];
        if steps == 0 {
            return SequenceLoss { loss: 0., d_emissions: vec![], d_potentials };
        }
        let (alphas, betas) = (self.forward(emissions), self.backward(emissions));
        let log_total = self.log_total(&alphas, steps);
        let mut d_emissions: Vec<f64> =
            alphas.iter().zip(&betas).map(|(alpha, beta)| (alpha + beta - log_total).exp()).collect();
        let (d_transitions, d_ends) = d_potentials.split_at_mut(tags * tags);
        let (d_start, d_end) = d_ends.split_at_mut(tags);
        d_start.copy_from_slice(&d_emissions[self.step(0)]);
        d_end.copy_from_slice(&d_emissions[self.step(steps - 1)]);
        for t in 1..steps {
            let to = self.step(t);
            let arrivals: Vec<f64> = emissions[to.clone()]
                .iter()
                .zip(&betas[to])
                .map(|(emission, beta)| emission + beta)
                .collect();
            self.add_transition_counts(&alphas[self.step(t - 1)], &arrivals, log_total, d_transitions);
        }
        for (t, &tag) in y.iter().enumerate() {
            d_emissions[t * tags + tag as usize] -= 1.;
        }
        for pair in y.windows(2) {
            d_transitions[pair[0] as usize * tags + pair[1] as usize] -= 1.;
        }
        d_start[y[0] as usize] -= 1.;
        d_end[y[steps - 1] as usize] -= 1.;
        SequenceLoss { loss: log_total - self.score(emissions, y), d_emissions, d_potentials }
    }

    /// Find the tag sequence of the highest score, and that score. Of equal scores the lowest tag wins. `emissions` is
    /// (steps, tags).
    pub(super) fn best(&self, emissions: &[f64]) -> (Vec<u32>, f64) {
        let tags = self.tags;
        let steps = emissions.len() / tags;
        if steps == 0 {
            return (vec![], 0.);
        }
        let mut scores = sums(&self.start, &emissions[..tags]);
        let mut previous_tags = Vec::with_capacity(steps * tags); // (steps - 1, tags)
        for t in 1..steps {
            let mut next = Vec::with_capacity(tags);
            for (to, emission) in emissions[self.step(t)].iter().enumerate() {
                let arrivals = (0..tags).map(|from| scores[from] + self.transitions[from * tags + to]);
                let (from, score) = first_highest(arrivals);
                previous_tags.push(from as u32);
                next.push(score + emission);
            }
            scores = next;
        }
        let (mut tag, score) = first_highest(sums(&scores, &self.end).into_iter());
        let mut best = vec![tag as u32; steps];
        for t in (1..steps).rev() {
            tag = previous_tags[(t - 1) * tags + tag] as usize;
            best[t - 1] = tag as u32;
        }
        (best, score)
    }

    /// Compute the score of the tag sequence `y`.
    fn score(&self, emissions: &[f64], y: &[u32]) -> f64 {
        let (Some(&first), Some(&last)) = (y.first(), y.last()) else { return 0. };
        let tags = self.tags;
        let emitted: f64 = y.iter().enumerate().map(|(t, &tag)| emissions[t * tags + tag as usize]).sum();
        let moved: f64 =
            y.windows(2).map(|pair| self.transitions[pair[0] as usize * tags + pair[1] as usize]).sum();
        self.start[first as usize] + emitted + moved + self.end[last as usize]
    }

    /// Compute the log of the sum of exp(score) over all beginnings that end with each tag at each step, (steps, tags).
    fn forward(&self, emissions: &[f64]) -> Vec<f64> {
        let tags = self.tags;
        let mut alphas = sums(&self.start, &emissions[..tags]);
        alphas.reserve(emissions.len());
        for t in 1..emissions.len() / tags {
            let arrivals = self.log_sums_into(&alphas[self.step(t - 1)]);
            alphas.extend(sums(&arrivals, &emissions[self.step(t)]));
        }
        alphas
    }

    /// Compute the log of the sum of exp(score) over all continuations after each tag at each step, (steps, tags).
    fn backward(&self, emissions: &[f64]) -> Vec<f64> {
        let steps = emissions.len() / self.tags;
        let mut betas = vec![0.; emissions.len()];
        betas[self.step(steps - 1)].copy_from_slice(&self.end);
        for t in (1..steps).rev() {
            let next = self.step(t);
            let departures = self.log_sums_out_of(&sums(&emissions[next.clone()], &betas[next]));
            betas[self.step(t - 1)].copy_from_slice(&departures);
        }
        betas
    }

    /// Compute the log of the sum of exp(score) over all tag sequences.
    fn log_total(&self, alphas: &[f64], steps: usize) -> f64 {
        log_sum_exp(sums(&alphas[self.step(steps - 1)], &self.end).into_iter())
    }

    /// Compute, for each tag `to`, log sum over `from` of exp(scores[from] + transition[from][to]).
    fn log_sums_into(&self, scores: &[f64]) -> Vec<f64> {
        let tags = self.tags;
        let (highest, weights) = exponentials(scores);
        let mut totals = vec![0.; tags];
        for (weight, factors) in weights.iter().zip(self.factors.chunks_exact(tags)) {
            totals.iter_mut().zip(factors).for_each(|(total, factor)| *total += weight * factor);
        }
        let exact =
            |to: usize| log_sum_exp((0..tags).map(|from| scores[from] + self.transitions[from * tags + to]));
        let log = |(to, &total): (usize, &f64)| self.log_or(total, highest, || exact(to));
        totals.iter().enumerate().map(log).collect()
    }

    /// Compute, for each tag `from`, log sum over `to` of exp(transition[from][to] + scores[to]).
    fn log_sums_out_of(&self, scores: &[f64]) -> Vec<f64> {
        let (highest, weights) = exponentials(scores);
        let rows = self.factors.chunks_exact(self.tags).zip(self.transitions.chunks_exact(self.tags));
        let log = |(factors, transitions): (&[f64], &[f64])| {
            let total = factors.iter().zip(&weights).map(|(factor, weight)| factor * weight).sum();
            self.log_or(total, highest, || {
                log_sum_exp(transitions.iter().zip(scores).map(|(transition, score)| transition + score))
            })
        };
        rows.map(log).collect()
    }

    /// Return the log of a sum of products of exponentials, or `exact` if its terms may have underflowed or overflowed.
    fn log_or(&self, total: f64, highest: f64, exact: impl FnOnce() -> f64) -> f64 {
        match total > SMALLEST_SUM && total.is_finite() {
            true => total.ln() + highest + self.highest,
            false => exact(),
        }
    }

    /// Add the probability of every transition between two steps: exp(departure + transition + arrival - log_total).
    fn add_transition_counts(
        &self,
        departures: &[f64],
        arrivals: &[f64],
        log_total: f64,
        counts: &mut [f64],
    ) {
        let (from_highest, from_weights) = exponentials(departures);
        let (to_highest, to_weights) = exponentials(arrivals);
        let scale = (from_highest + self.highest + to_highest - log_total).exp();
        // A larger scale would multiply products that have underflowed.
        let is_exact = scale < 1. / SMALLEST_SUM;
        for (from, counts) in counts.chunks_exact_mut(self.tags).enumerate() {
            let row = from * self.tags..(from + 1) * self.tags;
            if is_exact {
                let weight = scale * from_weights[from];
                let factors = self.factors[row].iter().zip(&to_weights);
                counts
                    .iter_mut()
                    .zip(factors)
                    .for_each(|(count, (factor, to))| *count += weight * factor * to);
            } else {
                let scores = self.transitions[row].iter().zip(arrivals);
                let departure = departures[from] - log_total;
                counts.iter_mut().zip(scores).for_each(|(count, (transition, arrival))| {
                    *count += (departure + transition + arrival).exp();
                });
            }
        }
    }

    /// Return the indices of a step in (steps, tags).
    fn step(&self, t: usize) -> Range<usize> {
        t * self.tags..(t + 1) * self.tags
    }
}

fn sums(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a + b).collect()
}

fn max(values: impl Iterator<Item = f64>) -> f64 {
    values.fold(f64::NEG_INFINITY, f64::max)
}

/// Replace a maximum of -inf by 0: -inf minus -inf is NaN.
fn finite_or_zero(highest: f64) -> f64 {
    if highest == f64::NEG_INFINITY { 0. } else { highest }
}

/// Return the highest score, and exp(score - highest) of each.
fn exponentials(scores: &[f64]) -> (f64, Vec<f64>) {
    let highest = finite_or_zero(max(scores.iter().copied()));
    (highest, scores.iter().map(|score| (score - highest).exp()).collect())
}

fn log_sum_exp(scores: impl Iterator<Item = f64> + Clone) -> f64 {
    let highest = finite_or_zero(max(scores.clone()));
    highest + scores.map(|score| (score - highest).exp()).sum::<f64>().ln()
}

/// Return the first index of the highest score, and that score.
fn first_highest(scores: impl Iterator<Item = f64>) -> (usize, f64) {
    let higher = |best: (usize, f64), other: (usize, f64)| if other.1 > best.1 { other } else { best };
    scores.enumerate().reduce(higher).unwrap_or((0, f64::NEG_INFINITY))
}

#[cfg(test)]
mod tests;
