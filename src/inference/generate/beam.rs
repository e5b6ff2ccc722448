//! The likeliest texts, by beam search.
//!
//! Of all texts with one token more than those in the beam, the N likeliest make the next beam. What ends with
//! `<eos>` or a stop string while among the N best of its turn is finished and leaves the beam; the search is over
//! when N are finished, or at the greatest length, where those in the beam are finished too. (Hugging Face calls
//! that `early_stopping=True`.) Finished texts are ranked by
//!
//! ```text
//! ln p(tokens) / tokens^length_penalty
//! ```
//!
//! as in Hugging Face's `generate`, a simpler form of Wu et al. 2016 (GNMT): without it, at 0, short texts win, for
//! every token costs; 1 is the mean per token; above that long ones win. An ending `<eos>` counts as a token.
//!
//! With one beam that is the greedy text; with as many beams as there are texts, the best of all.

use std::cmp::Ordering;
use std::iter;

use super::context::Context;
use super::reader::Reader;
use super::transcript::Transcript;
use super::{Finish, log_sum_exp, nothing_to_write};
use crate::{Error, Result};

/// The most beams: each has a state, and a slip of the keyboard should not fill the memory.
const MOST_BEAMS: usize = 4096;

/// The most scores of a turn, one for each token behind each beam; they take 4 bytes, twice.
const MOST_SCORES: usize = 1 << 28;

/// Candidates that are sorted at a time, if twice the beams are not more.
const FEW: usize = 4096;

/// How texts are searched for.
#[derive(Clone, Debug, PartialEq)]
pub struct BeamSearch {
    /// Texts in the beam.
    pub beams: usize,
    /// The exponent of the length in the ranking; 1 by default in Hugging Face's tools and here.
    pub length_penalty: f64,
    /// Tokens of a text at most.
    pub length: usize,
    /// The token that ends a text.
    pub end: Option<u32>,
    /// Tokens that no text has.
    pub banned: Vec<u32>,
}

/// A text that the search found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// Its tokens, without an ending `<eos>`.
    pub tokens: Vec<u32>,
    /// How it is shown.
    pub text: String,
    /// The logarithm of its probability by the model, in nats, an ending `<eos>` included.
    pub logprob: f64,
    /// What it is ranked by.
    pub score: f64,
    /// How it ended.
    pub finish: Finish,
}

/// A text in the beam.
#[derive(Clone)]
struct Live<'t> {
    tokens: Vec<u32>,
    transcript: Transcript<'t>,
    text: String,
    logprob: f64,
}

/// A text in the beam with one token more.
#[derive(Clone, Copy)]
struct Candidate {
    logprob: f64,
    parent: usize,
    token: u32,
}

impl Candidate {
    /// Likeliest first; ties by number, so that equal scores give equal text everywhere.
    fn order(&self, other: &Self) -> Ordering {
        let ties = || (self.parent, self.token).cmp(&(other.parent, other.token));
        other.logprob.total_cmp(&self.logprob).then_with(ties)
    }
}

impl BeamSearch {
    /// Refuses what makes no sense.
    ///
    /// # Errors
    /// Names the field: no beam or more than 4096, a length penalty that is no number.
    pub fn validate(&self) -> Result<()> {
        if !(1..=MOST_BEAMS).contains(&self.beams) {
            return Err(Error::invalid("beams", format!("{}; expected 1 to {MOST_BEAMS}", self.beams)));
        }
        if !self.length_penalty.is_finite() {
            let problem =
                format!("{} is no exponent; expected a finite number, 1 as a rule", self.length_penalty);
            return Err(Error::invalid("length_penalty", problem));
        }
        Ok(())
    }

