//! The bytes of an HDF5 file, with a limit on how much is read.
//!
//! The addresses in a file may lead through the same bytes any number of times: trees whose nodes share their children
//! have as many paths as two to the power of their depth. A limit on reads bounds the time and memory that they cost.

use std::sync::atomic::{AtomicU64, Ordering};

use hdf5_pure::{FormatError, Source};

/// The most reads of a file.
const MOST_READS: u64 = 1 << 20;

/// The bytes that may be read of a small file; of larger ones, four times their size.
const LEAST_BYTES: u64 = 64 << 20;

/// The content of a file, which may be read a limited number of times.
pub(super) struct LimitedSource {
    bytes: Vec<u8>,
    reads: AtomicU64,
    read: AtomicU64,
}

impl LimitedSource {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, reads: AtomicU64::new(0), read: AtomicU64::new(0) }
    }

    /// Count a read of `length` bytes.
    fn count(&self, length: u64) -> Result<(), FormatError> {
        let reads = self.reads.fetch_add(1, Ordering::Relaxed);
        let read = self.read.fetch_add(length, Ordering::Relaxed).saturating_add(length);
        let limit = (self.bytes.len() as u64).saturating_mul(4).max(LEAST_BYTES);
        match reads < MOST_READS && read <= limit {
            true => Ok(()),
            false => Err(FormatError::Source("its parts refer to each other too often".to_string())),
        }
    }
}

impl Source for LimitedSource {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        self.count(buf.len() as u64)?;
        let part = usize::try_from(offset).ok().and_then(|start| self.bytes.get(start..)?.get(..buf.len()));
        let part = part.ok_or_else(|| FormatError::Source("an address lies outside the file".to_string()))?;
        buf.copy_from_slice(part);
        Ok(())
    }
}
