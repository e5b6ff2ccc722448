//! Reading a range of an open file. Readers of one file share it: each has its own position.

use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::sync::Arc;

/// A reader of a range of bytes.
#[derive(Clone, Debug)]
pub(super) struct FileReader {
    file: Arc<File>,
    range: Range<u64>,
}

impl FileReader {
    /// A reader of the bytes in `range`.
    pub fn new(file: Arc<File>, range: Range<u64>) -> Self {
        Self { file, range }
    }
}

impl Read for FileReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.range.end.saturating_sub(self.range.start);
        let length = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let read = read_at(&self.file, &mut buffer[..length], self.range.start)?;
        self.range.start += read as u64;
        Ok(read)
    }
}

/// Read bytes at a position, which may be fewer than the buffer holds; 0 at the end of the file.
///
/// # Errors
/// If the file cannot be read.
#[cfg(unix)]
pub(super) fn read_at(file: &File, buffer: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, place)
}

/// Read bytes at a position, which may be fewer than the buffer holds; 0 at the end of the file.
///
/// # Errors
/// If the file cannot be read.
#[cfg(windows)]
pub(super) fn read_at(file: &File, buffer: &mut [u8], place: u64) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_read(file, buffer, place)
}
