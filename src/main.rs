//! The `rnn` command: parse, run, and print an error once.

mod cli;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use cli::flags::{self, Usage};
use cli::{Cli, Outcome, processes};
use rnn_zoo::Error;
use rnn_zoo::models::kernels::{ReportingAllocator, keep_freed_memory, report_writes_beyond_limit};

/// The graph of a long unrolled sequence is walked recursively; pages of the stack that are never
/// touched cost nothing.
const STACK_BYTES: usize = 1 << 30;

#[global_allocator]
static ALLOCATOR: ReportingAllocator = ReportingAllocator::new(end_out_of_memory);

#[allow(unsafe_code)]
fn main() -> ExitCode {
    // SAFETY: there is no other thread yet.
    unsafe { keep_freed_memory() };
    report_writes_beyond_limit();
    let command = match Cli::read(std::env::args_os()) {
        Ok(Some(command)) => command,
        Ok(None) => return ExitCode::SUCCESS,
        Err(error) => return ExitCode::from(report(Err(error))),
    };
    let run = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(move || {
        let code = report(command.run());
        processes::leave(code);
        code
    });
    ExitCode::from(match run.map(std::thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // The panic has printed itself.
        Ok(Err(_)) => 1,
        Err(error) => report(Err(anyhow::anyhow!("cannot start a thread: {error}"))),
    })
}

/// Print an error, and return the exit code: 0 done, 2 for a wrong flag or argument, 1 for any other failure, 130 after
/// Ctrl-C.
fn report(outcome: anyhow::Result<Outcome>) -> u8 {
    match outcome {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::Interrupted) => 130,
        // The reader of the output closed the pipe, as `head` does.
        Err(error) if is_broken_pipe(&error) => 0,
        Err(error) => {
            let error = flags::in_flags(about_output(error));
            processes::wait_turn();
            let line = format!("{error:#}").replace('\n', " ");
            // Not `eprintln`, which panics if standard error cannot be written.
            let _ = writeln!(std::io::stderr(), "rnn: {}{line}", processes::place());
            if error.is::<Usage>() { 2 } else { 1 }
        }
    }
}

/// End the program after an allocation that failed. Any thread may have asked for the memory.
fn end_out_of_memory(bytes: usize) -> ! {
    let _ = writeln!(
        std::io::stderr(),
        "rnn: {}out of memory: {bytes} bytes cannot be allocated; use a smaller network, smaller batches or shorter windows",
        processes::place()
    );
    processes::leave(1);
    std::process::exit(1)
}

/// Name standard output in an error of writing to it, the only one that commands return as it is.
fn about_output(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<std::io::Error>() {
        Ok(error) => Error::file("standard output", format!("cannot be written: {error}")).into(),
        Err(error) => error,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == ErrorKind::BrokenPipe)
}
