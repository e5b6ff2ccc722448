//! Greedy and beam search for translations, of several sources side by side.
//!
//! The search of each source is that of [`BeamSearch`](super::generate::BeamSearch): each turn extends every text of
//! the beam by every token, and the N most probable are the next beam. A text that ends with `<eos>` among the N most
//! probable is finished. The search of a source ends when N texts are finished, or at the greatest length, where the
//! texts of the beam are finished too. The translation is the finished text with the highest score,
//!
//! ```text
//! ln p(tokens | source) / tokens^length_penalty          an <eos> at the end counts as a token
//! ```
//!
//! One beam is greedy search. With a beam for every text that the decoder could have
//! written so far, the search is exhaustive.

use candle_core::{D, DType, Tensor};
use rnn_zoo_models::{AttentionState, SequenceToSequence, WrittenStep};

use super::candidates::{Extensions, best, check_options};
use crate::error::overflow;
use crate::logits::{first_highest, log_sum_exp};
use crate::{Error, Result};

/// The most beams of a source.
const MOST_BEAMS: usize = 256;

/// Options of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SearchOptions {
    /// The number of texts in the beam of a source; 1 is greedy search.
    pub beams: usize,
    /// The exponent of the length in the ranking: 0 favours short texts, 1 ranks by the mean per token.
    pub length_penalty: f64,
}

/// A search for translations.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    /// Its options.
    pub options: SearchOptions,
    /// The token that the decoder reads first.
    pub start: u32,
    /// The token that ends a text.
    pub end: u32,
    /// Whether the attention weights of all steps are kept.
    pub keeps_weights: bool,
}

/// Sources side by side.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// Tokens, u32, (batch, source).
    pub tokens: &'a Tensor,
    /// Tokens of each source; all of them if `None`.
    pub lengths: Option<&'a [usize]>,
    /// Tokens of each source that stand for text, at its beginning: those that [`SearchResult::attended`] names.
    pub words: &'a [usize],
    /// The greatest number of tokens of each translation.
    pub limits: &'a [usize],
}

/// The translation of a source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SearchResult {
    /// The tokens, without an `<eos>` at the end.
    pub tokens: Vec<u32>,
    /// For each token, the place in the source, among [`Sources::words`], that was attended most.
    pub attended: Vec<usize>,
    /// The attention weights of each token over the source, and of the `<eos>`, if the search keeps them.
    pub weights: Vec<Vec<f32>>,
    /// `ln p(tokens | source)`, an `<eos>` at the end included.
    pub logprob: f64,
    /// The score that texts are ranked by.
    pub score: f64,
}

impl Default for SearchOptions {
    /// Greedy search.
    fn default() -> Self {
        Self { beams: 1, length_penalty: 1. }
    }
}

impl SearchOptions {
    /// Check the options.
    ///
    /// # Errors
    /// If `beams` is not within 1 to 256, or `length_penalty` is not finite; the error names the field.
    pub fn validate(&self) -> Result<()> {
        check_options(self.beams, MOST_BEAMS, self.length_penalty)
    }
}

/// The search of one source.
struct OneSource {
    /// Its number in the batch.
    source: usize,
    words: usize,
    limit: usize,
    beam: Vec<SearchResult>,
    finished: Vec<SearchResult>,
}

/// The results of a step, on the processor.
struct StepResults {
    /// (texts, vocabulary), one row after another.
    scores: Vec<f32>,
    vocabulary: usize,
    /// (texts, source).
    weights: Vec<Vec<f32>>,
}

impl StepResults {
    fn new(written: &WrittenStep) -> Result<Self> {
        let scores = written.scores.to_dtype(DType::F32)?;
        let vocabulary = scores.dim(D::Minus1)?;
        let weights = written.weights.to_dtype(DType::F32)?.to_vec2()?;
        Ok(Self { scores: scores.flatten_all()?.to_vec1()?, vocabulary, weights })
    }

    fn scores(&self, row: usize) -> &[f32] {
        &self.scores[row * self.vocabulary..][..self.vocabulary]
    }
}

