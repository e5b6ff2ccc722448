//! The position of a run.

use serde::{Deserialize, Serialize};

use super::optim::AverageState;
use super::running_loss::RunningLoss;
use super::schedule::Scheduler;
use crate::rng::{Position, Rng};
use crate::tasks::{Criterion, Figures};

/// The position of a run: with the parameters, the optimizer's state and the carried hidden state, it determines
/// every later step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps taken.
    pub step: usize,
    /// Epochs completed.
    pub epoch: usize,
    /// Batches of the current epoch that have been used.
    pub batch: usize,
    /// The best scheduled evaluation.
    pub best: Option<Best>,
    /// Scheduled evaluations since the best.
    pub without_improvement: usize,
    /// The loss of the first step, from which divergence is detected.
    pub first_loss: Option<f64>,
    /// The training loss since the last report.
    #[serde(default)]
    pub running: RunningLoss,
    /// The learning-rate schedule and its state.
    pub scheduler: Scheduler,
    /// The state of the parameter average.
    #[serde(default)]
    pub average: AverageState,
    /// The position of the generator of dropout masks.
    pub noise: Position,
    /// Seconds of training.
    pub seconds: f64,
}

impl Progress {
    /// The epoch of the last step, counted from 0.
    pub(super) fn last_epoch(&self) -> usize {
        match self.batch {
            0 => self.epoch.saturating_sub(1),
            _ => self.epoch,
        }
    }

    /// Check values that were read from a file. An epoch has `batches` batches.
    ///
    /// # Errors
    /// The name of an impossible value and what was expected.
    pub(super) fn check(&self, batches: usize) -> Result<(), String> {
        let Self { step, epoch, batch, without_improvement, .. } = *self;
        let total = self.scheduler.total_steps();
        let at_most = |name: &str, value: usize, most: usize, what: &str| match value <= most {
            true => Ok(()),
            false => Err(format!("`progress.{name}` is {value}; expected at most {most}, {what}")),
        };
        let not_negative = |name: &str, value: f64| match (0. ..f64::MAX).contains(&value) {
            true => Ok(()),
            false => Err(format!("`progress.{name}` is {value}; expected a number of at least 0")),
        };
        // Negative log-likelihoods of densities lie below 0, too.
        let finite = |name: &str, value: f64| match value.is_finite() {
            true => Ok(()),
            false => Err(format!("`progress.{name}` is {value}; expected a finite number")),
        };
        let taken = "the steps that were taken";
        at_most("step", step, total, "the steps of the run")?;
        at_most("epoch", epoch, step, taken)?;
        at_most("batch", batch, batches.saturating_sub(1), "the last batch of an epoch, counted from 0")?;
        at_most("without_improvement", without_improvement, step, taken)?;
        at_most("running.steps", self.running.steps(), step, taken)?;
        finite("first_loss", self.first_loss.unwrap_or_default())?;
        if !self.running.is_valid() {
            return Err(
                "`progress.running` has a loss that is not finite, or a time that is not a number of at least 0"
                    .into(),
            );
        }
        not_negative("seconds", self.seconds)?;
        if let Some(best) = &self.best {
            at_most("best.step", best.step, step, taken)?;
            finite("best.loss", best.loss)?;
        }
        self.noise().map(drop)
    }

    /// The generator of dropout masks at its position.
    ///
    /// # Errors
    /// The problem, if the position is impossible.
    pub(super) fn noise(&self) -> Result<Rng, String> {
        let problem = || "`progress.noise` is not a position of the random generator".to_string();
        self.noise.restore().ok_or_else(problem)
    }
}

/// The best evaluation of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step after which it was made.
    pub step: usize,
    /// The validation loss.
    pub loss: f64,
    /// The other figures; runs of older versions have none.
    #[serde(default)]
    pub figures: Figures,
}

impl Best {
    /// Whether this evaluation is better than `other` by `criterion`. Of two with the same value, the one with the
    /// lower loss is better.
    pub(super) fn is_better(&self, other: &Self, criterion: Criterion) -> bool {
        let [own, best] = [self, other].map(|scores| criterion.value(scores.loss, &scores.figures));
        criterion.is_better(own, best) || (own == best && self.loss < other.loss)
    }
}