    /// Searches on from `context`; `transcript` has shown its text so far. Best first, at most as many as there
    /// are beams; fewer where there are no more texts.
    ///
    /// # Errors
    /// Those of the device, more beams than there is memory for with such a vocabulary, and scores that leave
    /// nothing to go on with.
    pub fn search(
        &self,
        reader: &mut Reader<'_>,
        context: &Context,
        mut transcript: Transcript<'_>,
    ) -> Result<Vec<Hypothesis>> {
        let vocabulary = reader.vocabulary();
        if self.beams.saturating_mul(vocabulary) > MOST_SCORES {
            let (beams, most) = (self.beams, MOST_SCORES / vocabulary);
            let problem =
                format!("{beams} over {vocabulary} tokens would fill the memory; expected at most {most}");
            return Err(Error::invalid("beams", problem));
        }
        let text = transcript.begin();
        let first = Live { tokens: vec![], transcript, text, logprob: 0. };
        if first.transcript.stopped() {
            return Ok(vec![self.finished(first, Finish::Stop)]);
        }
        reader.begin(&context.state)?;
        let (mut parents, mut tokens) = (vec![0], vec![context.last]);
        let (mut beam, mut finished) = (vec![first], vec![]);
        for _ in 0..self.length {
            reader.read(&parents, &tokens)?;
            let mut next = vec![];
            parents.clear();
            let mut candidates = self.candidates(reader, &beam).peekable();
            if candidates.peek().is_none() {
                return Err(nothing_to_write());
            }
            for (rank, candidate) in candidates.enumerate() {
                if next.len() == self.beams {
                    break;
                }
                let mut text = beam[candidate.parent].clone();
                text.logprob = candidate.logprob;
                let finish = if Some(candidate.token) == self.end {
                    Some(Finish::Eos)
                } else {
                    text.tokens.push(candidate.token);
                    text.text.push_str(&text.transcript.push(candidate.token));
                    text.transcript.stopped().then_some(Finish::Stop)
                };
                match finish {
                    Some(finish) if rank < self.beams => finished.push(self.finished(text, finish)),
                    Some(_) => {}
                    None => {
                        parents.push(candidate.parent);
                        next.push(text);
                    }
                }
            }
            beam = next;
            if finished.len() >= self.beams {
                beam.clear();
            }
            if beam.is_empty() {
                break;
            }
            tokens = beam.iter().filter_map(|text| text.tokens.last().copied()).collect();
        }
        finished.extend(beam.into_iter().map(|text| self.finished(text, Finish::Length)));
        finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        finished.truncate(self.beams);
        Ok(finished)
    }

    /// All texts of the beam with one token more, likeliest first.
    ///
    /// A turn takes twice the beams at most, as many that go on and one `<eos>` each, unless further ones come to a
    /// stop string. So they are not all sorted, nor even kept: the best are looked for, and if those do not suffice,
    /// the best behind them.
    fn candidates(&self, reader: &Reader<'_>, beam: &[Live<'_>]) -> impl Iterator<Item = Candidate> {
        let lack = |(parent, text): (usize, &Live<'_>)| text.logprob - log_sum_exp(reader.scores(parent));
        let lacks: Vec<f64> = beam.iter().enumerate().map(lack).collect();
        let mut last = None;
        let best = move || {
            let best = self.best(FEW.max(2 * self.beams), last.as_ref(), reader, &lacks);
            last = Some(*best.last()?);
            Some(best)
        };
        iter::from_fn(best).flatten()
    }

    /// The first so many candidates behind `last`, in their order. `lacks` is, for each parent, what its scores lack
    /// to be log-probabilities of the whole text.
    fn best(
        &self,
        most: usize,
        last: Option<&Candidate>,
        reader: &Reader<'_>,
        lacks: &[f64],
    ) -> Vec<Candidate> {
        let mut best: Vec<Candidate> = vec![];
        // The worst of the best so far, once there are enough.
        let mut worst: Option<Candidate> = None;
        for (parent, lacks) in lacks.iter().enumerate() {
            for (token, &score) in (0..).zip(reader.scores(parent)) {
                let candidate = Candidate { logprob: f64::from(score) + lacks, parent, token };
                if candidate.logprob > f64::NEG_INFINITY
                    && worst.is_none_or(|worst| candidate.order(&worst).is_lt())
                    && last.is_none_or(|last| candidate.order(last).is_gt())
                    && !self.banned.contains(&token)
                {
                    best.push(candidate);
                    if best.len() == 2 * most {
                        worst = Some(*best.select_nth_unstable_by(most - 1, Candidate::order).1);
                        best.truncate(most);
                    }
                }
            }
        }
        best.sort_unstable_by(Candidate::order);
        best.truncate(most);
        best
    }

    fn finished(&self, text: Live<'_>, finish: Finish) -> Hypothesis {
        let Live { tokens, mut transcript, mut text, logprob } = text;
        text.push_str(&transcript.finish());
        let length = tokens.len() + usize::from(finish == Finish::Eos);
        let score = logprob / (length.max(1) as f64).powf(self.length_penalty);
        Hypothesis { tokens, text, logprob, score, finish }
    }
}

#[cfg(test)]
mod tests;
