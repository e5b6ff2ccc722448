//! The lines of a text file, read a piece at a time.

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;

use super::file_reader::FileReader;
use super::piece::{Piece, Pieces};
use super::until_error::until_error;
use crate::tokenizer::{End, character};
use crate::{Error, Result};

/// Lines longer than this many bytes come in several pieces.
pub(super) const LONGEST_PIECE: usize = 64 * 1024;

/// The lines of a part of a text file. Very long lines come in several pieces.
#[derive(Debug)]
pub(super) struct Lines {
    reader: BufReader<FileReader>,
    path: PathBuf,
    /// The place in the file of the first byte in `buffer`.
    offset: u64,
    /// Bytes that have been read and are part of no piece yet.
    buffer: Vec<u8>,
    /// The end of a last line that has no line end.
    last: End,
}

impl Lines {
    /// The lines that `reader` reads from byte `offset` of the file at `path` on. `last` is the end of a last line
    /// without line end.
    pub fn new(reader: BufReader<FileReader>, path: PathBuf, offset: u64, last: End) -> Self {
        Self { reader, path, offset, buffer: Vec::new(), last }
    }

    /// The lines in order. After an error there are no more.
    pub fn pieces(mut self) -> Pieces {
        Box::new(until_error(move || self.advance()))
    }

    fn advance(&mut self) -> Result<Option<Piece>> {
        // The rest of a line that was cut may be longer than a piece.
        let mut room = LONGEST_PIECE.max(self.buffer.len() + 1);
        loop {
            self.fill(room)?;
            if self.buffer.is_empty() {
                return Ok(None);
            }
            if self.buffer.ends_with(b"\n") {
                return self.take(self.buffer.len(), End::Line).map(Some);
            }
            if self.buffer.len() < room {
                return self.take(self.buffer.len(), self.last).map(Some);
            }
            if let Some(length) = cut_of(self.readable()?) {
                return self.take(length, End::None).map(Some);
            }
            // One character with many combining marks fills the whole buffer; it is never split.
            room *= 2;
        }
    }

    /// Read up to a newline, or until the buffer holds `room` bytes.
    fn fill(&mut self, room: usize) -> Result<()> {
        let wanted = (room - self.buffer.len()) as u64;
        let read = self.reader.by_ref().take(wanted).read_until(b'\n', &mut self.buffer);
        read.map(drop).map_err(|error| Error::file(&self.path, error))
    }

    /// The buffer as text, without an incomplete code point at its end.
    fn readable(&self) -> Result<&str> {
        let length = match std::str::from_utf8(&self.buffer) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.buffer.len(),
        };
        std::str::from_utf8(&self.buffer[..length]).map_err(|error| self.not_text(error.valid_up_to()))
    }

    /// Make a piece of the first `length` bytes of the buffer.
    fn take(&mut self, length: usize, end: End) -> Result<Piece> {
        let rest = self.buffer.split_off(length);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        if let Some(place) = bytes.iter().position(|&byte| byte == 0) {
            let place = self.offset + place as u64;
            let problem =
                format!("byte {place} is NUL, which text does not have; expected text: remove such bytes");
            return Err(Error::file(&self.path, problem));
        }
        let text =
            String::from_utf8(bytes).map_err(|error| self.not_text(error.utf8_error().valid_up_to()))?;
        self.offset += length as u64;
        Ok(Piece { text, label: None, end })
    }

    fn not_text(&self, place: usize) -> Error {
        let place = self.offset + place as u64;
        let problem = "is not UTF-8 text; expected text, or another encoding that option `encoding` names";
        Error::file(&self.path, format!("byte {place} {problem}"))
    }
}

/// The length to cut off the start of a line that goes on: up to the last white space, or else up to the last
/// character, which might go on too. `None` if nothing would be left.
fn cut_of(text: &str) -> Option<usize> {
    let white = text.char_indices().rev().find(|&(place, c)| c.is_whitespace() && place > 0);
    if let Some((place, _)) = white {
        return Some(place);
    }
    let mut end = 0;
    let mut last = 0;
    for character in character::split(text) {
        last = end;
        end += character.len();
    }
    (last > 0).then_some(last)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn rest_of_a_cut_may_be_longer_than_a_piece() {
        // The buffer grows for the marks of the first letter; the rest is longer than a piece.
        let marks = |count: usize| "\u{301}".repeat(count);
        let text = format!("a{}b{}\nc\n", marks(66_000), marks(70_000));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), &text).unwrap();
        let reader = FileReader::new(Arc::new(File::open(file.path()).unwrap()), 0..text.len() as u64);
        let lines = Lines::new(BufReader::new(reader), file.path().into(), 0, End::Line);
        let pieces: Vec<String> = lines.pieces().map(|piece| piece.unwrap().text).collect();
        assert_eq!(pieces.concat(), text);
        assert_eq!(pieces.last().map(String::as_str), Some("c\n"));
    }
}
