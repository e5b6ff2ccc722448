//! Plain text files and their contiguous splits.

use std::io::{BufRead, BufReader, Read};
use std::ops::Range;
use std::path::Path;

use super::data_file::DataFile;
use super::division::Division;
use super::file_reader::FileReader;
use super::fractions::Fractions;
use super::lines::{LONGEST_PIECE, Lines};
use super::piece::Pieces;
use super::prose;
use super::read_options::ReadOptions;
use super::shard::Shard;
use super::source::Split;
use super::utf8_file::Utf8File;
use crate::tokenizer::{End, character};
use crate::{Error, Result};

/// The number of bytes around a wanted cut in which a better one is searched.
const MARGIN: u64 = 4096;

/// Bytes that are searched for signs of another format.
const HEAD: u64 = 1 << 14;

/// A file of text.
#[derive(Clone, Debug)]
pub(super) struct TextFile {
    file: Utf8File,
    /// The first byte of the text, after a byte-order mark.
    start: u64,
    /// The byte after the text.
    end: u64,
}

impl TextFile {
    /// Open a file.
    ///
    /// # Errors
    /// If the file cannot be read, is not a regular file, is not text, or holds nothing but white space.
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self> {
        let file = Utf8File::open(path, options.encoding)?;
        let Range { start, end } = file.range();
        let file = Self { file, start, end };
        match file.is_blank().map_err(|error| Error::file(path, error))? {
            true => Err(Error::file(path, "holds nothing but white space; expected text")),
            false => Ok(file),
        }
    }

    fn is_blank(&self) -> std::io::Result<bool> {
        let mut reader = self.reader(self.range());
        loop {
            let buffer = reader.fill_buf()?;
            let length = buffer.len();
            if length == 0 || !buffer.iter().all(u8::is_ascii_whitespace) {
                return Ok(length == 0);
            }
            reader.consume(length);
        }
    }

    fn reader(&self, range: Range<u64>) -> BufReader<FileReader> {
        BufReader::with_capacity(LONGEST_PIECE, self.file.reader(range))
    }

    /// The positions of the whole file.
    fn range(&self) -> Range<u64> {
        self.start..self.end
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
        let mut reader = self.reader(at..limit.saturating_sub(1).max(at));
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
        self.reader(from..(place + MARGIN).min(self.end)).read_to_end(&mut bytes)?;
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

    /// The positions of a split. A cut falls after the first line end behind the wanted place. If the next line end is
    /// too far away to leave the following split any text, the cut falls within a line, preferably before white space.
    fn split(&self, split: Split, fractions: Fractions) -> Result<Range<u64>> {
        let length = (self.end - self.start) as f64;
        let place = |fraction: f64| self.end - (fraction * length).round() as u64;
        let (valid_at, test_at) = (place(fractions.valid + fractions.test), place(fractions.test));
        let cut = |place, limit| self.cut(place, limit).map_err(|error| Error::file(self.file.path(), error));
        let test = cut(test_at, self.end)?.unwrap_or(self.end);
        // No boundary between the two places: validation is left without text, and no character is cut.
        let valid =
            if valid_at == test_at { test } else { cut(valid_at, test_at)?.unwrap_or(test).min(test) };
        Ok(match split {
            Split::Train => self.start..valid,
            Split::Valid => valid..test,
            Split::Test => test..self.end,
            Split::All => self.range(),
        })
    }

    /// The share of one of several processes in a range: whole lines; none if a line of another goes on to its end.
    fn lines_of(&self, range: Range<u64>, Shard { rank, size }: Shard) -> std::io::Result<Range<u64>> {
        let length = u128::from(range.end - range.start);
        let bound = |rank: usize| -> std::io::Result<u64> {
            let place = range.start + (length * rank as u128 / size as u128) as u64;
            match place > range.start && place < range.end {
                true => Ok(self.line_end(place, range.end)?.unwrap_or(range.end)),
                false => Ok(place),
            }
        };
        Ok(bound(rank)?..bound(rank + 1)?)
    }
}

impl DataFile for TextFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn text_column(&self) -> Option<&str> {
        None
    }

    fn notes(&self, _division: Division) -> Result<Vec<String>> {
        let mut head = vec![];
        let read = self.file.reader(self.range()).take(HEAD).read_to_end(&mut head);
        read.map_err(|error| Error::file(self.file.path(), error))?;
        let notes = [self.file.note().map(String::from), prose::looks_like(&String::from_utf8_lossy(&head))];
        Ok(notes.into_iter().flatten().collect())
    }

    fn has(&self, split: Split, division: Division) -> Result<bool> {
        Ok(!self.split(split, division.fractions)?.is_empty())
    }

    fn pieces(&self, split: Split, division: Division) -> Result<Pieces> {
        self.part(split, division, Shard::WHOLE)
    }

    /// The parts have about the same number of bytes, and end where a line does.
    fn part(&self, split: Split, division: Division, shard: Shard) -> Result<Pieces> {
        let range = self.lines_of(self.split(split, division.fractions)?, shard);
        let range = range.map_err(|error| Error::file(self.file.path(), error))?;
        let last = if range.end == self.end { End::Line } else { End::None };
        let reader = self.reader(range.clone());
        Ok(Lines::new(reader, self.file.path().to_path_buf(), range.start, last).pieces())
    }
}
