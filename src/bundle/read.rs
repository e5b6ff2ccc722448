//! Reading the files of a bundle: regular files of bounded size.
//!
//! A bundle may come from anywhere. A file is refused by its size before it is read, so that a hostile one
//! cannot fill the memory.

use std::io::ErrorKind;
use std::path::Path;

pub(super) use crate::regular_file::{open, read as bounded};
use crate::{Error, Result};

/// The largest JSON or text file of a bundle, in bytes.
const LARGEST_TEXT: u64 = 64 << 20;

/// Read a file of at most 64 MiB.
///
/// # Errors
/// As [`open`], and if the file is larger.
pub(super) fn bytes(path: &Path) -> Result<Vec<u8>> {
    bounded(path, LARGEST_TEXT)
}

/// Read a text file of at most 64 MiB; `None` if there is no such file.
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

#[cfg(test)]
mod tests {
    use std::fs::{self, File};

    use super::*;

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
