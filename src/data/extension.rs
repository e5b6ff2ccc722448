//! The extension of a path.

use std::path::Path;

/// Whether the extension of a path is `extension`, in any case.
pub(super) fn has_extension(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found.eq_ignore_ascii_case(extension))
}
