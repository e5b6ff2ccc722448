//! Processes that MPI connects.

use std::sync::{Arc, Mutex, PoisonError};

use mpi::Threading;
use mpi::environment::Universe;
use mpi::request::multiple_scope;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator as _, CommunicatorCollectives, Destination, Source};

use super::communicator::{Communicator, Ranks};
use super::launch::Launch;
use crate::{Error, Result};

/// MPI while it runs. Dropping it waits for all processes, which a process that has failed must not do.
static UNIVERSE: Mutex<Option<Universe>> = Mutex::new(None);

/// The processes of MPI's world.
struct Mpi {
    rank: usize,
    size: usize,
}

/// Start MPI in a process that `launch` describes.
///
/// # Errors
/// If MPI runs already, or the launcher belongs to another MPI than this program.
pub(super) fn start(launch: Launch) -> Result<Ranks> {
    // Any thread may abort all processes.
    let Some((universe, _)) = mpi::initialize_with_threading(Threading::Multiple) else {
        return Err(Error::Message("MPI runs already in this process".into()));
    };
    let world = universe.world();
    let [rank, size] = [world.rank(), world.size()].map(|number| number as usize);
    *UNIVERSE.lock().unwrap_or_else(PoisonError::into_inner) = Some(universe);
    if (rank, size) != (launch.rank, launch.size) {
        return Err(Error::Message(format!(
            "the launcher started {} processes, but MPI connects {size}: launcher and program belong to different \
             libraries of MPI, or the launcher runs without its part for MPI; build the program with the library of the \
             launcher",
            launch.size
        )));
    }
    Ok(Arc::new(Mpi { rank, size }))
}

/// Wait for all processes and end MPI, if it runs.
pub(super) fn finish() {
    // Without the lock, for which `abort` would wait.
    let universe = UNIVERSE.lock().unwrap_or_else(PoisonError::into_inner).take();
    drop(universe);
}

/// End all processes if MPI runs.
pub(super) fn abort(code: i32) {
    let running = UNIVERSE.lock().unwrap_or_else(PoisonError::into_inner).is_some();
    if running {
        SimpleCommunicator::world().abort(code);
    }
}

impl Communicator for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    // MPI's own all-to-all wants all parts in one buffer and copies those of this rank.
    fn exchange(&self, sent: &[&[u8]], received: &mut [&mut [u8]]) {
        let world = SimpleCommunicator::world();
        let process = |rank: usize| world.process_at_rank(rank as i32);
        multiple_scope(2 * self.size, |scope, requests| {
            for (rank, part) in received.iter_mut().enumerate() {
                if rank != self.rank && !part.is_empty() {
                    requests.add(process(rank).immediate_receive_into(scope, &mut **part));
                }
            }
            // Each rank begins with its next, so that no rank receives from all at once.
            for rank in (self.rank + 1..self.size).chain(0..self.rank) {
                if !sent[rank].is_empty() {
                    requests.add(process(rank).immediate_send(scope, sent[rank]));
                }
            }
            requests.wait_all(&mut Vec::with_capacity(2 * self.size));
        });
    }

    fn all_gather(&self, own: &[u8], all: &mut [u8]) {
        SimpleCommunicator::world().all_gather_into(own, all);
    }

    fn barrier(&self) {
        SimpleCommunicator::world().barrier();
    }
}
