//! The threads of the kernels: one team, which runs a whole sequence at a time.
//!
//! A fork and join at every time step would cost more than the step. The team starts once a sequence;
//! within it, workers wait for one another by spinning at a [`Barrier`], a fraction of a microsecond. The
//! threads are those that candle's own ops use: two pools that both spin would fight for the same cores.

use std::cell::Cell;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::utils::barrier_pool;
use pulp::{Simd, WithSimd};

use super::Isa;

/// Spins at a barrier before the rest of the time slice is given away: whoever is waited for may have no
/// processor.
const PATIENCE: u32 = 1 << 14;

/// What [`set_threads`] said; 0 before.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Workers of the team: all threads of candle's pool (`CANDLE_NUM_THREADS`, else `RAYON_NUM_THREADS`, else
/// one a core), or fewer where [`set_threads`] said so.
pub fn threads() -> usize {
    let all = barrier_pool().n_workers() + 1;
    match THREADS.load(Ordering::Relaxed) {
        0 => all,
        threads => threads.min(all),
    }
}

/// Limits the workers of the team, at least one, for all kernels from here on. Results do not depend on it.
pub fn set_threads(threads: usize) {
    THREADS.store(threads.max(1), Ordering::Relaxed);
}

/// One worker's view of the team.
#[derive(Clone, Copy)]
pub(super) struct Worker<'a> {
    /// From 0.
    pub index: usize,
    /// Workers that work.
    pub count: usize,
    barrier: &'a Barrier,
}

impl Worker<'_> {
    /// Waits for all workers to come here. What they wrote before is visible after.
    pub(super) fn wait(&self) {
        if self.count > 1 {
            self.barrier.wait(self.count);
        }
    }

    /// This worker's share of `total` things.
    pub(super) fn share(&self, total: usize) -> Range<usize> {
        total * self.index / self.count..total * (self.index + 1) / self.count
    }
}

/// Runs `work` once for each of at most `workers`, at the same time, and returns when all are done. `work`
/// must ask the worker it is given how many there are.
pub(super) fn run(workers: usize, work: &(dyn Fn(Worker<'_>) + Sync)) {
    let barrier = Barrier::default();
    // Within the pool, or within a team, the pool would wait for itself.
    let within =
        TEAM.get() || std::thread::current().name().is_some_and(|name| name.starts_with("candle-bp-"));
    let count = if within { 1 } else { workers.min(barrier_pool().n_workers() + 1) };
    if count <= 1 {
        return work(Worker { index: 0, count: 1, barrier: &barrier });
    }
    let work = |index| unwinding_ends_the_process(|| work(Worker { index, count, barrier: &barrier }));
    // The pool calls its workers 0, 1, .. and the caller last.
    let caller = barrier_pool().n_workers();
    TEAM.set(true);
    barrier_pool().execute(|thread| {
        let index = if thread == caller { 0 } else { thread + 1 };
        if index < count {
            work(index);
        }
    });
    TEAM.set(false);
}

thread_local! {
    /// Whether this thread has called the team and waits for it.
    static TEAM: Cell<bool> = const { Cell::new(false) };
}

/// Work for a team, written for any instructions.
pub(super) trait Kernel: Sync {
    /// One worker's part.
    ///
    /// # Safety
    /// Each kernel says what it needs.
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>);
}

/// Runs a kernel with `workers` at a isa.
///
/// # Safety
/// That of the kernel's [`Kernel::run`].
pub(super) unsafe fn run_kernel(isa: Isa, workers: usize, kernel: &impl Kernel) {
    struct Part<'a, K>(&'a K, Worker<'a>);
    impl<K: Kernel> WithSimd for Part<'_, K> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            // SAFETY: the promise of `run_kernel`'s caller.
            unsafe { self.0.run(simd, self.1) }
        }
    }
    run(workers, &|worker| isa.run(Part(kernel, worker)));
}

/// A worker that fails leaves the others waiting for ever: better to end at once.
fn unwinding_ends_the_process(work: impl FnOnce()) {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            std::process::abort();
        }
    }
    let guard = Guard;
    work();
    std::mem::forget(guard);
}

/// Where workers wait for one another.
#[derive(Default)]
struct Barrier {
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    fn wait(&self, count: usize) {
        let round = self.round.load(Ordering::Relaxed);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == count {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while self.round.load(Ordering::Acquire) == round {
            spins += 1;
            if spins < PATIENCE {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn every_member_works_once_and_the_barrier_holds_all_of_them() {
        for workers in [1, 2, 3, 5] {
            let rounds = 50;
            let arrivals: Vec<AtomicUsize> = (0..rounds).map(|_| AtomicUsize::new(0)).collect();
            let seen = Mutex::new(vec![]);
            run(workers, &|worker| {
                for arrivals in &arrivals {
                    arrivals.fetch_add(1, Ordering::Relaxed);
                    worker.wait();
                    // All have arrived, or one was let through early.
                    assert_eq!(arrivals.load(Ordering::Relaxed), worker.count);
                    worker.wait();
                }
                seen.lock().unwrap().push((worker.index, worker.count));
            });
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            // Within the pool, or within a team, the pool would wait for itself.
            let within = TEAM.get()
                || std::thread::current().name().is_some_and(|name| name.starts_with("candle-bp-"));
            let count = if within { 1 } else { workers.min(barrier_pool().n_workers() + 1) };
            assert_eq!(seen, (0..count).map(|index| (index, count)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_team_within_a_team_is_one() {
        run(2, &|outer| run(2, &|inner| assert_eq!((inner.index, inner.count.min(outer.count)), (0, 1))));
        barrier_pool().execute(|_| {
            if std::thread::current().name().is_some_and(|name| name.starts_with("candle-bp-")) {
                run(2, &|worker| assert_eq!(worker.count, 1));
            }
        });
    }

    #[test]
    fn shares_are_everything_once() {
        let barrier = Barrier::default();
        for (count, total) in [(1, 7), (3, 10), (4, 2)] {
            let shares = (0..count).flat_map(|index| Worker { index, count, barrier: &barrier }.share(total));
            assert_eq!(shares.collect::<Vec<_>>(), (0..total).collect::<Vec<_>>());
        }
    }
}
