//! Counts of true and predicted classes, and the metrics that follow from them.
//!
//! The metrics are those of scikit-learn with `zero_division=0`. For class `k` with `tp` right predictions, `fp`
//! predictions of `k` for another class, and `fn` targets of `k` predicted as another class:
//!
//! ```text
//! precision = tp / (tp + fp)      recall = tp / (tp + fn)      F1 = 2 tp / (2 tp + fp + fn)      0 / 0 = 0
//! ```
//!
//! A macro average is the mean over the classes that occur among the targets or the predictions. A class that occurs
//! in neither does not count.

use std::collections::BTreeMap;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// Numbers of targets by true and by predicted class.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<ClassCount>", into = "Vec<ClassCount>")]
pub struct Confusion {
    /// By true class, then by predicted class.
    counts: BTreeMap<(u32, u32), u64>,
}

/// A true class, a predicted class and their number of targets: JSON has no pairs as keys.
type ClassCount = (u32, u32, u64);

impl From<Vec<ClassCount>> for Confusion {
    fn from(counts: Vec<ClassCount>) -> Self {
        Self {
            counts: counts.into_iter().map(|(truth, predicted, count)| ((truth, predicted), count)).collect(),
        }
    }
}

impl From<Confusion> for Vec<ClassCount> {
    fn from(confusion: Confusion) -> Self {
        confusion.counts.into_iter().map(|((truth, predicted), count)| (truth, predicted, count)).collect()
    }
}

impl AddAssign for Confusion {
    fn add_assign(&mut self, other: Self) {
        for (classes, count) in other.counts {
            *self.counts.entry(classes).or_default() += count;
        }
    }
}

/// The metrics of one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct ClassScore {
    /// The fraction of its predictions that are right.
    pub precision: f64,
    /// The fraction of its targets that are predicted.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// Number of targets.
    pub support: u64,
}

/// Means over classes, each with the same weight.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct MacroAverage {
    /// Mean precision.
    pub precision: f64,
    /// Mean recall.
    pub recall: f64,
    /// Mean F1, not the harmonic mean of the other two.
    pub f1: f64,
}

/// The counts of one class.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    right: u64,
    predicted: u64,
    support: u64,
}

impl Confusion {
    /// Count a target.
    pub fn add(&mut self, truth: u32, predicted: u32) {
        *self.counts.entry((truth, predicted)).or_default() += 1;
    }

    /// The number of targets of class `truth` that were predicted as `predicted`.
    pub fn count(&self, truth: u32, predicted: u32) -> u64 {
        self.counts.get(&(truth, predicted)).copied().unwrap_or_default()
    }

    /// The number of targets.
    pub fn total(&self) -> u64 {
        self.counts.values().sum()
    }

    /// The fraction of targets that were predicted right; 0 if there are none.
    pub fn accuracy(&self) -> f64 {
        let right = self.counts.iter().filter(|((truth, predicted), _)| truth == predicted);
        ratio(right.map(|(_, count)| count).sum(), self.total())
    }

    /// The metrics of each class that occurs among the targets or the predictions.
    pub fn scores(&self) -> BTreeMap<u32, ClassScore> {
        self.tallies().into_iter().map(|(class, tally)| (class, tally.score())).collect()
    }

    /// The means over the classes of [`Confusion::scores`]; 0 if there are none.
    pub fn macro_average(&self) -> MacroAverage {
        let scores = self.scores();
        let mean = |metric: fn(&ClassScore) -> f64| {
            scores.values().map(metric).sum::<f64>() / scores.len().max(1) as f64
        };
        MacroAverage {
            precision: mean(|score| score.precision),
            recall: mean(|score| score.recall),
            f1: mean(|score| score.f1),
        }
    }

    /// The classes that occur among the targets and were never predicted, with their numbers of targets.
    pub fn never_predicted(&self) -> Vec<(u32, u64)> {
        let missed = self.tallies().into_iter().filter(|(_, tally)| tally.predicted == 0);
        missed.map(|(class, tally)| (class, tally.support)).collect()
    }

    fn tallies(&self) -> BTreeMap<u32, Tally> {
        let mut tallies = BTreeMap::<u32, Tally>::new();
        for (&(truth, predicted), count) in &self.counts {
            tallies.entry(truth).or_default().support += count;
            let tally = tallies.entry(predicted).or_default();
            tally.predicted += count;
            tally.right += if truth == predicted { *count } else { 0 };
        }
        tallies
    }
}

impl Tally {
    fn score(&self) -> ClassScore {
        let Self { right, predicted, support } = *self;
        ClassScore {
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, predicted + support),
            support,
        }
    }
}

/// `part / whole`; 0 if `whole` is 0.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0. } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// A case of `tests/golden/class_metrics.json`, which `scripts/golden/class_metrics.py` makes.
    #[derive(Deserialize)]
    struct Case {
        truth: Vec<u32>,
        predicted: Vec<u32>,
        accuracy: f64,
        macro_precision: f64,
        macro_recall: f64,
        macro_f1: f64,
        /// Class, precision, recall, F1 and support.
        classes: Vec<(u32, f64, f64, f64, u64)>,
        never_predicted: Vec<(u32, u64)>,
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn metrics_are_those_of_the_golden_values() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/golden/class_metrics.json")).unwrap();
        assert!(cases.len() > 20 && cases.iter().any(|case| !case.never_predicted.is_empty()));
        for case in cases {
            let mut confusion = Confusion::default();
            for (&truth, &predicted) in case.truth.iter().zip(&case.predicted) {
                confusion.add(truth, predicted);
            }
            assert_eq!(confusion.total(), case.truth.len() as u64);
            assert_close(confusion.accuracy(), case.accuracy);
            let average = confusion.macro_average();
            assert_close(average.precision, case.macro_precision);
            assert_close(average.recall, case.macro_recall);
            assert_close(average.f1, case.macro_f1);
            let scores = confusion.scores();
            assert_eq!(scores.len(), case.classes.len());
            for ((found, score), (class, precision, recall, f1, support)) in
                scores.into_iter().zip(case.classes)
            {
                assert_eq!((found, score.support), (class, support));
                assert_close(score.precision, precision);
                assert_close(score.recall, recall);
                assert_close(score.f1, f1);
            }
            assert_eq!(confusion.never_predicted(), case.never_predicted);
        }
    }
}
