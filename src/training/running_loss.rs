//! The training loss since the last report.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The mean training loss since the last report. It is part of a checkpoint, so that a resumed run reports at the
/// same steps and with the same losses as an uninterrupted one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct RunningLoss {
    /// Summed over targets.
    loss: f64,
    targets: usize,
    steps: usize,
    seconds: f64,
}

impl RunningLoss {
    /// Add a step with the mean loss `loss` over `targets` targets.
    pub(super) fn add(&mut self, loss: f64, targets: usize, time: Duration) {
        self.loss += loss * targets as f64;
        self.targets += targets;
        self.steps += 1;
        self.seconds += time.as_secs_f64();
    }

    /// The mean loss over all targets.
    pub(super) fn mean(&self) -> f64 {
        self.loss / self.targets.max(1) as f64
    }

    /// The number of steps.
    pub(super) fn steps(&self) -> usize {
        self.steps
    }

    /// Targets per second.
    pub(super) fn rate(&self) -> f64 {
        self.targets as f64 / self.seconds.max(1e-9)
    }

    /// Whether loss and time are finite, and the time is not negative.
    pub(super) fn is_valid(&self) -> bool {
        self.loss.is_finite() && (0. ..f64::MAX).contains(&self.seconds)
    }
}
