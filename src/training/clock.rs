//! The time that a run has taken.

use std::time::{Duration, Instant};

/// Measures the seconds of a run, including those before it was resumed, and of its laps.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    before: f64,
    began: Instant,
    lap: Instant,
}

impl Clock {
    /// A clock that shows `before` seconds and runs.
    pub(super) fn start(before: f64) -> Self {
        let now = Instant::now();
        Self { before, began: now, lap: now }
    }

    /// Seconds since the start of the run.
    pub(super) fn seconds(&self) -> f64 {
        self.before + self.began.elapsed().as_secs_f64()
    }

    /// The time since the last lap; a new lap begins.
    pub(super) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.lap, now)
    }
}
