//! The threads of the kernels.
//!
//! Starting and joining threads at every time step would cost more than the step. Workers start once per sequence
//! instead, and synchronise within it by spinning at a [`Barrier`]. They run on candle's thread pool: a second pool
//! that spins would compete with it for the cores.

use std::cell::Cell;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use candle_core::utils::barrier_pool;
use pulp::{Simd, WithSimd};

use super::contention::{self, CONTENTION};
use super::simd::Isa;
use super::tuning::BARRIER_SPINS;

/// The message if the lock of an item is poisoned.
const NOT_POISONED: &str = "invariant: a thread that panics with the lock ends the call";

/// The limit that [`set_threads`] has set; 0 without one.
static THREADS: AtomicUsize = AtomicUsize::new(0);

/// The most workers of a run since the last [`take_most_workers`]; 0 if no run had several.
static MOST_WORKERS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether this thread runs the body of a worker.
    static IS_WORKER: Cell<bool> = const { Cell::new(false) };
}

/// Return the number of workers: all threads of candle's pool (`CANDLE_NUM_THREADS`, else `RAYON_NUM_THREADS`, else
/// one per core), or the limit of [`set_threads`] if that is less.
pub fn threads() -> usize {
    let pool = barrier_pool().n_workers() + 1;
    match THREADS.load(Ordering::Relaxed) {
        0 => pool,
        limit => limit.min(pool),
    }
}

/// Return the number of workers for `multiplications`: one if there are fewer than `parallel_from`.
pub(crate) fn threads_for(multiplications: usize, parallel_from: usize) -> usize {
    if multiplications < parallel_from { 1 } else { threads() }
}

/// Limit the workers of all later kernels but those of [`run_chunked`], to one at least. Results do not depend on the
/// number of workers.
pub fn set_threads(threads: usize) {
    THREADS.store(threads.max(1), Ordering::Relaxed);
}

/// Let kernels have all their workers from now on, whatever other programs take of the cores. For tests of several
/// workers, which otherwise may run with one.
#[doc(hidden)]
pub fn ignore_other_programs() {
    CONTENTION.ignore();
}

/// Return the most workers of a kernel since the last call; 0 if none had several. For tests of several workers.
#[doc(hidden)]
pub fn take_most_workers() -> usize {
    MOST_WORKERS.swap(0, Ordering::Relaxed)
}

/// One of the workers that run a kernel together.
#[derive(Clone, Copy)]
pub(crate) struct Worker<'a> {
    /// The number of this worker, from 0.
    pub(crate) index: usize,
    /// Workers of this run.
    pub(crate) count: usize,
    barrier: &'a Barrier,
}

impl Worker<'_> {
    /// Wait until all workers have called this. Their earlier writes are visible afterwards.
    pub(crate) fn wait(&self) {
        if self.count > 1 {
            self.barrier.wait(self.count);
        }
    }

    /// Return this worker's share of the indices below `total`.
    pub(crate) fn share(&self, total: usize) -> Range<usize> {
        total * self.index / self.count..total * (self.index + 1) / self.count
    }
}

