//! Notes to the user on standard error.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether another process of the same command prints the notes.
static SILENT: AtomicBool = AtomicBool::new(false);

/// Print no notes from now on, because another process of the same command does.
pub(crate) fn silence() {
    SILENT.store(true, Ordering::Relaxed);
}

/// Whether this process prints notes.
pub(crate) fn is_enabled() -> bool {
    !SILENT.load(Ordering::Relaxed)
}

/// Print a line on standard error, as `eprintln` does. A terminal that is gone, or a pipe that its reader has closed,
/// does not end the command.
macro_rules! note {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        if $crate::cli::note::is_enabled() {
            let _ = writeln!(std::io::stderr(), $($part)*);
        }
    }};
}

pub(crate) use note;
