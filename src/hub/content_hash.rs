//! The hashes by which the hub names contents: SHA-256 for large files, Git's SHA-1 for the others.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::{Error, Result};

/// Compute the SHA-256 hash of a file, in hexadecimal: the name of its contents in Git LFS.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn sha256(path: &Path) -> Result<String> {
    let (file, _) = crate::regular_file::open(path)?;
    hashed(file, Sha256::new()).map_err(|error| Error::file(path, format!("cannot be read: {error}")))
}

/// Compute the hash that Git gives contents of `size` bytes, in hexadecimal.
///
/// # Errors
/// If they cannot be read.
pub(super) fn git_blob(contents: impl Read, size: u64) -> io::Result<String> {
    hashed(contents, Sha1::new_with_prefix(format!("blob {size}\0")))
}

/// Whether a file is the contents that the hub calls `etag`. Contents under a name that is no hash cannot be checked.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn is_named(path: &Path, etag: &str) -> io::Result<bool> {
    let is_hash = etag.bytes().all(|digit| digit.is_ascii_hexdigit());
    let file = File::open(path)?;
    let found = match etag.len() {
        64 if is_hash => hashed(file, Sha256::new())?,
        40 if is_hash => {
            let size = file.metadata()?.len();
            git_blob(file, size)?
        }
        _ => return Ok(true),
    };
    Ok(found.eq_ignore_ascii_case(etag))
}

fn hashed<H: Digest + io::Write>(mut contents: impl Read, mut hash: H) -> io::Result<String> {
    io::copy(&mut contents, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git() {
        // `printf abc | git hash-object --stdin`, and the first example of FIPS 180-2.
        let git = "f2ba8f84ab5c1bce84a7b441cb1959cfc7093b7f";
        let large = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(git_blob(&b"abc"[..], 3).unwrap(), git);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "abc").unwrap();
        assert_eq!(sha256(file.path()).unwrap(), large);
        for (etag, named) in
            [(git, true), (large, true), ("tag", true), (&"0".repeat(40), false), (&"0".repeat(64), false)]
        {
            assert_eq!(is_named(file.path(), etag).unwrap(), named, "{etag}");
        }
    }
}
