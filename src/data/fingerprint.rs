//! A hash of a file that tells the training data of a model again, whatever its name.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use crate::hash::Fnv1a;

/// Bytes at either end of a file that are hashed.
const END: u64 = 1 << 20;

/// The hash of a file's length and of its first and last mebibyte, in hexadecimal digits.
///
/// # Errors
/// If the file cannot be read.
pub(super) fn fingerprint(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut hash = Fnv1a::new();
    hash.add(length);
    for start in [0, length.saturating_sub(END)] {
        let mut bytes = vec![];
        file.seek(SeekFrom::Start(start))?;
        file.by_ref().take(END).read_to_end(&mut bytes)?;
        hash.add_bytes(&bytes);
    }
    Ok(format!("{:016x}", hash.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn length_and_both_ends_count() {
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
        let (first, last) = (changed(0), changed(plain.len() - 1));
        assert_eq!(of(plain.clone()), of(plain.clone()));
        let all = [of(plain.clone()), first, last, of(vec![b'a'; (3 << 20) + 1]), of(vec![])];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
