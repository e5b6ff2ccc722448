//! Named figures of an evaluation, besides the loss.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// `exp(loss)` of a loss in nats.
pub const PERPLEXITY: &str = "perplexity";

/// `loss / ln 2` of a loss in nats.
pub const BITS: &str = "bits_per_token";

/// The fraction of targets that are predicted right.
pub const ACCURACY: &str = "accuracy";

/// The mean F1 over classes.
pub const MACRO_F1: &str = "macro_f1";

/// The precision of tags; see [`Tag`](super::Tag).
pub const PRECISION: &str = "precision";

/// The recall of tags; see [`Tag`](super::Tag).
pub const RECALL: &str = "recall";

/// The F1 of tags; see [`Tag`](super::Tag).
pub const F1: &str = "f1";

/// The mean absolute error.
pub const MAE: &str = "mae";

/// The root of the mean squared error.
pub const RMSE: &str = "rmse";

/// The mean squared error.
pub const MSE: &str = "mse";

/// The symmetric mean absolute percentage error, from 0 to 200: the mean of `200 |y - f| / (|y| + |f|)` for a value `y`
/// and its forecast `f`, as in the M4 competition, with 0 where both are 0.
pub const SMAPE: &str = "smape";

/// BLEU of a corpus, from 0 to 100; see [`bleu`](super::bleu).
pub const BLEU: &str = "bleu";

/// chrF of a corpus, from 0 to 100; see [`chrf`](super::chrf).
pub const CHRF: &str = "chrf";

/// The fraction of translations that are the target word for word.
pub const EXACT: &str = "exact";
/// The mean absolute scaled error of the M4 competition; see [`series_scores`](super::series_scores).
pub const MASE: &str = "mase";

/// Named figures of an evaluation, besides the loss, in the order in which they are reported. In JSON they are
/// members of the object around them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures(Vec<(String, f64)>);

impl Figures {
    /// The figures that follow from a mean cross-entropy in nats: perplexity and bits per target.
    pub fn of_nats(loss: f64) -> Self {
        Self::default().with(PERPLEXITY, loss.exp()).with(BITS, loss / std::f64::consts::LN_2)
    }

    /// These figures and one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: f64) -> Self {
        self.0.push((name.into(), value));
        self
    }

    /// The figures among `figures` that have a value.
    pub fn present(figures: impl IntoIterator<Item = (&'static str, Option<f64>)>) -> Self {
        let found = figures.into_iter().filter_map(|(name, value)| Some((name, value?)));
        found.fold(Self::default(), |figures, (name, value)| figures.with(name, value))
    }

    /// The value of the figure called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    /// All names and values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

impl Serialize for Figures {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for Figures {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // JSON has no NaN and no infinity; such a value was written as null.
        let figures = BTreeMap::<String, Option<f64>>::deserialize(deserializer)?;
        Ok(Self(figures.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()))
    }
}

/// A figure in words, with a percentage for a fraction; `None` for one that repeats another.
pub fn figure_text(name: &str, value: f64) -> Option<String> {
    let percentage = |words: &str, percent: f64| Some(format!("{words} {percent:.2} %"));
    match name {
        BITS | MSE => None,
        PERPLEXITY => Some(format!("perplexity {value:.2}")),
        ACCURACY => percentage("accuracy", 100. * value),
        MACRO_F1 => percentage("macro F1", 100. * value),
        PRECISION => percentage("precision", 100. * value),
        RECALL => percentage("recall", 100. * value),
        F1 => percentage("F1", 100. * value),
        SMAPE => percentage("sMAPE", value),
        BLEU => Some(format!("BLEU {value:.2}")),
        CHRF => Some(format!("chrF {value:.2}")),
        EXACT => percentage("exact match", 100. * value),
        MAE => Some(format!("MAE {value:.5}")),
        MASE => Some(format!("MASE {value:.4}")),
        RMSE => Some(format!("RMSE {value:.5}")),
        _ => Some(format!("{name} {value:.4}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_kept_in_json_and_null_is_absent() {
        let figures = Figures::of_nats(1.).with(ACCURACY, f64::NAN);
        let json = serde_json::to_string(&figures).unwrap();
        assert_eq!(json.find(PERPLEXITY), Some(2));
        assert!(json.find(BITS) < json.find(ACCURACY) && json.contains("\"accuracy\":null"), "{json}");
        let read: Figures = serde_json::from_str(&json).unwrap();
        assert_eq!((read.get(PERPLEXITY), read.get(ACCURACY)), (Some(1f64.exp()), None));
    }
}
