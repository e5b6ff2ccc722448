//! Whether other programs use the cores that the workers need.
//!
//! Workers that meet at a barrier at every time step advance with the slowest of them. If another program takes the
//! core of one, all wait for whole time slices of the operating system, a thousand times as long as a step. One worker
//! alone is faster then. Results do not depend on the number of workers, so it may change from call to call.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::tuning::{CONTENTION_PAUSE, CONTENTION_PAUSE_MAX};

/// Chooses when kernels run on one worker because the cores are taken.
pub(super) struct Contention {
    /// The end of the pause, in nanoseconds since the start of the program.
    paused_until: AtomicU64,
    /// The length of the last pause in nanoseconds; 0 if the workers have had their cores since.
    pause: AtomicU64,
}

impl Contention {
    /// Workers whose cores are free.
    pub(super) const fn new() -> Self {
        Self { paused_until: AtomicU64::new(0), pause: AtomicU64::new(0) }
    }

    /// Whether a call that starts at `now` runs on one worker.
    pub(super) fn is_paused(&self, now: Duration) -> bool {
        nanoseconds(now) < self.paused_until.load(Ordering::Relaxed)
    }

    /// Learn from a call of several workers that ended at `now` and took `wall`, of which the workers waited `stalled`
    /// for others that had no core, in sum over the barriers.
    pub(super) fn learn(&self, now: Duration, wall: Duration, stalled: Duration) {
        if stalled * 2 <= wall {
            self.pause.store(0, Ordering::Relaxed);
            return;
        }
        // A call that tries again costs as much as it stalls, so pauses double while the cores stay taken.
        let longest = nanoseconds(CONTENTION_PAUSE_MAX);
        let pause = self.pause.load(Ordering::Relaxed).saturating_mul(2);
        let pause = pause.clamp(nanoseconds(CONTENTION_PAUSE.max(wall)).min(longest), longest);
        self.pause.store(pause, Ordering::Relaxed);
        self.paused_until.store(nanoseconds(now).saturating_add(pause), Ordering::Relaxed);
    }
}

/// Return the time since the first call.
pub(super) fn now() -> Duration {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed()
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn calls_that_stall_pause_the_workers_for_longer_each_time() {
        let contention = Contention::new();
        let mut now = 1000 * MS;
        let mut pause = CONTENTION_PAUSE;
        for _ in 0..12 {
            contention.learn(now, 10 * MS, 6 * MS);
            assert!(contention.is_paused(now + pause - MS));
            assert!(!contention.is_paused(now + pause));
            now += pause;
            pause = (pause * 2).min(CONTENTION_PAUSE_MAX);
        }
        assert_eq!(pause, CONTENTION_PAUSE_MAX);
        // A call that got its cores ends that: the next pause is the shortest again.
        contention.learn(now, 10 * MS, 5 * MS);
        assert!(!contention.is_paused(now));
        contention.learn(now, 10 * MS, 6 * MS);
        assert!(!contention.is_paused(now + CONTENTION_PAUSE));
    }

    #[test]
    fn pauses_outlast_the_call_that_stalled() {
        let contention = Contention::new();
        contention.learn(Duration::ZERO, 1000 * MS, 900 * MS);
        assert!(contention.is_paused(999 * MS));
    }
}
