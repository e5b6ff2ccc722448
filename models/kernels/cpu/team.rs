//! The threads of the kernels: one team, which runs a whole sequence at a time.
//!
//! A fork and join at every time step would cost more than the step. The team starts once a sequence;
//! within it, members wait for one another by spinning at a [`Barrier`], a fraction of a microsecond.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use pulp::{Simd, WithSimd};

use super::Level;

/// How long an idle worker looks out for work before it sleeps: longer than what lies between two kernels
/// of a training step, or two tokens of a text.
const ALERT: Duration = Duration::from_micros(200);

/// Spins at a barrier before the rest of the time slice is given away: whoever is waited for may have no
/// processor.
const PATIENCE: u32 = 1 << 14;

static THREADS: AtomicUsize = AtomicUsize::new(0);

/// Members of the team: what [`set_threads`] said, else what candle uses, which is `RAYON_NUM_THREADS` or
/// the number of processors.
pub fn threads() -> usize {
    match THREADS.load(Ordering::Relaxed) {
        0 => candle_core::utils::get_num_threads().max(1),
        threads => threads,
    }
}

/// Sets the members of the team, at least one, for all kernels from here on. Results do not depend on it.
pub fn set_threads(threads: usize) {
    THREADS.store(threads.max(1), Ordering::Relaxed);
}

/// One member's view of the team.
#[derive(Clone, Copy)]
pub(super) struct Member<'a> {
    /// From 0.
    pub index: usize,
    /// Members that work.
    pub count: usize,
    barrier: &'a Barrier,
}

impl Member<'_> {
    /// Waits for all members to come here. What they wrote before is visible after.
    pub fn wait(&self) {
        if self.count > 1 {
            self.barrier.wait(self.count);
        }
    }

    /// This member's share of `total` things.
    pub fn share(&self, total: usize) -> std::ops::Range<usize> {
        total * self.index / self.count..total * (self.index + 1) / self.count
    }
}

/// Runs `work` once for each of `members`, at the same time, and returns when all are done.
///
/// Where the team is busy with another thread's work, or `members` is one, the caller does all alone:
/// `work` must ask the member it is given how many there are.
pub(super) fn run(members: usize, work: &(dyn Fn(Member<'_>) + Sync)) {
    let barrier = Barrier::new();
    let alone = Member { index: 0, count: 1, barrier: &barrier };
    if members <= 1 {
        return work(alone);
    }
    static CREW: OnceLock<Mutex<Crew>> = OnceLock::new();
    let crew = CREW.get_or_init(|| Mutex::new(Crew { workers: vec![] }));
    let mut crew = match crew.try_lock() {
        Ok(crew) => crew,
        Err(TryLockError::Poisoned(poisoned)) => PoisonError::into_inner(poisoned),
        Err(TryLockError::WouldBlock) => return work(alone),
    };
    crew.run(members, &barrier, work);
}

/// Work for a team, written for any instructions.
pub(super) trait Kernel: Sync {
    /// One member's part.
    ///
    /// # Safety
    /// Each kernel says what it needs.
    unsafe fn run<S: Simd>(&self, simd: S, member: Member<'_>);
}

/// Runs a kernel with `members` at a level.
///
/// # Safety
/// That of the kernel's [`Kernel::run`].
pub(super) unsafe fn run_kernel(level: Level, members: usize, kernel: &impl Kernel) {
    struct Part<'a, K>(&'a K, Member<'a>);
    impl<K: Kernel> WithSimd for Part<'_, K> {
        type Output = ();
        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            // SAFETY: the promise of `run_kernel`'s caller.
            unsafe { self.0.run(simd, self.1) }
        }
    }
    run(members, &|member| level.run(Part(kernel, member)));
}

/// The workers that have been started.
struct Crew {
    workers: Vec<&'static Post>,
}

/// Where one worker finds its work.
struct Post {
    /// Counts up when there is work (odd) and when it is done (even).
    turn: AtomicUsize,
    job: UnsafeCell<Option<Job>>,
    asleep: Mutex<bool>,
    wake: Condvar,
}

// SAFETY: `job` is written by the crew while `turn` is even and read by the worker while it is odd; the
// release and acquire of `turn` order the two.
unsafe impl Sync for Post {}

/// Work for one worker; the lifetimes of both references are erased, see [`Crew::run`].
#[derive(Clone, Copy)]
struct Job {
    member: Member<'static>,
    work: &'static (dyn Fn(Member<'_>) + Sync),
}

