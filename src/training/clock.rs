//! Elapsed time of a run.

use std::time::{Duration, Instant};

/// Elapsed time of a run, including the time before it was resumed, and lap times.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    /// Seconds before the run was resumed.
    before: f64,
    start: Instant,
    lap_start: Instant,
}

impl Clock {
    /// Start a clock at `before` seconds.
    pub(super) fn start(before: f64) -> Self {
        let now = Instant::now();
        Self { before, start: now, lap_start: now }
    }

    /// Return the seconds since the start of the run.
    pub(super) fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    /// Return the time since the last lap, and start a new lap.
    pub(super) fn lap(&mut self) -> Duration {
        let now = Instant::now();
        now - std::mem::replace(&mut self.lap_start, now)
    }
}
