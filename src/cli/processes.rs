//! A command on several processes: one of them prints, and a failure of any ends all.

use std::io::Write;
use std::panic::PanicHookInfo;
use std::thread::sleep;
use std::time::Duration;

use rnn_zoo::distributed::{self, Cores, Launch, Ranks};
use rnn_zoo::listing::counted;
use rnn_zoo::models::kernels;

use super::note::{note, silence};

/// Exit codes of a command that has done its work: done, and stopped by Ctrl-C.
const DONE: [u8; 2] = [0, 130];

/// Exit code of a panic.
const PANIC: i32 = 101;

/// Print no notes from now on, unless this is the first process.
pub fn silence_others() {
    if Launch::of_environment().is_some_and(|launch| launch.rank > 0) {
        silence();
    }
}

/// Join the other processes of the launcher, which run the same `command`.
///
/// # Errors
/// If this build has no MPI, or another one than the launcher; if a process has another program or another command.
pub fn start(command: &str) -> rnn_zoo::Result<Ranks> {
    let ranks = distributed::start(command)?;
    if let Some(launch) = Launch::of_environment() {
        std::panic::set_hook(Box::new(end_after_panic));
        announce(launch, Cores::of(launch));
    }
    Ok(ranks)
}

/// Print the number of processes, and whether they leave cores idle.
fn announce(Launch { size, .. }: Launch, cores: Cores) {
    note!("{size} processes, each with {}", counted(kernels::threads() as u64, "thread"));
    if cores.leaves_idle() {
        note!(
            "warning: the launcher binds each process to {} of {} cores; `mpirun --bind-to none` lets it use {}",
            cores.own,
            cores.launcher,
            cores.share()
        );
    }
}

/// End the process with exit code `code`, and after a failure all others.
pub fn leave(code: u8) {
    match DONE.contains(&code) {
        true => distributed::finish(),
        false => distributed::abort(code.into()),
    }
}

/// Return the beginning of an error: the rank, if there are several.
pub fn place() -> String {
    Launch::of_environment().map_or(String::new(), |launch| format!("rank {}: ", launch.rank))
}

/// Wait before an error is printed. Where all processes fail for the same reason, the first to print ends the others,
/// so that there is one line.
pub fn wait_turn() {
    if let Some(Launch { rank: rank @ 1.., .. }) = Launch::of_environment() {
        sleep(Duration::from_millis((300 + 30 * rank as u64).min(3000)));
    }
}

/// Print a panic in one line and end all processes, which would wait for this one.
fn end_after_panic(info: &PanicHookInfo<'_>) {
    let payload = info.payload();
    let text = payload.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or_default();
    let message = text.lines().next().unwrap_or_default();
    let place_in_code = info.location().map_or(String::new(), |location| format!(" at {location}"));
    let _ = writeln!(std::io::stderr(), "rnn: {}panicked{place_in_code}: {message}", place());
    distributed::abort(PANIC);
}
