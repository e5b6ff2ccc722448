//! Plain text: lines of any length, read a piece at a time, and the places where a file may be cut.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Take};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{End, Fractions, Piece};
use crate::tokenizer::character;
use crate::{Error, Result};

/// Lines longer than this many bytes come in several pieces.
const LONGEST_PIECE: usize = 64 * 1024;

/// How far around a wanted cut a better one is looked for, in bytes.
const MARGIN: u64 = 4096;

/// A file of UTF-8 text.
#[derive(Clone, Debug)]
pub struct TextFile {
    path: PathBuf,
    /// After a byte-order mark.
    start: u64,
    end: u64,
}

impl TextFile {
    /// # Errors
    /// Names the file when it cannot be read, is no regular file, holds nothing but white space, or is
    /// UTF-16.
    pub fn open(path: &Path) -> Result<Self> {
        let (start, end) = measure(path)?;
        let file = Self { path: path.to_path_buf(), start, end };
        match file.is_blank().map_err(|error| Error::file(path, error))? {
            true => Err(Error::file(path, "holds nothing but white space; expected text")),
            false => Ok(file),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes that hold text.
    pub fn range(&self) -> Range<u64> {
        self.start..self.end
    }

    fn is_blank(&self) -> std::io::Result<bool> {
        let mut reader = self.reader(self.range())?;
        loop {
            let buffer = reader.fill_buf()?;
            let length = buffer.len();
            if length == 0 || !buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(length == 0);
            }
            reader.consume(length);
        }
    }

    fn reader(&self, range: Range<u64>) -> std::io::Result<BufReader<Take<File>>> {
        let mut file = File::open(&self.path)?;
        file.seek(SeekFrom::Start(range.start))?;
        Ok(BufReader::with_capacity(LONGEST_PIECE, file.take(range.end - range.start)))
    }

    /// The bytes of train, valid and test, in this order through the file. Cuts fall on the first line
    /// end after the wanted place, or within a line, by preference before white space, where the next
    /// line end is too far away to leave the following split anything.
    pub fn split(&self, fractions: Fractions) -> Result<[Range<u64>; 3]> {
        let length = (self.end - self.start) as f64;
        let place = |share: f64| self.end - (share * length).round() as u64;
        let (valid_at, test_at) = (place(fractions.valid + fractions.test), place(fractions.test));
        let cut = |place, limit| self.cut(place, limit).map_err(|error| Error::file(&self.path, error));
        let test = cut(test_at, self.end)?.unwrap_or(self.end);
        // No boundary between the two places: validation is left without text, and no character is cut.
        let valid =
            if valid_at == test_at { test } else { cut(valid_at, test_at)?.unwrap_or(test).min(test) };
        Ok([self.start..valid, valid..test, test..self.end])
    }

    /// The best cut at or after `place` and before `limit`, if there is any.
    fn cut(&self, place: u64, limit: u64) -> std::io::Result<Option<u64>> {
        if place <= self.start || place >= self.end {
            return Ok(Some(place.clamp(self.start, self.end)));
        }
        match self.line_end(place, limit)? {
            Some(cut) => Ok(Some(cut)),
            None => self.cut_in_line(place, limit),
        }
    }

    /// The first place from `place` on, and before `limit`, that follows a newline.
    fn line_end(&self, place: u64, limit: u64) -> std::io::Result<Option<u64>> {
        let mut at = place - 1;
        let mut reader = self.reader(at..limit.saturating_sub(1).max(at))?;
        loop {
            let buffer = reader.fill_buf()?;
            if buffer.is_empty() {
                return Ok(None);
            }
            if let Some(newline) = buffer.iter().position(|&byte| byte == b'\n') {
                return Ok(Some(at + newline as u64 + 1));
            }
            let length = buffer.len();
            at += length as u64;
            reader.consume(length);
        }
    }

    /// A cut before white space near `place`, or else between two characters.
    fn cut_in_line(&self, place: u64, limit: u64) -> std::io::Result<Option<u64>> {
        let from = place.saturating_sub(MARGIN).max(self.start);
        let mut bytes = Vec::new();
        self.reader(from..(place + MARGIN).min(self.end))?.read_to_end(&mut bytes)?;
        let skip = bytes.iter().take_while(|&&byte| byte & 0xC0 == 0x80).count();
        let text = match std::str::from_utf8(&bytes[skip..]) {
            Ok(text) => text,
            Err(error) => std::str::from_utf8(&bytes[skip..skip + error.valid_up_to()]).unwrap_or_default(),
        };
        let mut at = from + skip as u64;
        let mut boundary = None;
        for character in character::split(text) {
            if at >= place && at < limit {
                boundary.get_or_insert(at);
                if character.starts_with(char::is_whitespace) {
                    return Ok(Some(at));
                }
            }
            at += character.len() as u64;
        }
        // Text that is not UTF-8 is reported where it is read, with its place.
        Ok(boundary)
    }

    /// The pieces of some bytes of the file, which must begin and end between characters.
    pub fn pieces(&self, range: Range<u64>) -> Result<Lines> {
        let reader = self.reader(range.clone()).map_err(|error| Error::file(&self.path, error))?;
        let last = if range.end == self.end { End::Line } else { End::None };
        Ok(Lines {
            reader,
            path: self.path.clone(),
            offset: range.start,
            buffer: Vec::new(),
            last,
            done: false,
        })
    }
}

/// Where the text of a file begins, after a byte-order mark, and where it ends, in bytes.
pub fn measure(path: &Path) -> Result<(u64, u64)> {
    let problem = |error: std::io::Error| Error::file(path, error);
    let mut file = File::open(path).map_err(problem)?;
    let about = file.metadata().map_err(problem)?;
    if !about.is_file() {
        return Err(Error::file(path, "is not a regular file; expected a text, .csv or .jsonl file"));
    }
    let mut head = Vec::new();
    file.by_ref().take(3).read_to_end(&mut head).map_err(problem)?;
    match head.as_slice() {
        [] => Err(Error::file(path, "is empty; expected text")),
        [0xFF, 0xFE, ..] | [0xFE, 0xFF, ..] => {
            let fix = "convert it, for example with `iconv -f UTF-16 -t UTF-8`";
            Err(Error::file(path, format!("is UTF-16 text; expected UTF-8: {fix}")))
        }
        [0xEF, 0xBB, 0xBF] => Ok((3, about.len())),
        _ => Ok((0, about.len())),
    }
}

/// The lines of a text file.
#[derive(Debug)]
pub struct Lines {
    reader: BufReader<Take<File>>,
    path: PathBuf,
    /// Of the first byte in `buffer`, in the file.
    offset: u64,
    /// What has been read and not given out.
    buffer: Vec<u8>,
    /// What ends with a last line that has no line end.
    last: End,
    done: bool,
}

impl Lines {
    fn advance(&mut self) -> Result<Option<Piece>> {
        let mut room = LONGEST_PIECE;
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
            // One character fills the whole room: marks upon marks. It is never split.
            room *= 2;
        }
    }

