//! One line of `metrics.jsonl`.

use serde::{Deserialize, Serialize};

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metric {
    /// Optimizer steps taken.
    pub step: usize,
    /// Epochs completed.
    pub epoch: usize,
    /// `train` or `valid`.
    pub split: String,
    /// Mean loss. For `train`, over the steps since the last line. For `valid`, over the validation split or its
    /// first 250,000 tokens, read in 16 lanes.
    pub loss: f64,
    /// `exp(loss)`. Absent for numeric targets, and for `train` with smoothed labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// `loss / ln 2`. Absent where the perplexity is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_token: Option<f64>,
    /// Fraction of correct answers. Absent for `train` and for numeric targets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Learning rate.
    pub lr: f64,
    /// Targets per second.
    pub tokens_per_second: f64,
    /// Seconds since the start of the run.
    pub seconds: f64,
}
