//! Detection of other programs on the cores of the workers.
//!
//! Workers that synchronise at every time step wait for the one that lost its core, so that another program on one core
//! slows down all of them. While workers lose much of their time, kernels run with one worker.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::tuning::{CONTENTION_DOUBLINGS, CONTENTION_SAMPLE, CONTENTION_SHARE, SINGLE_WORKER_PERIOD};

/// The contention that the workers of this process have measured.
pub(super) static CONTENTION: Contention = Contention::new();

/// Time zero of [`now`].
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Time of the workers, and the part of it without a core, in nanoseconds.
pub(super) struct Contention {
    elapsed: AtomicU64,
    lost: AtomicU64,
    /// When several workers may run again.
    resume: AtomicU64,
    /// Consecutive periods with one worker, counted up to [`CONTENTION_DOUBLINGS`]; each lasts twice as long as the one
    /// before.
    pauses: AtomicU64,
    /// Whether contention has no effect.
    is_ignored: AtomicBool,
}

impl Contention {
    const fn new() -> Self {
        Self {
            elapsed: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            resume: AtomicU64::new(0),
            pauses: AtomicU64::new(0),
            is_ignored: AtomicBool::new(false),
        }
    }

    /// Ignore contention from now on.
    pub(super) fn ignore(&self) {
        self.is_ignored.store(true, Ordering::Relaxed);
    }

    /// Return whether kernels should have one worker now.
    pub(super) fn is_high(&self) -> bool {
        let resume = self.resume.load(Ordering::Relaxed);
        resume != 0 && now() < resume && !self.is_ignored.load(Ordering::Relaxed)
    }

    /// Run a worker's part and add its times.
    pub(super) fn measure(&self, work: impl FnOnce()) {
        let Some(cpu) = thread_time() else { return work() };
        let begin = Instant::now();
        work();
        let elapsed = begin.elapsed();
        let cpu = thread_time().unwrap_or(cpu).saturating_sub(cpu);
        self.add(elapsed, elapsed.saturating_sub(cpu));
    }

    fn add(&self, elapsed: Duration, lost: Duration) {
        self.elapsed.fetch_add(nanoseconds(elapsed), Ordering::Relaxed);
        self.lost.fetch_add(nanoseconds(lost), Ordering::Relaxed);
    }

    /// Once workers have had [`CONTENTION_SAMPLE`], decide whether kernels run with one worker from `now` on.
    pub(super) fn decide(&self, now: u64) {
        let elapsed = self.elapsed.load(Ordering::Relaxed);
        if elapsed < nanoseconds(CONTENTION_SAMPLE) {
            return;
        }
        let lost = self.lost.swap(0, Ordering::Relaxed);
        self.elapsed.store(0, Ordering::Relaxed);
        if (lost as f64) < CONTENTION_SHARE * elapsed as f64 {
            self.pauses.store(0, Ordering::Relaxed);
            return;
        }
        let pauses = self.pauses.load(Ordering::Relaxed);
        self.pauses.store((pauses + 1).min(CONTENTION_DOUBLINGS), Ordering::Relaxed);
        self.resume.store(now + (nanoseconds(SINGLE_WORKER_PERIOD) << pauses), Ordering::Relaxed);
    }
}

/// Return the time since the first call, in nanoseconds, from 1.
pub(super) fn now() -> u64 {
    nanoseconds(START.elapsed()) + 1
}

fn nanoseconds(time: Duration) -> u64 {
    time.as_nanos() as u64
}

/// Return the processor time of this thread, where the system knows it.
fn thread_time() -> Option<Duration> {
    #[cfg(unix)]
    return {
        use rustix::time::{ClockId, clock_gettime};
        let time = clock_gettime(ClockId::ThreadCPUTime);
        Some(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
    };
    #[cfg(not(unix))]
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contention after a sample of which `share` is lost.
    fn sampled(contention: &Contention, share: f64, at: u64) {
        contention.add(CONTENTION_SAMPLE, CONTENTION_SAMPLE.mul_f64(share));
        contention.decide(at);
    }

    #[test]
    fn pauses_double_while_time_is_lost_and_end_with_it() {
        let contention = Contention::new();
        let pause = nanoseconds(SINGLE_WORKER_PERIOD);
        for doubled in (0..CONTENTION_DOUBLINGS).chain([CONTENTION_DOUBLINGS; 2]) {
            sampled(&contention, CONTENTION_SHARE, 7);
            assert_eq!(contention.resume.load(Ordering::Relaxed), 7 + (pause << doubled));
        }
        sampled(&contention, 0.9 * CONTENTION_SHARE, 8);
        sampled(&contention, 1.0, 9);
        assert_eq!(contention.resume.load(Ordering::Relaxed), 9 + pause);
    }

    #[test]
    fn short_samples_decide_nothing() {
        let contention = Contention::new();
        contention.add(CONTENTION_SAMPLE / 2, CONTENTION_SAMPLE / 2);
        contention.decide(1);
        assert!(!contention.is_high());
        let later = now() + nanoseconds(Duration::from_secs(3600));
        sampled(&contention, 1.0, later);
        assert!(contention.is_high());
        contention.ignore();
        assert!(!contention.is_high());
    }

    #[cfg(unix)]
    #[test]
    fn sleep_is_lost_time_and_work_is_not() {
        let contention = Contention::new();
        contention.measure(|| std::thread::sleep(Duration::from_millis(30)));
        let [elapsed, lost] =
            [&contention.elapsed, &contention.lost].map(|time| time.load(Ordering::Relaxed));
        assert!(elapsed >= 30_000_000 && lost >= elapsed / 10 * 9, "{lost} of {elapsed}");
        let contention = Contention::new();
        let begin = thread_time().unwrap();
        contention.measure(|| while thread_time().unwrap() - begin < Duration::from_millis(30) {});
        let [elapsed, lost] =
            [&contention.elapsed, &contention.lost].map(|time| time.load(Ordering::Relaxed));
        assert!(lost <= elapsed - 29_000_000, "{lost} of {elapsed}");
    }
}
