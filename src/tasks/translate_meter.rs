//! The metrics of a translator.

use rnn_zoo_models::{Network, Pair};

use super::bleu::BleuCounts;
use super::chrf::ChrfCounts;
use super::figures::{BLEU, CHRF, EXACT, Figures, PERPLEXITY};
use super::meter::{Measured, Meter};
use super::sums;
use super::vocabularies::Vocabularies;
use crate::data::batch::Batch;
use crate::inference::carry::Carried;
use crate::inference::search::{Search, SearchOptions, SearchResult, Sources};
use crate::training::loss::{self, LossSum};
use crate::{Error, Result};

/// Cross-entropy and perplexity of the targets' tokens with teacher forcing; BLEU, chrF and exact match of the
/// translations that a search finds.
pub(super) struct TranslateMeter {
    /// The vocabularies of the model, or the error in reading them, which is reported at the first batch.
    vocabularies: Result<Vocabularies>,
    options: SearchOptions,
    loss: LossSum,
    bleu: BleuCounts,
    chrf: ChrfCounts,
    exact: u64,
    lines: u64,
}

impl TranslateMeter {
    pub(super) fn new(vocabularies: Result<Vocabularies>, options: SearchOptions) -> Self {
        let (bleu, chrf) = (BleuCounts::default(), ChrfCounts::default());
        Self { vocabularies, options, loss: LossSum::default(), bleu, chrf, exact: 0, lines: 0 }
    }

    /// Translate the sources, and count how the translations agree with the targets.
    fn compare(&mut self, network: &dyn Network, batch: &Batch, parts: &[Vec<String>]) -> Result<()> {
        let vocabularies = self.vocabularies.as_ref().map_err(|error| Error::Message(error.to_string()))?;
        let found = translations(network, batch.inputs.as_pair()?, vocabularies, self.options, false)?;
        for (found, texts) in found.iter().zip(parts) {
            let [source, reference] = texts.as_slice() else { continue };
            let text = vocabularies.text(found, source);
            self.bleu += BleuCounts::new(&text, reference);
            self.chrf += ChrfCounts::new(&text, reference);
            self.exact += u64::from(text.split_whitespace().eq(reference.split_whitespace()));
            self.lines += 1;
        }
        Ok(())
    }
}

impl Meter for TranslateMeter {
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let hidden = carried.encode(network, batch)?;
        self.loss += loss::cross_entropy_sum(network, &hidden, batch)?;
        Ok(())
    }

    fn add_with_parts(
        &mut self,
        network: &dyn Network,
        batch: &Batch,
        carried: &mut Carried,
        parts: &dyn Fn() -> Vec<Vec<String>>,
    ) -> Result<()> {
        self.add(network, batch, carried)?;
        // Training reports a loss that is NaN as divergence; nothing can be written then.
        if self.loss.loss.is_finite() { self.compare(network, batch, &parts()) } else { Ok(()) }
    }

    fn sums(&self) -> Result<Vec<u8>> {
        sums::encode(&(&self.loss, &self.bleu, &self.chrf, self.exact, self.lines))
    }

    fn combine(&mut self, parts: &[Vec<u8>]) -> Result<()> {
        (self.loss, self.bleu, self.chrf, self.exact, self.lines) = Default::default();
        for part in parts {
            let (loss, bleu, chrf, exact, lines) =
                sums::decode::<(LossSum, BleuCounts, ChrfCounts, u64, u64)>(part)?;
            self.loss += loss;
            self.bleu += bleu;
            self.chrf += chrf;
            self.exact += exact;
            self.lines += lines;
        }
        Ok(())
    }

    fn measured(&self) -> Measured {
        let LossSum { loss, count, .. } = self.loss;
        let loss = loss / count.max(1) as f64;
        let exact = self.exact as f64 / self.lines.max(1) as f64;
        let figures = Figures::default().with(PERPLEXITY, loss.exp()).with(BLEU, self.bleu.score());
        Measured {
            targets: count,
            loss,
            figures: figures.with(CHRF, self.chrf.score()).with(EXACT, exact),
            classes: None,
            baselines: None,
        }
    }
}

/// Translate the sources of a batch.
pub(super) fn translations(
    network: &dyn Network,
    pair: &Pair,
    vocabularies: &Vocabularies,
    options: SearchOptions,
    keeps_weights: bool,
) -> Result<Vec<SearchResult>> {
    let Some(network) = network.sequence_to_sequence() else {
        return Err(Error::Message("the network of this model writes no translations".into()));
    };
    let (batch, steps) = pair.source.dims2()?;
    let lengths = pair.source_lengths.clone().unwrap_or_else(|| vec![steps; batch]);
    let ends = usize::from(vocabularies.source().end().is_some());
    let words: Vec<usize> = lengths.iter().map(|&length| length.saturating_sub(ends)).collect();
    let limits: Vec<usize> = lengths.iter().map(|&length| vocabularies.limit(length)).collect();
    let end = vocabularies.end()?;
    let search = Search { options, start: end, end, keeps_weights };
    let lengths = pair.source_lengths.as_deref();
    search.run(network, Sources { tokens: &pair.source, lengths, words: &words, limits: &limits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_two_processes_are_those_of_one() {
        let meter = |lines: &[(&str, &str)]| {
            let unused = Err(Error::Message("no vocabularies".into()));
            let mut meter = TranslateMeter::new(unused, SearchOptions::default());
            for (text, reference) in lines {
                meter.loss += LossSum { loss: text.len() as f64 / 7., count: reference.len(), correct: 0 };
                meter.bleu += BleuCounts::new(text, reference);
                meter.chrf += ChrfCounts::new(text, reference);
                meter.exact += u64::from(text == reference);
                meter.lines += 1;
            }
            meter
        };
        let lines =
            [("a b c d e", "a b c d e"), ("one two three four", "one two four"), ("x y z a", "x y z b")];
        let parts = [meter(&lines[..1]).sums().unwrap(), meter(&lines[1..]).sums().unwrap()];
        let (mut found, expected) = (meter(&lines[2..]), meter(&lines));
        found.combine(&parts).unwrap();
        assert_eq!((found.lines, found.exact), (3, 1));
        let (found, expected) = (found.measured(), expected.measured());
        assert!((found.loss - expected.loss).abs() < 1e-12);
        for ((name, found), (_, expected)) in found.figures.iter().zip(expected.figures.iter()) {
            assert!((found - expected).abs() < 1e-9, "{name}: {found}, {expected}");
        }
        let mut diverged = meter(&lines);
        diverged.loss.loss = f64::NAN;
        let sums = diverged.sums().unwrap();
        diverged.combine(&[sums]).unwrap();
        assert!(diverged.measured().loss.is_nan());
    }
}
