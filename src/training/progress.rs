//! The position of a run.

use serde::{Deserialize, Serialize};

use super::optim::AverageState;
use super::running_loss::RunningLoss;
use super::schedule::Scheduler;
use crate::rng::Position;

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

/// The best evaluation of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step after which it was made.
    pub step: usize,
    /// The validation loss.
    pub loss: f64,
}
