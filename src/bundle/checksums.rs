//! `SHA256SUMS` in a bundle: what its files were when it was exported, in the form of `sha256sum --check`.
//!
//! A file is compared when it is read, so that looking at a bundle costs nothing. Reports and the model card
//! are for people, who may edit them; they are in the list, but only `sha256sum` looks at them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::files::CHECKSUMS;
use super::swap::exists;
use crate::{Error, Result};

/// Checksums by the names of files.
#[derive(Clone, Debug, Default)]
pub(super) struct Checksums(BTreeMap<String, String>);

impl Checksums {
    /// Those of the bundle in a folder; none where it has no such file.
    pub(super) fn of(bundle: &Path) -> Result<Self> {
        let path = bundle.join(CHECKSUMS);
        if !exists(&path) {
            return Ok(Self::default());
        }
        let text = fs::read_to_string(&path).map_err(|error| Error::file(&path, error))?;
        let mut sums = Self::default();
        for (index, line) in text.lines().enumerate() {
            let (sum, name) = line.split_once("  ").unwrap_or_default();
            if sum.len() != 64 || !sum.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                let problem =
                    format!("line {} is no checksum; copy the bundle again, or remove this file", index + 1);
                return Err(Error::file(path, problem));
            }
            sums.0.insert(name.to_string(), sum.to_ascii_lowercase());
        }
        Ok(sums)
    }

    /// Remembers what a file holds.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_string(), hex(bytes));
    }

    /// Refuses a file that is not what it was. One without a checksum is taken as it is.
    pub(super) fn check(&self, bundle: &Path, name: &str) -> Result<()> {
        let Some(expected) = self.0.get(name) else { return Ok(()) };
        let path = bundle.join(name);
        let bytes =
            fs::read(&path).map_err(|error| Error::file(&path, format!("cannot be read: {error}")))?;
        match hex(&bytes) == *expected {
            true => Ok(()),
            false => {
                let problem = format!("is damaged: its checksum is not that in {CHECKSUMS}; copy it again");
                Err(Error::file(path, problem))
            }
        }
    }

    /// The text of the file.
    pub(super) fn to_text(&self) -> String {
        self.0.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
    }
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_are_sha_256_and_come_back_as_they_went() {
        let dir = tempfile::tempdir().unwrap();
        let mut sums = Checksums::default();
        sums.add("b", b"abc");
        sums.add("a", b"");
        // The first example of FIPS 180-2, and what the hash of nothing is known to be.
        let text = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a\n\
                    ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  b\n";
        assert_eq!(sums.to_text(), text);
        fs::write(
            dir.path().join(CHECKSUMS),
            text.to_uppercase().replace("  A", "  a").replace("  B", "  b"),
        )
        .unwrap();
        let sums = Checksums::of(dir.path()).unwrap();
        fs::write(dir.path().join("b"), "abc").unwrap();
        sums.check(dir.path(), "b").unwrap();
        sums.check(dir.path(), "unlisted").unwrap();
        fs::write(dir.path().join("b"), "abd").unwrap();
        let error = sums.check(dir.path(), "b").unwrap_err().to_string();
        assert!(error.contains("b: is damaged"), "{error}");
        assert!(sums.check(dir.path(), "a").unwrap_err().to_string().contains("a: cannot be read"));
    }

    #[test]
    fn a_list_that_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["nothing\n", "12  config.json\n", &format!("{}  config.json\n", "g".repeat(64))] {
            fs::write(dir.path().join(CHECKSUMS), text).unwrap();
            let error = Checksums::of(dir.path()).unwrap_err().to_string();
            assert!(error.contains("SHA256SUMS: line 1 is no checksum"), "{error}");
        }
    }
}