impl Crew {
    fn run(&mut self, members: usize, barrier: &Barrier, work: &(dyn Fn(Member<'_>) + Sync)) {
        while self.workers.len() + 1 < members {
            let post: &'static Post = Box::leak(Box::new(Post {
                turn: AtomicUsize::new(0),
                job: UnsafeCell::new(None),
                asleep: Mutex::new(false),
                wake: Condvar::new(),
            }));
            let name = "rnn-zoo kernels".to_string();
            if std::thread::Builder::new().name(name).spawn(move || post.serve()).is_err() {
                break; // fewer hands do the same work
            }
            self.workers.push(post);
        }
        let count = members.min(self.workers.len() + 1);
        // SAFETY: the workers use these references only until `finish` has returned for each of them, which
        // is before this function returns: nothing in between unwinds, for a panic in `work` ends the process.
        let (barrier, work) = unsafe {
            (
                std::mem::transmute::<&Barrier, &'static Barrier>(barrier),
                std::mem::transmute::<&(dyn Fn(Member<'_>) + Sync), &'static (dyn Fn(Member<'_>) + Sync)>(
                    work,
                ),
            )
        };
        let member = |index| Member { index, count, barrier };
        let posts = &self.workers[..count - 1];
        for (at, post) in posts.iter().enumerate() {
            post.start(Job { member: member(at + 1), work });
        }
        unwinding_ends_the_process(|| work(member(0)));
        posts.iter().for_each(|post| post.finish());
    }
}

impl Post {
    fn start(&self, job: Job) {
        // SAFETY: `turn` is even, as `finish` left it: the worker does not look at the job.
        unsafe { *self.job.get() = Some(job) };
        self.turn.fetch_add(1, Ordering::Release);
        let asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        if *asleep {
            self.wake.notify_one();
        }
    }

    fn finish(&self) {
        let mut spins = 0;
        while self.turn.load(Ordering::Acquire) % 2 == 1 {
            pause(&mut spins);
        }
    }

    /// The worker's life.
    fn serve(&self) {
        loop {
            self.look_out();
            // SAFETY: `turn` is odd: the crew leaves the job alone until it is even.
            if let Some(job) = unsafe { *self.job.get() } {
                unwinding_ends_the_process(|| (job.work)(job.member));
            }
            self.turn.fetch_add(1, Ordering::Release);
        }
    }

    /// Returns when there is work.
    fn look_out(&self) {
        let has_work = || self.turn.load(Ordering::Acquire) % 2 == 1;
        let since = Instant::now();
        while since.elapsed() < ALERT {
            for _ in 0..64 {
                if has_work() {
                    return;
                }
                std::hint::spin_loop();
            }
        }
        let mut asleep = self.asleep.lock().unwrap_or_else(PoisonError::into_inner);
        *asleep = true;
        while !has_work() {
            asleep = self.wake.wait(asleep).unwrap_or_else(PoisonError::into_inner);
        }
        *asleep = false;
    }
}

/// A member that fails leaves the others waiting for ever, with borrowed memory: better to end at once.
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

/// Where members wait for one another.
struct Barrier {
    arrived: AtomicUsize,
    round: AtomicUsize,
}

impl Barrier {
    fn new() -> Self {
        Self { arrived: AtomicUsize::new(0), round: AtomicUsize::new(0) }
    }

    fn wait(&self, count: usize) {
        let round = self.round.load(Ordering::Relaxed);
        if self.arrived.fetch_add(1, Ordering::AcqRel) + 1 == count {
            self.arrived.store(0, Ordering::Relaxed);
            self.round.store(round.wrapping_add(1), Ordering::Release);
            return;
        }
        let mut spins = 0;
        while self.round.load(Ordering::Acquire) == round {
            pause(&mut spins);
        }
    }
}

fn pause(spins: &mut u32) {
    *spins += 1;
    if *spins < PATIENCE {
        std::hint::spin_loop();
    } else {
        std::thread::yield_now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_works_once_and_the_barrier_holds_all_of_them() {
        for members in [1, 2, 3, 5] {
            let rounds = 50;
            let arrivals: Vec<AtomicUsize> = (0..rounds).map(|_| AtomicUsize::new(0)).collect();
            let counts = Mutex::new(vec![]);
            run(members, &|member| {
                for arrivals in &arrivals {
                    arrivals.fetch_add(1, Ordering::Relaxed);
                    member.wait();
                    // All have arrived, or one was let through early.
                    assert_eq!(arrivals.load(Ordering::Relaxed), member.count);
                    member.wait();
                }
                counts.lock().unwrap().push((member.index, member.count));
            });
            let mut counts = counts.into_inner().unwrap();
            counts.sort_unstable();
            let count = counts[0].1;
            assert!(count == members || count == 1, "{counts:?}");
            assert_eq!(counts, (0..count).map(|index| (index, count)).collect::<Vec<_>>());
        }
    }

    #[test]
    fn a_busy_team_leaves_the_caller_to_work_alone() {
        run(3, &|outer| {
            if outer.index == 0 {
                run(2, &|inner| assert_eq!((inner.index, inner.count), (0, 1)));
            }
        });
    }

    #[test]
    fn a_worker_that_fell_asleep_wakes_up() {
        for _ in 0..3 {
            let worked = AtomicUsize::new(0);
            run(2, &|member| {
                worked.fetch_add(1, Ordering::Relaxed);
                assert!(member.share(10).len() == 10 / member.count);
            });
            assert!(worked.load(Ordering::Relaxed) >= 1);
            std::thread::sleep(2 * ALERT);
        }
    }
}
