//! Lines for the user beside the answer.

/// Print a line on standard error, as `eprintln` does. A terminal that is gone, or a pipe that its reader has closed,
/// does not end the command.
macro_rules! note {
    ($($part:tt)*) => {{
        use std::io::Write as _;
        let _ = writeln!(std::io::stderr(), $($part)*);
    }};
}

pub(crate) use note;
