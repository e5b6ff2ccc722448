//! Reading the files of a bundle: regular files of bounded size.
//!
//! A bundle may come from anywhere. A file is refused by its size before it is read, so that a hostile one
//! cannot fill the memory.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use crate::{Error, Result};

/// The largest JSON or text file of a bundle, in bytes.
const LARGEST_TEXT: u64 = 64 << 20;

/// The deepest nesting of JSON that foreign parsers, which recurse, are given.
const DEEPEST_JSON: usize = 128;

/// Opens a regular file for reading; returns its size in bytes too.
///
/// # Errors
/// If the file is missing, cannot be opened, or is a folder, pipe or device.
pub(super) fn open(path: &Path) -> Result<(File, u64)> {
    let unreadable = |error| Error::file(path, format!("cannot be read: {error}"));
    // Checked before it is opened, for opening a pipe waits for a writer.
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::file(path, "is not a regular file"));
    }
    Ok((File::open(path).map_err(unreadable)?, metadata.len()))
}

/// Reads a file of at most 64 MiB.
///
/// # Errors
/// As [`open`], and if the file is larger.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    bounded(path, LARGEST_TEXT)
}

/// Reads a file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], and if the file is larger.
pub(super) fn bounded(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, size) = open(path)?;
    let too_large =
        |size: u64| Error::file(path, format!("has {size} bytes; files of its kind have at most {limit}"));
    if size > limit {
        return Err(too_large(size));
    }
    let mut bytes = Vec::new();
    // It may grow while it is read.
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
    match bytes.len() as u64 {
        size if size > limit => Err(too_large(size)),
        _ => Ok(bytes),
    }
}

/// Reads a text file of at most 64 MiB; `None` if there is no such file.
///
/// # Errors
/// As [`bytes`], and if the file is not UTF-8.
pub(super) fn optional_text(path: &Path) -> Result<Option<String>> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        _ => utf8(path, bytes(path)?).map(Some),
    }
}

/// The text of a file that has been read.
///
/// # Errors
/// If it is not UTF-8.
pub(super) fn utf8(path: &Path, bytes: Vec<u8>) -> Result<String> {
    String::from_utf8(bytes)
        .map_err(|error| Error::file(path, format!("is not UTF-8 text: {}", error.utf8_error())))
}

/// Text without the byte-order mark that some editors put in front.
pub(super) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Refuses JSON that is nested so deeply that a recursive parser could overflow the stack.
///
/// # Errors
/// If it is; the error is the problem alone.
pub(super) fn check_nesting(json: &[u8]) -> Result<(), String> {
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => depth += 1,
            b']' | b'}' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth > DEEPEST_JSON {
            return Err(format!("is nested deeper than {DEEPEST_JSON} levels"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nesting_counts_brackets_outside_strings() {
        let nested = |depth: usize| format!("{}{}", "[{\"a\":".repeat(depth / 2), "}]".repeat(depth / 2));
        check_nesting(nested(DEEPEST_JSON).as_bytes()).unwrap();
        assert!(check_nesting(nested(DEEPEST_JSON + 2).as_bytes()).unwrap_err().contains("128 levels"));
        check_nesting(format!("[\"{}\"]", r#"[\"{"#.repeat(500)).as_bytes()).unwrap();
        check_nesting("[]".repeat(500).as_bytes()).unwrap();
    }

    #[test]
    fn files_beyond_the_limit_are_refused_by_their_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config.json");
        // Sparse: it takes no space on disk.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = bytes(&path).unwrap_err().to_string();
        assert!(error.contains("config.json: has 1099511627776 bytes"), "{error}");
        assert!(bytes(dir.path()).unwrap_err().to_string().contains("is not a regular file"));
        assert_eq!(optional_text(&dir.path().join("none")).unwrap(), None);
        fs::write(&path, [0xff]).unwrap();
        assert!(optional_text(&path).unwrap_err().to_string().contains("is not UTF-8 text"));
    }

    #[cfg(unix)]
    #[test]
    fn pipes_and_devices_are_refused() {
        assert!(bytes(Path::new("/dev/zero")).unwrap_err().to_string().contains("is not a regular file"));
    }
}
