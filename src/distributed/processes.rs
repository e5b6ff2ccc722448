//! The beginning and the end of the work of several processes.

use candle_core::Device;

use super::agreement::agree_on_program;
use super::communicator::{Ranks, SingleProcess};
use super::launch::Launch;
#[cfg(feature = "mpi")]
use super::mpi;
#[cfg(feature = "nccl")]
use super::nccl;
use crate::Result;

/// Join the other processes of the launcher that started this one, or return a single process if there are none. Call
/// it once, before any other thread uses the result. `command` describes what the process will do.
///
/// # Errors
/// If this build has no MPI, or another one than the launcher; if a process has another program or another `command`,
/// on every process.
pub fn start(command: &str) -> Result<Ranks> {
    let Some(launch) = Launch::of_environment() else { return Ok(SingleProcess::ranks()) };
    let ranks = join(launch)?;
    // Processes that make other calls than the rest would wait for ever.
    agree_on_program(ranks.as_ref(), command)?;
    Ok(ranks)
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

/// Connect the devices of the processes, if they are CUDA devices and this build has NCCL: then sums of tensors stay on
/// them. Otherwise the processes stay as they are.
///
/// # Errors
/// If NCCL cannot connect them.
#[cfg(feature = "nccl")]
pub fn connect_devices(ranks: Ranks, device: &Device) -> Result<Ranks> {
    nccl::connect(ranks, device)
}

/// Connect the devices of the processes. This build has no NCCL and leaves the processes as they are.
///
/// # Errors
/// None.
#[cfg(not(feature = "nccl"))]
pub fn connect_devices(ranks: Ranks, _device: &Device) -> Result<Ranks> {
    Ok(ranks)
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
