//! One line of `metrics.jsonl`.

use serde::{Deserialize, Serialize};

use crate::tasks::Figures;

/// One line of `metrics.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MetricsLine {
    /// Optimizer steps taken.
    pub step: usize,
    /// Epochs completed.
    pub epoch: usize,
    /// `train` or `valid`.
    pub split: String,
    /// Mean loss. For `train`, over the steps since the last line. For `valid`, over the validation split or its
    /// first 250,000 tokens, read in 1 to 16 rows.
    pub loss: f64,
    /// Whether this evaluation is the best so far, by the metric of the run: the parameters that it measured are kept.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub best: bool,
    /// The other figures of the task. For `train`, only those that follow from a loss in nats; none with smoothed
    /// labels.
    #[serde(flatten)]
    pub figures: Figures,
    /// Learning rate.
    pub lr: f64,
    /// Targets per second.
    pub tokens_per_second: f64,
    /// Seconds since the start of the run.
    pub seconds: f64,
}
