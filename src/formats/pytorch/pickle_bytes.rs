//! The bytes of a pickle: numbers, texts and names of bounded size.

use std::io::{Read, Take};

/// The longest pickle, in bytes. The elements of tensors are not part of it.
const MOST_BYTES: u64 = 16 << 20;

/// The longest name of a class or function, and of its module, in bytes.
pub(super) const LONGEST_NAME: usize = 200;

/// A reader of the parts of a pickle. Errors are the problem alone.
pub(super) struct PickleBytes<R>(Take<R>);

impl<R: Read> PickleBytes<R> {
    /// Read a pickle from the beginning of `reader`.
    pub(super) fn new(reader: R) -> Self {
        Self(reader.take(MOST_BYTES))
    }

    /// Read `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let mut bytes = [0; N];
        let read = self.0.read_exact(&mut bytes);
        read.map_err(|_| self.cut_short())?;
        Ok(bytes)
    }

    /// Read `length` bytes. Memory grows with what the file holds, not with `length`.
    pub(super) fn vec(&mut self, length: u64) -> Result<Vec<u8>, String> {
        if length > self.0.limit() {
            return Err(format!(
                "has a text of {length} bytes in its pickle; expected at most {MOST_BYTES} in all"
            ));
        }
        let mut bytes = vec![];
        match self.0.by_ref().take(length).read_to_end(&mut bytes) {
            Ok(read) if read as u64 == length => Ok(bytes),
            _ => Err(self.cut_short()),
        }
    }

    /// Read the name of a class or function: its module and its own name, one a line.
    pub(super) fn qualified_name(&mut self) -> Result<String, String> {
        Ok(format!("{}.{}", self.line()?, self.line()?))
    }

    fn line(&mut self) -> Result<String, String> {
        let mut line = vec![];
        loop {
            match self.array()? {
                [b'\n'] => return Ok(String::from_utf8_lossy(&line).into_owned()),
                [byte] if line.len() < LONGEST_NAME => line.push(byte),
                _ => return Err(malformed()),
            }
        }
    }

    fn cut_short(&self) -> String {
        match self.0.limit() {
            0 => format!("has a pickle of more than {MOST_BYTES} bytes"),
            _ => "is cut short or not a PyTorch file; copy it again".to_string(),
        }
    }
}

/// The problem with a pickle whose operations do not fit together.
pub(super) fn malformed() -> String {
    "has a malformed pickle; save or copy it again".to_string()
}
