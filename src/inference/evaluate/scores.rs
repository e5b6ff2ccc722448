//! The figures of an evaluation.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::training::loss::Sum;
use crate::{Error, Result};

/// The result of an evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// The number of targets in the split.
    pub tokens: usize,
    /// The mean loss: nats per target, or squared error.
    pub loss: f64,
    /// `exp(loss)`; absent if the targets are numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub perplexity: Option<f64>,
    /// `loss / ln 2`; absent if the targets are numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_token: Option<f64>,
    /// The share of targets with the highest output; absent if the targets are numbers, and for
    /// models that adapt to the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accuracy: Option<f64>,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Targets per second.
    pub tokens_per_second: f64,
}

impl Scores {
    /// The scores of classes, from the sum of their losses.
    pub(super) fn of_classes(total: &Sum, began: Instant) -> Self {
        let count = total.count.max(1) as f64;
        let loss = total.loss / count;
        let seconds = began.elapsed().as_secs_f64();
        Self {
            tokens: total.count,
            loss,
            perplexity: Some(loss.exp()),
            bits_per_token: Some(loss / std::f64::consts::LN_2),
            accuracy: Some(total.correct as f64 / count),
            seconds,
            tokens_per_second: total.count as f64 / seconds.max(1e-9),
        }
    }

    /// These scores, unless they are meaningless.
    ///
    /// # Errors
    /// If the loss is NaN or infinite.
    pub(super) fn finite(self) -> Result<Self> {
        match self.loss.is_finite() {
            true => Ok(self),
            false => Err(Error::Message(format!(
                "the mean loss of {} targets is {}: numbers overflow in the network, whose parameters are finite \
                 but too large, or the data has numbers out of range",
                self.tokens, self.loss
            ))),
        }
    }
}