    /// Reads up to a newline, or until the buffer holds `room` bytes.
    fn fill(&mut self, room: usize) -> Result<()> {
        let wanted = (room - self.buffer.len()) as u64;
        let read = self.reader.by_ref().take(wanted).read_until(b'\n', &mut self.buffer);
        read.map(drop).map_err(|error| Error::file(&self.path, error))
    }

    /// The buffer as text, but for a last code point that is not all there yet.
    fn readable(&self) -> Result<&str> {
        let length = match std::str::from_utf8(&self.buffer) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.buffer.len(),
        };
        std::str::from_utf8(&self.buffer[..length]).map_err(|error| self.not_text(error.valid_up_to()))
    }

    /// Gives out the first `length` bytes of the buffer.
    fn take(&mut self, length: usize, end: End) -> Result<Piece> {
        let rest = self.buffer.split_off(length);
        let bytes = std::mem::replace(&mut self.buffer, rest);
        if let Some(place) = bytes.iter().position(|&byte| byte == 0) {
            return Err(self.not_text(place));
        }
        let text =
            String::from_utf8(bytes).map_err(|error| self.not_text(error.utf8_error().valid_up_to()))?;
        self.offset += length as u64;
        Ok(Piece { text, label: None, end })
    }

    fn not_text(&self, place: usize) -> Error {
        let place = self.offset + place as u64;
        Error::file(
            &self.path,
            format!("is not UTF-8 text (see byte {place}); expected text, .csv or .jsonl"),
        )
    }
}

impl Iterator for Lines {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let piece = self.advance().transpose();
        self.done = !matches!(piece, Some(Ok(_)));
        piece
    }
}

/// Where to cut the start of a line that goes on: before the last white space, or else before the last
/// character, which might go on too. `None` where that would leave nothing.
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
