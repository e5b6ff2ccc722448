//! chrF of a corpus of translations, as sacrebleu computes it by default.
//!
//! Popović (2015), "chrF: character n-gram F-score for automatic MT evaluation". White space is removed. Precision and
//! recall are means over the `n`-grams of characters, `n` from 1 to 6, of the whole corpus; an `n` without any in the
//! translations or in the references is left out.
//!
//! ```text
//! chrF = 100 (1 + beta^2) P R / (beta^2 P + R)      beta = 2
//! ```
//!
//! The signature of sacrebleu is `nrefs:1|case:mixed|eff:yes|nc:6|nw:0|space:no`.

use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

use super::bleu::{shared, words};

/// The length of the longest n-grams.
const ORDER: usize = 6;

/// The weight of recall against precision.
const BETA: f64 = 2.;

/// Counts from which chrF follows; those of a corpus are the sums of those of its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChrfCounts {
    /// N-grams of the translations, by n from 1 to 6; those of lines whose reference has none of that length are left
    /// out.
    pub total: [u64; ORDER],
    /// N-grams of the references, by n from 1 to 6.
    pub reference_total: [u64; ORDER],
    /// N-grams of the translations that occur in their references, by n from 1 to 6.
    pub right: [u64; ORDER],
}

impl ChrfCounts {
    /// The counts of one line.
    pub fn new(translation: &str, reference: &str) -> Self {
        let [translation, reference] =
            [translation, reference].map(|line| words(line).flat_map(str::chars).collect::<Vec<char>>());
        let mut counts = Self::default();
        for n in 1..=ORDER {
            let count = |line: &[char]| (line.len() + 1).saturating_sub(n) as u64;
            counts.reference_total[n - 1] = count(&reference);
            counts.total[n - 1] = if count(&reference) > 0 { count(&translation) } else { 0 };
            counts.right[n - 1] = shared(&translation, &reference, n);
        }
        counts
    }

    /// chrF, from 0 to 100.
    pub fn score(&self) -> f64 {
        let (mut precision, mut recall, mut orders) = (0., 0., 0.);
        for n in 0..ORDER {
            if self.total[n] > 0 && self.reference_total[n] > 0 {
                precision += self.right[n] as f64 / self.total[n] as f64;
                recall += self.right[n] as f64 / self.reference_total[n] as f64;
                orders += 1.;
            }
        }
        if precision + recall == 0. {
            return 0.;
        }
        let (precision, recall, factor) = (precision / orders, recall / orders, BETA * BETA);
        100. * (1. + factor) * precision * recall / (factor * precision + recall)
    }
}

impl AddAssign for ChrfCounts {
    fn add_assign(&mut self, other: Self) {
        for n in 0..ORDER {
            self.total[n] += other.total[n];
            self.reference_total[n] += other.reference_total[n];
            self.right[n] += other.right[n];
        }
    }
}

impl Sum for ChrfCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// The file `tests/golden/translation_scores.json`, which `scripts/golden/translation_scores.py` makes with
    /// sacrebleu.
    #[derive(Deserialize)]
    struct Golden {
        corpora: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        translations: Vec<String>,
        references: Vec<String>,
        chrf: f64,
        /// For each n: n-grams of the translations, of the references, and of both.
        chrf_counts: Vec<[u64; 3]>,
    }

    #[test]
    fn scores_are_those_of_sacrebleu() {
        let golden: Golden =
            serde_json::from_str(include_str!("../../tests/golden/translation_scores.json")).unwrap();
        assert!(golden.corpora.len() >= 40 && golden.corpora.iter().any(|case| case.chrf == 0.));
        for case in golden.corpora {
            let lines = case.translations.iter().zip(&case.references);
            let counts: ChrfCounts = lines.map(|(line, reference)| ChrfCounts::new(line, reference)).sum();
            for (n, expected) in case.chrf_counts.into_iter().enumerate() {
                let found = [counts.total[n], counts.reference_total[n], counts.right[n]];
                assert_eq!(found, expected, "{:?}", case.translations);
            }
            assert!((counts.score() - case.chrf).abs() < 1e-9, "{} is not {}", counts.score(), case.chrf);
        }
    }

    #[test]
    fn no_lines_and_empty_lines_score_zero() {
        assert_eq!(ChrfCounts::default().score(), 0.);
        assert_eq!(ChrfCounts::new("", " ").score(), 0.);
        assert!((ChrfCounts::new("a b", "ab").score() - 100.).abs() < 1e-9);
    }
}
