//! The part of a file that holds text.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// The bytes at which the text of a file begins, after a byte-order mark, and ends.
///
/// # Errors
/// If the path is not a regular file, or the file cannot be read, is empty or is UTF-16.
pub(super) fn extent(path: &Path) -> Result<(u64, u64)> {
    let problem = |error: std::io::Error| Error::file(path, error);
    let mut file = File::open(path).map_err(problem)?;
    let about = file.metadata().map_err(problem)?;
    if !about.is_file() {
        return Err(Error::file(path, "is not a regular file; expected a text, .csv or .jsonl file"));
    }
    let mut head = Vec::new();
    file.by_ref().take(3).read_to_end(&mut head).map_err(problem)?;
    match head.as_slice() {
        [] => Err(Error::file(path, "is empty; expected text")),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            let fix = "convert it, for example with `iconv -f UTF-16 -t UTF-8`";
            Err(Error::file(path, format!("is UTF-16 text; expected UTF-8: {fix}")))
        }
        [0xEF, 0xBB, 0xBF] => Ok((3, about.len())),
        _ => Ok((0, about.len())),
    }
}
