//! The trait through which the processes of a run exchange data, and the plain case of a single process.

use std::sync::Arc;

use super::device_sum::DeviceSum;
use crate::data::Shard;

/// The processes of a run, as each of them holds them.
pub type Ranks = Arc<dyn Communicator>;

/// The processes of a run, each with its rank. All processes make the same calls in the same order, and each call waits
/// for the others. The calls have no errors: a process that fails ends the others, too.
pub trait Communicator: Send + Sync {
    /// The number of this process, counted from 0. The first reads standard input, prints and writes files.
    fn rank(&self) -> usize;

    /// The number of processes.
    fn size(&self) -> usize;

    /// Send part `r` of `sent` to rank `r`, and fill part `r` of `received` with what rank `r` sends to this one. There
    /// is a part for each rank; a sender and its receiver have the same length, and the parts of this rank stay as they
    /// are.
    fn exchange(&self, sent: &[&[u8]], received: &mut [&mut [u8]]);

    /// Collect `own` of all ranks in `all`, in the order of the ranks. `own` has the same length on each.
    fn all_gather(&self, own: &[u8], all: &mut [u8]);

    /// Wait until all ranks have made this call.
    fn barrier(&self);

    /// The connection between the devices of the ranks; `None` if they have none and exchange tensors through memory.
    fn devices(&self) -> Option<&dyn DeviceSum> {
        None
    }

    /// Whether this is the process that reads standard input, prints and writes files.
    fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// The part of every batch that this process computes.
    fn shard(&self) -> Shard {
        Shard { rank: self.rank(), size: self.size() }
    }
}

/// A single process.
#[derive(Clone, Copy, Debug, Default)]
pub struct SingleProcess;

impl SingleProcess {
    /// A run on this process alone.
    pub fn ranks() -> Ranks {
        Arc::new(Self)
    }
}

impl Communicator for SingleProcess {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn exchange(&self, _: &[&[u8]], _: &mut [&mut [u8]]) {}

    fn all_gather(&self, own: &[u8], all: &mut [u8]) {
        all.copy_from_slice(own);
    }

    fn barrier(&self) {}
}
