//! Beam search for the most probable texts.
//!
//! Each turn extends every text in the beam by every token; the N most probable results are the next beam. A text
//! that ends with `<eos>` or a stop string, and is among the N most probable of its turn, is finished and leaves
//! the beam. The search ends when N texts are finished, or at the greatest length, where the texts in the beam are
//! finished too. (Hugging Face calls this `early_stopping=True`.) Finished texts are ranked by
//!
//! ```text
//! ln p(tokens) / tokens^length_penalty
//! ```
//!
//! as in Hugging Face's `generate`, a simpler form of Wu et al. 2016 (GNMT). A penalty of 0 favours short texts,
//! because every token lowers the probability; 1 ranks by the mean per token; more favours long texts. An `<eos>` at
//! the end counts as a token.
//!
//! With one beam the result is the greedy text; with as many beams as there are texts, the best of all.

use std::iter;

use super::context::Context;
use super::finish::{Finish, no_candidate};
use super::reader::Reader;
use super::transcript::Transcript;
use crate::inference::candidates::{Candidate, Extensions, best, check_options};
use crate::logits::log_sum_exp;
use crate::{Error, Result};

/// The most beams. Each has a state, which takes memory.
const MOST_BEAMS: usize = 4096;

/// The most scores of a turn, one for each token after each text in the beam.
const MOST_SCORES: usize = 1 << 28;

/// Candidates that are sorted at a time, if twice the beams are not more.
const SORTED_AT_ONCE: usize = 4096;

/// Options of a beam search.
#[derive(Clone, Debug, PartialEq)]
pub struct BeamSearch {
    /// The number of texts in the beam.
    pub beams: usize,
    /// The exponent of the length in the ranking; 1 by default in Hugging Face's tools and here.
    pub length_penalty: f64,
    /// The greatest number of tokens of a text.
    pub length: usize,
    /// The token that ends a text.
    pub end: Option<u32>,
    /// Tokens that no text contains.
    pub banned: Vec<u32>,
}

/// A text that the search has found.
#[derive(Clone, Debug, PartialEq)]
pub struct Hypothesis {
    /// The tokens, without an `<eos>` at the end.
    pub tokens: Vec<u32>,
    /// The text to show.
    pub text: String,
    /// The log-probability of the tokens in nats, an `<eos>` at the end included.
    pub logprob: f64,
    /// The score that texts are ranked by.
    pub score: f64,
    /// The reason for the end of the text.
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

/// The texts of one turn.
#[derive(Default)]
struct Turn<'t> {
    /// The next beam, and for each text its place in the beam before.
    beam: Vec<Live<'t>>,
    parents: Vec<usize>,
    finished: Vec<Hypothesis>,
}

impl BeamSearch {
    /// Check the options.
    ///
    /// # Errors
    /// If `beams` is not within 1 to 4096, or `length_penalty` is not finite; the error names the field.
    pub fn validate(&self) -> Result<()> {
        check_options(self.beams, MOST_BEAMS, self.length_penalty)
    }

    /// Search for continuations of a text whose tokens `context` has read and `transcript` has shown. Returns at
    /// most as many as there are beams, best first; fewer if there are no more texts.
    ///
    /// # Errors
    /// If there are too many beams for the vocabulary, if all scores are NaN or banned, and errors from candle.
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
        reader.select(&[])?;
        reader.append(&context.state)?;
        let (mut tokens, mut beam, mut finished) = (vec![context.last], vec![first], vec![]);
        for _ in 0..self.length {
            reader.read(&tokens)?;
            let turn = self.turn(reader, &beam)?;
            beam = turn.beam;
            finished.extend(turn.finished);
            if finished.len() >= self.beams {
                beam.clear();
            }
            if beam.is_empty() {
                break;
            }
            reader.select(&turn.parents)?;
            tokens = beam.iter().filter_map(|text| text.tokens.last().copied()).collect();
        }
        finished.extend(beam.into_iter().map(|text| self.finished(text, Finish::Length)));
        finished.sort_by(|a, b| b.score.total_cmp(&a.score));
        finished.truncate(self.beams);
        Ok(finished)
    }

    /// Extend the texts of the beam by the most probable tokens.
    fn turn<'t>(&self, reader: &Reader<'_>, beam: &[Live<'t>]) -> Result<Turn<'t>> {
        let mut candidates = self.candidates(reader, beam).peekable();
        if candidates.peek().is_none() {
            return Err(no_candidate());
        }
        let mut turn = Turn::default();
        for (rank, candidate) in candidates.enumerate() {
            if turn.beam.len() == self.beams {
                break;
            }
            let mut text = beam[candidate.parent].clone();
            text.logprob = candidate.logprob;
            let finish = self.extend(&mut text, candidate.token);
            match finish {
                Some(finish) if rank < self.beams => turn.finished.push(self.finished(text, finish)),
                Some(_) => {}
                None => {
                    turn.parents.push(candidate.parent);
                    turn.beam.push(text);
                }
            }
        }
        Ok(turn)
    }

    /// Append a token to a text; returns how the text ends, if it does.
    fn extend(&self, text: &mut Live<'_>, token: u32) -> Option<Finish> {
        if Some(token) == self.end {
            return Some(Finish::Eos);
        }
        text.tokens.push(token);
        text.text.push_str(&text.transcript.push(token));
        text.transcript.stopped().then_some(Finish::Stop)
    }

    /// All extensions of the texts in the beam by one token, most probable first.
    ///
    /// A turn usually takes at most twice the beams: as many texts that go on, and one `<eos>` for each. Only those
    /// that end at a stop string add to that. So the candidates are not all sorted, nor even kept: the best are
    /// selected first, and the next best if those do not suffice.
    fn candidates(&self, reader: &Reader<'_>, beam: &[Live<'_>]) -> impl Iterator<Item = Candidate> {
        let offset = |(parent, text): (usize, &Live<'_>)| text.logprob - log_sum_exp(reader.scores(parent));
        let offsets: Vec<f64> = beam.iter().enumerate().map(offset).collect();
        let most = SORTED_AT_ONCE.max(2 * self.beams);
        let mut last = None;
        let next_part = move || {
            let texts = offsets.iter().enumerate().map(|(parent, &offset)| {
                let scores = reader.scores(parent);
                Extensions { parent, offset, scores }
            });
            let part = best(most, last.as_ref(), texts, |token| !self.banned.contains(&token));
            last = Some(*part.last()?);
            Some(part)
        };
        iter::from_fn(next_part).flatten()
    }

    /// End a text and compute its score.
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
