//! `SHA256SUMS`: the checksums of an exported bundle, in the format of `sha256sum --check`.
//!
//! A file is compared when it is read, so looking at a bundle costs nothing. The list also has the reports and
//! the model card, which people may edit; they are not compared here.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

use super::files::CHECKSUMS;
use super::read;
use crate::hash::Fnv1a;
use crate::{Error, Result};

/// The most that is read, and then hashed, at once.
const PIECE: usize = 1 << 18;

/// SHA-256 checksums by file name, in hexadecimal.
#[derive(Clone, Debug, Default)]
pub(super) struct Checksums(BTreeMap<String, String>);

impl Checksums {
    /// Return the checksums of the bundle in a folder; none if it has no such file.
    ///
    /// # Errors
    /// If a line is not a checksum and a name.
    pub(super) fn of(bundle: &Path) -> Result<Self> {
        let path = bundle.join(CHECKSUMS);
        let mut sums = Self::default();
        let Some(text) = read::optional_text(&path)? else { return Ok(sums) };
        for (index, line) in text.lines().enumerate() {
            let (sum, name) = line.split_once("  ").unwrap_or_default();
            if sum.len() != 64 || !sum.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                let problem = format!(
                    "line {} is not a checksum and a name; copy the bundle again, or remove this file",
                    index + 1
                );
                return Err(Error::file(path, problem));
            }
            sums.0.insert(name.to_string(), sum.to_ascii_lowercase());
        }
        Ok(sums)
    }

    /// Add the checksum of a file's contents.
    pub(super) fn add(&mut self, name: &str, bytes: &[u8]) {
        self.0.insert(name.to_string(), hex(Sha256::new_with_prefix(bytes)));
    }

    /// Read a file of the bundle whole. A file without a checksum is not compared.
    ///
    /// # Errors
    /// As [`read::bytes`], and if the file differs from its checksum.
    pub(super) fn read(&self, bundle: &Path, name: &str) -> Result<Vec<u8>> {
        let path = bundle.join(name);
        let bytes = read::bytes(&path)?;
        if let Some(expected) = self.0.get(name) {
            compare(&path, expected, Sha256::new_with_prefix(&bytes))?;
        }
        Ok(bytes)
    }

    /// Hand a file of the bundle to `parse` as it is read, without holding it in memory. If `fingerprint` is
    /// given, the bytes that `parse` reads are added to it.
    ///
    /// # Errors
    /// As [`read::open`], those of `parse`, and, before those, if the file differs from its checksum.
    pub(super) fn stream<T>(
        &self,
        bundle: &Path,
        name: &str,
        fingerprint: Option<&mut Fnv1a>,
        parse: impl FnOnce(&mut HashingReader<'_>) -> Result<T>,
    ) -> Result<T> {
        let path = bundle.join(name);
        let (file, size) = read::open(&path)?;
        let expected = self.0.get(name);
        let mut reader = HashingReader { file, size, sha: expected.map(|_| Sha256::new()), fingerprint };
        let parsed = parse(&mut reader);
        if let Some(expected) = expected {
            // The rest too: damage that stopped the parser is reported as damage.
            io::copy(&mut reader, &mut io::sink())
                .map_err(|error| Error::file(&path, format!("cannot be read: {error}")))?;
            compare(&path, expected, reader.sha.unwrap_or_default())?;
        }
        parsed
    }

    /// Return the checksum of a file of the bundle, which is read.
    ///
    /// # Errors
    /// As [`read::open`], and if the file differs from its checksum.
    pub(super) fn sha256(&self, bundle: &Path, name: &str) -> Result<String> {
        let path = bundle.join(name);
        let (file, size) = read::open(&path)?;
        let mut reader = HashingReader { file, size, sha: Some(Sha256::new()), fingerprint: None };
        io::copy(&mut reader, &mut io::sink())
            .map_err(|error| Error::file(&path, format!("cannot be read: {error}")))?;
        let sum = hex(reader.sha.unwrap_or_default());
        match self.0.get(name) {
            Some(expected) if *expected != sum => Err(differs(&path)),
            _ => Ok(sum),
        }
    }

    /// Return the text of the file `SHA256SUMS`.
    pub(super) fn to_text(&self) -> String {
        self.0.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect()
    }
}

/// A file that is hashed as it is read.
pub(super) struct HashingReader<'a> {
    file: File,
    /// Bytes of the whole file.
    pub(super) size: u64,
    sha: Option<Sha256>,
    fingerprint: Option<&'a mut Fnv1a>,
}

impl Read for HashingReader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer.len().min(PIECE);
        let count = self.file.read(&mut buffer[..most])?;
        let bytes = &buffer[..count];
        if let Some(sha) = &mut self.sha {
            sha.update(bytes);
        }
        if let Some(fingerprint) = &mut self.fingerprint {
            fingerprint.add_bytes(bytes);
        }
        Ok(count)
    }
}

fn compare(path: &Path, expected: &str, found: Sha256) -> Result<()> {
    if hex(found) == expected {
        return Ok(());
    }
    Err(differs(path))
}

fn differs(path: &Path) -> Error {
    let problem = format!("is damaged: its checksum differs from the one in {CHECKSUMS}; copy it again");
    Error::file(path, problem)
}

fn hex(hash: Sha256) -> String {
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::hash::fnv1a;

    #[test]
    fn sums_are_sha_256_and_round_trip() {
        let dir = tempfile::tempdir().unwrap();
        let mut sums = Checksums::default();
        sums.add("b", b"abc");
        sums.add("a", b"");
        // The hash of the empty message, and the first example of FIPS 180-2.
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
        assert_eq!(sums.read(dir.path(), "b").unwrap(), b"abc");
        fs::write(dir.path().join("unlisted"), "x").unwrap();
        assert_eq!(sums.read(dir.path(), "unlisted").unwrap(), b"x");
        fs::write(dir.path().join("b"), "abd").unwrap();
        let error = sums.read(dir.path(), "b").unwrap_err().to_string();
        assert!(error.contains("b: is damaged"), "{error}");
        assert!(sums.read(dir.path(), "a").unwrap_err().to_string().contains("a: cannot be read"));
    }

    #[test]
    fn a_malformed_list_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        for text in ["nothing\n", "12  config.json\n", &format!("{}  config.json\n", "g".repeat(64))] {
            fs::write(dir.path().join(CHECKSUMS), text).unwrap();
            let error = Checksums::of(dir.path()).unwrap_err().to_string();
            assert!(error.contains("SHA256SUMS: line 1 is not a checksum"), "{error}");
        }
    }

    #[test]
    fn streams_are_read_once_and_compared_whole() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = vec![7; 3 * PIECE + 1];
        fs::write(dir.path().join("a"), &bytes).unwrap();
        let mut sums = Checksums::default();
        sums.add("a", &bytes);
        let mut fingerprint = Fnv1a::new();
        let read = sums.stream(dir.path(), "a", Some(&mut fingerprint), |reader| {
            let mut read = vec![];
            reader.read_to_end(&mut read).map_err(|error| Error::Message(error.to_string()))?;
            Ok((read, reader.size))
        });
        assert_eq!(read.unwrap(), (bytes.clone(), bytes.len() as u64));
        assert_eq!(fingerprint.0, fnv1a(&bytes));

        fs::write(dir.path().join("a"), &bytes[1..]).unwrap();
        let error = sums.stream(dir.path(), "a", None, |_| Err::<(), _>(Error::Message("no header".into())));
        assert!(
            error.unwrap_err().to_string().contains("a: is damaged"),
            "damage is reported before its effects"
        );
    }
}
