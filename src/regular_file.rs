//! Reading regular files of bounded size.
//!
//! A path may name a pipe, a device or a file of any size. A pipe or device is refused before it is opened, because
//! opening a pipe waits for a writer and a device may have no end. A file is refused by its size before it is read.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::{Error, Result};

/// Open a regular file for reading. Returns its size in bytes too.
///
/// # Errors
/// If the file is missing, cannot be opened, or is a folder, pipe or device.
pub fn open(path: &Path) -> Result<(File, u64)> {
    let unreadable = |error| Error::file(path, format!("cannot be read: {error}"));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if !metadata.is_file() {
        return Err(Error::file(path, "is not a regular file"));
    }
    Ok((File::open(path).map_err(unreadable)?, metadata.len()))
}

/// Read a regular file of at most `limit` bytes.
///
/// # Errors
/// As [`open`], and if the file is larger.
pub fn read(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let (file, size) = open(path)?;
    let too_large =
        |size: u64| Error::file(path, format!("has {size} bytes; files of its kind have at most {limit}"));
    if size > limit {
        return Err(too_large(size));
    }
    let mut bytes = Vec::new();
    // The file may grow while it is read.
    let read = file.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
    match bytes.len() as u64 {
        size if size > limit => Err(too_large(size)),
        _ => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_beyond_the_limit_are_refused_by_their_size() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("large");
        // Sparse: it takes no space on disk.
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read(&path, 1 << 20).unwrap_err().to_string();
        assert!(error.contains("large: has 1099511627776 bytes"), "{error}");
        assert!(read(dir.path(), 1).unwrap_err().to_string().contains("is not a regular file"));
    }

    #[cfg(unix)]
    #[test]
    fn devices_are_refused() {
        let error = read(Path::new("/dev/zero"), 1 << 20).unwrap_err().to_string();
        assert!(error.contains("is not a regular file"), "{error}");
    }
}