impl Search {
    /// Translate the sources, in their order.
    ///
    /// # Errors
    /// If the sources do not fit the network, a score is NaN or infinite, and errors from candle.
    pub fn run(&self, network: &dyn SequenceToSequence, sources: Sources<'_>) -> Result<Vec<SearchResult>> {
        let (memory, mut state) = network.read_source(sources.tokens, sources.lengths)?;
        let sizes = sources.words.iter().copied().zip(sources.limits.iter().copied());
        let mut open: Vec<OneSource> = sizes.enumerate().map(OneSource::new).collect();
        let mut found = vec![SearchResult::default(); open.len()];
        let mut rows: Vec<usize> = (0..open.len()).collect(); // the source of each text
        let mut of_rows = memory.clone();
        while !open.is_empty() {
            let texts = open.iter().flat_map(|one| &one.beam);
            let tokens: Vec<u32> =
                texts.map(|text| text.tokens.last().copied().unwrap_or(self.start)).collect();
            let written = network.write_step(&tokens, &of_rows, &state)?;
            let step = StepResults::new(&written)?;
            let mut parents = vec![];
            let mut first = 0;
            for one in &mut open {
                let count = one.beam.len();
                parents.extend(self.turn(one, &step, first)?);
                first += count;
            }
            open.retain_mut(|one| {
                if one.beam.is_empty() {
                    found[one.source] = one.take_best();
                }
                !one.beam.is_empty()
            });
            if !open.is_empty() {
                state = select(&written.state, &parents, tokens.len())?;
                let before = std::mem::take(&mut rows);
                rows = open.iter().flat_map(|one| vec![one.source; one.beam.len()]).collect();
                if rows != before {
                    of_rows = memory.select(&rows)?;
                }
            }
        }
        Ok(found)
    }

    /// Extend the texts of one source, which are rows from `first` on. Return for each text of the new beam the row
    /// that it extends.
    fn turn(&self, one: &mut OneSource, step: &StepResults, first: usize) -> Result<Vec<usize>> {
        let SearchOptions { beams, .. } = self.options;
        let texts = one.beam.iter().enumerate().map(|(parent, text)| {
            let scores = step.scores(first + parent);
            Extensions { parent, offset: text.logprob - log_sum_exp(scores), scores }
        });
        let candidates = best(2 * beams, None, texts, |_| true);
        if candidates.is_empty() {
            return Err(Error::Message(overflow("a score of the network is NaN or infinite")));
        }
        let (mut beam, mut parents) = (vec![], vec![]);
        for (rank, candidate) in candidates.iter().enumerate() {
            let row = first + candidate.parent;
            let mut text = one.beam[candidate.parent].clone();
            text.logprob = candidate.logprob;
            if self.keeps_weights {
                text.weights.push(step.weights[row].clone());
            }
            if candidate.token == self.end {
                if rank < beams {
                    one.finished.push(self.scored(text, 1));
                }
            } else if beam.len() < beams {
                text.tokens.push(candidate.token);
                let weights = &step.weights[row];
                text.attended
                    .push(first_highest(&weights[..one.words.min(weights.len())]).unwrap_or_default());
                beam.push(text);
                parents.push(row);
            }
        }
        let is_full = beam.first().is_some_and(|text| text.tokens.len() >= one.limit);
        if is_full || one.finished.len() >= beams {
            if one.finished.len() < beams {
                one.finished.extend(beam.drain(..).map(|text| self.scored(text, 0)));
            }
            beam.clear();
            parents.clear();
        }
        one.beam = beam;
        Ok(parents)
    }

    /// A finished text with its score; `ends` is the number of `<eos>` at its end.
    fn scored(&self, text: SearchResult, ends: usize) -> SearchResult {
        let length = (text.tokens.len() + ends).max(1) as f64;
        SearchResult { score: text.logprob / length.powf(self.options.length_penalty), ..text }
    }
}

impl OneSource {
    fn new((source, (words, limit)): (usize, (usize, usize))) -> Self {
        Self { source, words, limit: limit.max(1), beam: vec![SearchResult::default()], finished: vec![] }
    }

    /// The finished text with the highest score, the first one of several.
    fn take_best(&mut self) -> SearchResult {
        let finished = std::mem::take(&mut self.finished);
        let better =
            |best: SearchResult, text: SearchResult| if text.score > best.score { text } else { best };
        finished.into_iter().reduce(better).unwrap_or_default()
    }
}

/// The state of these rows of `count`.
fn select(state: &AttentionState, rows: &[usize], count: usize) -> Result<AttentionState> {
    match rows.iter().copied().eq(0..count) {
        true => Ok(state.clone()),
        false => Ok(state.select(rows)?),
    }
}

#[cfg(test)]
mod tests;
