//! Content hash that identifies the training file.

use std::fs::File;
use std::io;
use std::path::Path;

use sha2::{Digest, Sha256};

/// The SHA-256 of a file, in hexadecimal digits.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn fingerprint(path: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut hash)?;
    Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_counts() {
        let folder = tempfile::tempdir().unwrap();
        let of = |content: Vec<u8>| {
            let path = folder.path().join("data");
            std::fs::write(&path, content).unwrap();
            fingerprint(&path).unwrap()
        };
        let plain = vec![b'a'; 3 << 20];
        let changed = |place: usize| {
            let mut content = plain.clone();
            content[place] = b'b';
            of(content)
        };
        let (first, middle, last) = (changed(0), changed(plain.len() / 2), changed(plain.len() - 1));
        assert_eq!(of(plain.clone()), of(plain.clone()));
        let all = [of(plain.clone()), first, middle, last, of(vec![b'a'; (3 << 20) + 1]), of(vec![])];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
