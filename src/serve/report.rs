//! Messages of the server on standard error.

use std::io::Write;

/// Print a line on standard error, which may be closed.
pub(super) fn report(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
