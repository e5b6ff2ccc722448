//! The processes of a run as threads of this one.

use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use candle_core::{CpuStorage, InplaceOp1, Layout, Tensor, bail};
use half::bf16;
use rnn_zoo::Result;
use rnn_zoo::distributed::{Communicator, DeviceSum, Ranks, all_reduce};

/// A rank that waits longer for the others has been left by one that failed.
const LONGEST_WAIT: Duration = Duration::from_secs(120);

/// The stack of a rank; the graph of a sequence is walked recursively.
const STACK_BYTES: usize = 1 << 26;

/// One of several ranks, which are threads.
struct Thread {
    rank: usize,
    meeting: Arc<Meeting>,
    /// Whether gradients are summed as on connected devices.
    connected: bool,
}

/// The place where ranks exchange messages.
struct Meeting {
    size: usize,
    round: Mutex<Round>,
    changed: Condvar,
}

/// The parts that a rank sends in a call.
type Message = Vec<Vec<u8>>;

/// The messages of one call.
#[derive(Default)]
struct Round {
    sent: Vec<Option<Message>>,
    /// Ranks that have read all messages.
    readers: usize,
}

impl Meeting {
    /// Send a message and return those of all ranks.
    fn exchange(&self, rank: usize, message: Message) -> Vec<Message> {
        let mut round = self.round.lock().unwrap();
        // The others may still read the messages of the call before.
        while round.sent[rank].is_some() {
            round = self.changed.wait_timeout(round, LONGEST_WAIT).unwrap().0;
        }
        round.sent[rank] = Some(message);
        self.changed.notify_all();
        while round.sent.iter().any(Option::is_none) {
            let (woken, waited) = self.changed.wait_timeout(round, LONGEST_WAIT).unwrap();
            assert!(!waited.timed_out(), "rank {rank} waits for a rank that has failed");
            round = woken;
        }
        let messages = round.sent.iter().flatten().cloned().collect();
        round.readers += 1;
        if round.readers == self.size {
            *round = Round { sent: vec![None; self.size], readers: 0 };
            self.changed.notify_all();
        }
        messages
    }
}

impl Communicator for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.meeting.size
    }

    fn exchange(&self, sent: &[&[u8]], received: &mut [&mut [u8]]) {
        let messages = self.meeting.exchange(self.rank, sent.iter().map(|part| part.to_vec()).collect());
        for (rank, (part, message)) in received.iter_mut().zip(messages).enumerate() {
            if rank != self.rank {
                part.copy_from_slice(&message[self.rank]);
            }
        }
    }

    fn all_gather(&self, own: &[u8], all: &mut [u8]) {
        all.copy_from_slice(&self.meeting.exchange(self.rank, vec![own.to_vec()]).concat().concat());
    }

    fn barrier(&self) {
        self.meeting.exchange(self.rank, vec![]);
    }

    fn devices(&self) -> Option<&dyn DeviceSum> {
        self.connected.then_some(self)
    }
}

/// The CPU as a device of each thread.
impl DeviceSum for Thread {
    fn sum(&self, numbers: &Tensor) -> Result<()> {
        Ok(numbers.inplace_op1(self)?)
    }
}

impl InplaceOp1 for Thread {
    fn name(&self) -> &'static str {
        "sum over threads"
    }

    fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
        assert_eq!(layout.contiguous_offsets(), Some((0, layout.shape().elem_count())));
        match storage {
            CpuStorage::F32(numbers) => all_reduce::<f32>(self, numbers),
            CpuStorage::BF16(numbers) => {
                let mut sums: Vec<f32> = numbers.iter().map(|number| number.to_f32()).collect();
                all_reduce::<bf16>(self, &mut sums);
                numbers.iter_mut().zip(sums).for_each(|(number, sum)| *number = bf16::from_f32(sum));
            }
            _ => bail!("gradients are in f32 or bf16"),
        }
        Ok(())
    }
}

/// Run `work` on `size` ranks and return its results in the order of the ranks.
pub(super) fn on_ranks<T: Send>(size: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    run(size, false, work)
}

/// Run `work` as [`on_ranks`] does, on ranks whose devices are connected.
pub(super) fn on_connected_ranks<T: Send>(size: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    run(size, true, work)
}

fn run<T: Send>(size: usize, connected: bool, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    let round = Mutex::new(Round { sent: vec![None; size], readers: 0 });
    let meeting = Arc::new(Meeting { size, round, changed: Condvar::new() });
    std::thread::scope(|scope| {
        let start = |rank: usize| {
            let (meeting, work) = (Arc::clone(&meeting), &work);
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            builder.spawn_scoped(scope, move || work(Arc::new(Thread { rank, meeting, connected }))).unwrap()
        };
        let ranks: Vec<_> = (0..size).map(start).collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}
