//! The beginning and the end of the work of several processes.

use super::communicator::{Ranks, SingleProcess};
use super::launch::Launch;
#[cfg(feature = "mpi")]
use super::mpi;
use crate::Result;

/// Join the other processes of the launcher that started this one, or return a single process if there are none. Call
/// it once, before any other thread uses the result.
///
/// # Errors
/// If this build has no MPI, or another one than the launcher.
pub fn start() -> Result<Ranks> {
    match Launch::of_environment() {
        None => Ok(SingleProcess::ranks()),
        Some(launch) => join(launch),
    }
}

#[cfg(feature = "mpi")]
fn join(launch: Launch) -> Result<Ranks> {
    mpi::start(launch)
}

#[cfg(not(feature = "mpi"))]
fn join(Launch { size, .. }: Launch) -> Result<Ranks> {
    Err(crate::Error::Message(format!(
        "started as one of {size} processes, but this build has no MPI; rebuild with `cargo build --release --features \
         mpi`, or start a single process"
    )))
}

/// Wait until all processes have finished, and leave them. Does nothing in a single process.
pub fn finish() {
    #[cfg(feature = "mpi")]
    mpi::finish();
}

/// End all processes, this one with exit code `code`, without waiting. Returns only in a single process.
pub fn abort(code: i32) {
    #[cfg(feature = "mpi")]
    mpi::abort(code);
    let _ = code;
}
