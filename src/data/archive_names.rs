//! The names of the files of the UEA and UCR archive: `NAME_TRAIN.ts` and `NAME_TEST.ts`.

use std::path::{Path, PathBuf};

use super::extension::has_extension;

/// The end of the names of training files.
pub(crate) const TRAIN: &str = "_TRAIN.ts";

/// Whether a path has the extension `.ts`.
pub(crate) fn is_ts(path: &Path) -> bool {
    has_extension(path, "ts")
}

/// The path of the test file of a training file; `None` for other files.
pub(crate) fn test_of(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?.strip_suffix(TRAIN)?;
    Some(path.with_file_name(format!("{name}_TEST.ts")))
}

/// Whether a path is a training file with a test file beside it.
pub(crate) fn is_training_file(path: &Path) -> bool {
    test_of(path).is_some_and(|test| test.exists())
}