/// Run `work` once per worker, concurrently, with at most `limit` workers; return when all are done. There may
/// be fewer workers than `limit`, one while other programs take the cores: `work` reads [`Worker::count`].
pub(crate) fn run(limit: usize, work: &(dyn Fn(Worker<'_>) + Sync)) {
    let alone = limit <= 1 || IS_WORKER.get() || CONTENTION.is_high();
    run_all(if alone { 1 } else { limit }, &|worker| match worker.count {
        1 => work(worker),
        _ => CONTENTION.measure(|| work(worker)),
    });
    if !alone {
        CONTENTION.decide(contention::now());
    }
}

/// Run as [`run`], without regard to other programs.
fn run_all(limit: usize, work: &(dyn Fn(Worker<'_>) + Sync)) {
    let barrier = Barrier::default();
    let pool = barrier_pool().n_workers() + 1;
    // A thread of the pool cannot wait for the pool: it would wait for itself.
    let count = if IS_WORKER.get() { 1 } else { limit.min(pool) };
    if count <= 1 {
        return work(Worker { index: 0, count: 1, barrier: &barrier });
    }
    MOST_WORKERS.fetch_max(count, Ordering::Relaxed);
    // The pool numbers its threads from 0 and the caller last; here the caller is worker 0.
    let caller = pool - 1;
    barrier_pool().execute(|thread| {
        let index = if thread == caller { 0 } else { thread + 1 };
        if index < count {
            as_worker(|| abort_on_unwind(|| work(Worker { index, count, barrier: &barrier })));
        }
    });
}

/// Run `work` on ranges that together cover the indices below `total`, on all threads of candle's pool, whatever the
/// limit of [`set_threads`]. Kernels that `work` calls run on the calling thread alone: a thread of the pool that
/// waited for the pool would wait for itself. `work` must not call ops of candle that run on its thread pool. The
/// process aborts if `work` panics on several threads.
pub fn run_chunked(total: usize, work: impl Fn(Range<usize>) + Sync) {
    if IS_WORKER.get() || CONTENTION.is_high() {
        return work(0..total);
    }
    barrier_pool().execute_chunked(total, |range| as_worker(|| abort_on_unwind(|| work(range))));
}

/// Run `work` on every item, concurrently, and return the results in the order of the items. Kernels that `work` calls
/// for one of several items run on the thread of that item alone; those for a single item run on all threads. `work`
/// must not call ops of candle that run on its thread pool. The process aborts if `work` panics for one of several
/// items.
pub(crate) fn run_items<T: Send, R: Send>(items: Vec<T>, work: impl Fn(T) -> R + Sync) -> Vec<R> {
    let slots: Vec<_> = items.into_iter().map(|item| Mutex::new((Some(item), None))).collect();
    run(slots.len().min(threads()), &|worker| {
        for slot in &slots[worker.share(slots.len())] {
            let mut slot = slot.lock().expect(NOT_POISONED);
            slot.1 = slot.0.take().map(&work);
        }
    });
    let result = |slot: Mutex<(_, Option<R>)>| slot.into_inner().expect(NOT_POISONED).1;
    slots.into_iter().map(|slot| result(slot).expect("invariant: a worker took every item")).collect()
}

/// Run `work` on this thread, marked as a worker.
fn as_worker(work: impl FnOnce()) {
    /// Clears the mark, also if `work` panics.
    struct Mark;
    impl Drop for Mark {
        fn drop(&mut self) {
            IS_WORKER.set(false);
        }
    }
    IS_WORKER.set(true);
    let _mark = Mark;
    work();
}

/// The work of a kernel, generic over the instruction set.
pub(crate) trait Kernel: Sync {
    /// Run `part`, a worker's call of [`Kernel::run`], as compiled for `isa`.
    fn run_as<W: WithSimd<Output = ()>>(isa: Isa, part: W) {
        isa.run(part);
    }

    /// Compute one worker's part.
    ///
    /// # Safety
    /// Each kernel states its own conditions.
    unsafe fn run<S: Simd>(&self, simd: S, worker: Worker<'_>);
}

/// Run `kernel` with at most `limit` workers, as compiled for `isa`.
///
/// # Safety
/// The conditions of the kernel's [`Kernel::run`].
pub(crate) unsafe fn run_kernel(isa: Isa, limit: usize, kernel: &impl Kernel) {
    struct Part<'a, K>(&'a K, Worker<'a>);
    impl<K: Kernel> WithSimd for Part<'_, K> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            // SAFETY: the promise of `run_kernel`'s caller.
            unsafe { self.0.run(simd, self.1) }
        }
    }
    fn call<K: Kernel>(isa: Isa, kernel: &K, worker: Worker<'_>) {
        K::run_as(isa, Part(kernel, worker));
    }
    run(limit, &|worker| call(isa, kernel, worker));
}

/// Run `work`; abort the process if it unwinds. A worker that stops early would leave the others waiting at
/// the barrier.
fn abort_on_unwind(work: impl FnOnce()) {
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

/// A reusable spinning barrier.
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
            if spins < BARRIER_SPINS {
                std::hint::spin_loop();
            } else {
                std::thread::yield_now();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_worker_runs_once_and_barrier_holds_all() {
        for limit in [1, 2, 3, 5] {
            let rounds = 50;
            let arrivals: Vec<AtomicUsize> = (0..rounds).map(|_| AtomicUsize::new(0)).collect();
            let seen = Mutex::new(vec![]);
            run_all(limit, &|worker| {
                for arrivals in &arrivals {
                    arrivals.fetch_add(1, Ordering::Relaxed);
                    worker.wait();
                    // Fewer arrivals mean that the barrier opened early.
                    assert_eq!(arrivals.load(Ordering::Relaxed), worker.count);
                    worker.wait();
                }
                seen.lock().unwrap().push((worker.index, worker.count));
            });
            let mut seen = seen.into_inner().unwrap();
            seen.sort_unstable();
            let count = limit.min(barrier_pool().n_workers() + 1);
            assert_eq!(seen, (0..count).map(|index| (index, count)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn nested_run_has_one_worker() {
        let nested = Mutex::new(vec![]);
        run_all(2, &|outer| {
            let marked = outer.count > 1;
            assert_eq!(IS_WORKER.get(), marked);
            if marked {
                run_all(2, &|inner| nested.lock().unwrap().push((outer.index, inner.index, inner.count)));
            }
        });
        let mut nested = nested.into_inner().unwrap();
        nested.sort_unstable();
        let count = 2.min(barrier_pool().n_workers() + 1);
        let expected = if count > 1 { vec![(0, 0, 1), (1, 0, 1)] } else { vec![] };
        assert_eq!(nested, expected);
        assert!(!IS_WORKER.get(), "the mark outlives the worker");
    }

    #[test]
    fn items_give_their_results_in_order() {
        for count in [0, 1, 2, 7] {
            let results = run_items((0..count).collect(), |item| (item * item, IS_WORKER.get()));
            let squares: Vec<usize> = results.iter().map(|(square, _)| *square).collect();
            assert_eq!(squares, (0..count).map(|item| item * item).collect::<Vec<_>>());
            assert!(count > 1 || results.iter().all(|(_, is_worker)| !is_worker));
        }
    }

    #[test]
    fn shares_cover_everything_once() {
        let barrier = Barrier::default();
        for (count, total) in [(1, 7), (3, 10), (4, 2)] {
            let shares = (0..count).flat_map(|index| Worker { index, count, barrier: &barrier }.share(total));
            assert_eq!(shares.collect::<Vec<_>>(), (0..total).collect::<Vec<_>>());
        }
    }
}
