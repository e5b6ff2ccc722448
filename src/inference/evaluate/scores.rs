//! The figures of an evaluation.

use std::time::Instant;

use serde::Serialize;

use crate::error::overflow;
use crate::tasks::{Baselines, ClassReport, Figures, Measured};
use crate::{Error, Result};

/// The result of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EvaluationResult {
    /// The number of targets in the split.
    pub tokens: usize,
    /// The mean loss: nats per target, or squared error.
    pub loss: f64,
    /// The other figures of the task. The accuracy is absent for models that adapt to the text.
    #[serde(flatten)]
    pub figures: Figures,
    /// The classes of a classifier or tagger.
    #[serde(flatten)]
    pub classes: Option<ClassReport>,
    /// The figures of naive forecasts.
    #[serde(flatten)]
    pub baselines: Option<Baselines>,
    /// Wall-clock seconds.
    pub seconds: f64,
    /// Targets per second.
    pub tokens_per_second: f64,
}

impl EvaluationResult {
    /// The results of an evaluation that began at `began` and ends now.
    pub(super) fn new(measured: Measured, began: Instant) -> Self {
        let Measured { targets, loss, figures, classes, baselines } = measured;
        let seconds = began.elapsed().as_secs_f64();
        let tokens_per_second = targets as f64 / seconds.max(1e-9);
        Self { tokens: targets, loss, figures, classes, baselines, seconds, tokens_per_second }
    }

    /// These scores, unless they are meaningless.
    ///
    /// # Errors
    /// If the loss or another figure is NaN or infinite.
    pub(super) fn finite(self) -> Result<Self> {
        let mut figures = std::iter::once(("mean loss", self.loss)).chain(self.figures.iter());
        if let Some((name, value)) = figures.find(|(_, value)| !value.is_finite()) {
            let result = format!("the {name} of {} targets is {value}", self.tokens);
            return Err(Error::Message(overflow(result)));
        }
        drop(figures);
        Ok(self)
    }
}
