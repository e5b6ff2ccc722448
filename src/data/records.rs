//! Files of records: one record a piece.

use std::fmt::Debug;
use std::ops::Range;
use std::path::Path;
use std::sync::OnceLock;

use super::data_file::DataFile;
use super::fractions::Fractions;
use super::piece::{Piece, Pieces};
use crate::tokenizer::End;
use crate::{Error, Result};

/// A format of records.
pub(super) trait RecordFormat: Debug + Send + Sync {
    /// The path of the file.
    fn path(&self) -> &Path;

    /// The name of the column that the text is read from.
    fn text_column(&self) -> &str;

    /// A reader at the first record.
    fn records(&self) -> Result<Box<dyn Records>>;
}

/// A reader of records.
pub(super) trait Records: Send {
    /// The place where the next record begins.
    fn place(&self) -> Place;

    /// Continue at a record that begins at `place`.
    fn seek(&mut self, place: Place) -> Result<()>;

    /// Read the next record; `None` after the last.
    fn read(&mut self) -> Result<Option<Piece>>;
}

/// The place where a record begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Bytes before it.
    pub byte: u64,
    /// Number of its first line, counted from 1.
    pub line: u64,
}

/// A file of records, indexed when its records are first counted.
#[derive(Debug)]
pub(super) struct RecordFile<F> {
    format: F,
    index: OnceLock<Index>,
}

/// The number of records, and the place of every [`STRIDE`]th.
#[derive(Debug, Default)]
struct Index {
    count: u64,
    places: Vec<Place>,
}

/// Records between two places of an [`Index`]: few enough to skip, many enough to keep it small.
const STRIDE: u64 = 1024;

impl<F: RecordFormat> RecordFile<F> {
    /// A file in the given format.
    ///
    /// # Errors
    /// If there is no record, or the first cannot be read.
    pub fn new(format: F) -> Result<Self> {
        match format.records()?.read()? {
            Some(_) => Ok(Self { format, index: OnceLock::new() }),
            None => Err(Error::file(format.path(), "has no records below its header; expected text")),
        }
    }

    /// The index, made at the first call by reading the whole file.
    fn index(&self) -> Result<&Index> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let mut records = self.format.records()?;
        let mut index = Index::default();
        loop {
            let place = records.place();
            if records.read()?.is_none() {
                return Ok(self.index.get_or_init(|| index));
            }
            if index.count.is_multiple_of(STRIDE) {
                index.places.push(place);
            }
            index.count += 1;
        }
    }
}

impl<F: RecordFormat> DataFile for RecordFile<F> {
    fn path(&self) -> &Path {
        self.format.path()
    }

    fn text_column(&self) -> Option<&str> {
        Some(self.format.text_column())
    }

    /// All records; they need not be counted for this.
    fn range(&self) -> Range<u64> {
        0..u64::MAX
    }

    /// A fraction above zero is at least one record.
    fn split(&self, fractions: Fractions) -> Result<[Range<u64>; 3]> {
        let count = self.index()?.count;
        // The allowance keeps a fraction that is whole but for rounding from gaining a record.
        let aside = |fraction: f64| (fraction * count as f64 - 1e-6).ceil().max(0.0) as u64;
        let test = count - aside(fractions.test).min(count);
        let valid = test - aside(fractions.valid).min(test);
        Ok([0..valid, valid..test, test..count])
    }

    /// The records with these numbers, counted from 0. If there is an index, the first is found quickly.
    fn pieces(&self, range: Range<u64>) -> Result<Pieces> {
        let mut records = self.format.records()?;
        let place = self.index.get().and_then(|index| index.places.get((range.start / STRIDE) as usize));
        let mut skip = range.start;
        if let Some(&place) = place {
            records.seek(place)?;
            skip %= STRIDE;
        }
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        Ok(Box::new(UntilError(Some(records)).skip(skip as usize).take(length)))
    }
}

/// Records up to and with the first error.
struct UntilError(Option<Box<dyn Records>>);

impl Iterator for UntilError {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.as_mut()?.read().transpose();
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
        next
    }
}

/// The piece of a record of the file at `path`.
///
/// # Errors
/// If the text holds a NUL byte; `line` is the record's line.
pub(super) fn piece(
    path: &Path,
    line: impl Fn() -> u64,
    text: String,
    label: Option<String>,
) -> Result<Piece> {
    match text.contains('\0') {
        true => Err(Error::file(path, format!("line {} holds a NUL byte; expected text", line()))),
        false => Ok(Piece { text, label, end: End::Record }),
    }
}
