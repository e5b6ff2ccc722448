//! The device and the threads of a command.

use crate::cli::note::note;
use rnn_zoo::device::{DeviceChoice, start_thread_pool};
use rnn_zoo::distributed::{Cores, Launch};
use rnn_zoo::models::kernels::{self, Isa};
use rnn_zoo::{Error, Result};

/// Options of the device.
#[derive(Clone, Debug, clap::Args)]
pub struct Compute {
    /// cpu, cuda, cuda:N, metal or auto (the fastest that this build and machine have)
    #[arg(long, value_name = "DEVICE", default_value = "cpu", help_heading = "Compute")]
    device: String,

    /// CPU threads [default: one per core; with mpirun, the cores divided by the processes on this machine]
    #[arg(long, value_name = "N", help_heading = "Compute")]
    threads: Option<usize>,
}

impl Compute {
    /// Open the device, with as many threads as the user wants.
    ///
    /// # Errors
    /// If there is no such device, or the number of threads is zero.
    pub fn open(&self) -> Result<candle_core::Device> {
        let share = || Launch::of_environment().map(|launch| Cores::of(launch).threads());
        if let Some(threads) = self.threads.or_else(share) {
            use_threads(threads)?;
            kernels::set_threads(threads);
        }
        Isa::current().map_err(|error| Error::Message(error.to_string()))?;
        self.device.parse::<DeviceChoice>()?.open()
    }
}

/// The variables of the environment that hold the number of threads of candle's pool and of rayon's.
const THREADS: [&str; 2] = ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"];

/// Limit the program to `asked` threads.
///
/// Candle's pool reads its size from the environment only, and to change the environment of a running program is
/// unsound. The program therefore starts again with another environment; nothing has been read or written yet.
fn use_threads(asked: usize) -> Result<()> {
    let most = std::thread::available_parallelism().map_or(asked, usize::from);
    let threads = asked.min(most);
    let wanted = threads.to_string();
    if threads == 0 || THREADS.iter().all(|name| std::env::var(name).is_ok_and(|size| size == wanted)) {
        return start_thread_pool(threads);
    }
    if asked > most {
        // More threads than cores wait for each other.
        note!("--threads {asked}: this machine runs {most} at once; using {most}");
    }
    #[cfg(unix)]
    if let Ok(program) = std::env::current_exe() {
        use std::os::unix::process::CommandExt;
        let mut again = std::process::Command::new(program);
        again.args(std::env::args_os().skip(1)).envs(THREADS.map(|name| (name, &wanted)));
        // `exec` returns only if it fails; the size of rayon's pool, which computes matrix products, can still be set.
        let _ = again.exec();
    }
    start_thread_pool(threads)
}
