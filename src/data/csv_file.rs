//! Delimited tables with a header: `.csv` and `.tsv` files.

use std::io::{BufReader, Read};
use std::path::Path;

use super::columns::{Columns, Places};
use super::csv_reader::{CsvError, CsvReader, CsvRecord};
use super::delimiter::Delimiter;
use super::file_reader::FileReader;
use super::line_end::{read_line, without_end};
use super::piece::Piece;
use super::read_options::ReadOptions;
use super::records::{LONGEST_RECORD, RecordFormat, RecordStart, Records, piece};
use super::utf8_file::Utf8File;
use crate::{Error, Result};

/// Bytes from which the delimiter is found.
const HEAD: u64 = 1 << 16;

/// A table, with the places of text and label among its columns.
#[derive(Clone, Debug)]
pub(super) struct CsvFile {
    file: Utf8File,
    /// The place of the header.
    start: RecordStart,
    delimiter: Delimiter,
    /// Whether the delimiter is not that of the file's extension.
    found: bool,
    names: Vec<String>,
    places: Places,
}

impl CsvFile {
    /// Open a file and read its header. `usual` is the delimiter that belongs to its extension.
    ///
    /// # Errors
    /// If the file cannot be read, or as [`Columns::find`].
    pub fn open(path: &Path, options: &ReadOptions, usual: Delimiter) -> Result<Self> {
        let file = Utf8File::open(path, options.encoding)?;
        let delimiter = options.delimiter.map_or_else(|| find_delimiter(&file, usual), Ok)?;
        let found = options.delimiter.is_none() && delimiter != usual;
        let start = separator_line(&file)?.start;
        let places = Places { text: 0, label: None };
        let mut table = Self { file, start, delimiter, found, names: vec![], places };
        let mut records = table.reader();
        let record = match records.read_record()? {
            true => records.record,
            false => return Err(Error::file(path, "has no header; expected the names of its columns")),
        };
        let names = (0..record.len()).map(|index| table.field(&record, index));
        table.names = names.collect::<Result<_>>()?;
        table.places = table.find_columns(&options.columns)?;
        Ok(table)
    }

    fn find_columns(&self, columns: &Columns) -> Result<Places> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        columns.find(self.file.path(), &names, "columns")
    }

    /// A reader at the header.
    fn reader(&self) -> CsvRecords {
        CsvRecords { reader: self.reader_at(self.start), record: CsvRecord::default(), table: self.clone() }
    }

    fn reader_at(&self, place: RecordStart) -> CsvReader<BufReader<FileReader>> {
        let bytes = self.file.reader(place.byte..self.file.range().end);
        let bytes = BufReader::with_capacity(1 << 16, bytes);
        CsvReader::new(bytes, self.delimiter.byte(), place.byte, place.line)
    }

    fn field(&self, record: &CsvRecord, index: usize) -> Result<String> {
        let text = std::str::from_utf8(record.field(index)).map(String::from);
        text.map_err(|_| {
            self.problem(format!("line {}: field {} is not UTF-8 text", record.line(), index + 1))
        })
    }

    fn problem(&self, problem: impl std::fmt::Display) -> Error {
        Error::file(self.file.path(), problem)
    }

    fn csv_problem(&self, error: CsvError) -> Error {
        csv_problem(self.file.path(), error)
    }
}

/// The error of a record of the table at `path` that has more or fewer fields than the header, which has `expected`.
pub(super) fn ragged(path: &Path, record: &CsvRecord, expected: usize, delimiter: Delimiter) -> Error {
    let (found, line) = (record.len(), record.line());
    let advice = match (record.long_quote(), found > expected) {
        (Some((opened, closed)), _) => {
            format!("a quote opens on line {opened} and closes on line {closed}: check where it closes")
        }
        (None, true) => format!("quote a field that holds the delimiter `{delimiter}`"),
        (None, false) => format!("expected the delimiter `{delimiter}` between all fields, empty ones too"),
    };
    let fields = if found == 1 { "field" } else { "fields" };
    Error::file(path, format!("line {line}: {found} {fields} where the header has {expected}; {advice}"))
}

/// The error of a table at `path` that cannot be read.
pub(super) fn csv_problem(path: &Path, error: CsvError) -> Error {
    let advice = "close it, or write a quote inside a quoted field twice";
    let problem = match error {
        CsvError::Io(error) => return Error::file(path, error),
        CsvError::TooLong { line } => format!(
            "line {line}: a record of more than {} MiB; expected records with line ends between them",
            LONGEST_RECORD >> 20
        ),
        CsvError::Unclosed { opened } => {
            format!("line {opened}: the quote that opens here is not closed; {advice}")
        }
        CsvError::TextAfterQuote { opened, closed } => format!(
            "line {opened}: the quote that opens here closes on line {closed}, in the middle of a field; {advice}"
        ),
    };
    Error::file(path, problem)
}

/// The line `sep=;` that Excel reads and writes above the header.
pub(super) struct SeparatorLine {
    /// The delimiter that it names; `None` if there is no such line.
    delimiter: Option<Delimiter>,
    /// The place of the header.
    pub(super) start: RecordStart,
}

/// Read the line that names the delimiter, if the first one does.
pub(super) fn separator_line(file: &Utf8File) -> Result<SeparatorLine> {
    let byte = file.range().start;
    let mut line = vec![];
    read_line(&mut &head(file, 16)?[..], 16, &mut line).map_err(|error| Error::file(file.path(), error))?;
    let text = std::str::from_utf8(without_end(&line)).unwrap_or_default();
    let delimiter = text.strip_prefix("sep=").and_then(|name| name.parse().ok());
    let start = match delimiter {
        Some(_) => RecordStart { byte: byte + line.len() as u64, line: 2 },
        None => RecordStart { byte, line: 1 },
    };
    Ok(SeparatorLine { delimiter, start })
}

/// Find the delimiter of a table in its first bytes.
pub(super) fn find_delimiter(file: &Utf8File, usual: Delimiter) -> Result<Delimiter> {
    if let Some(delimiter) = separator_line(file)?.delimiter {
        return Ok(delimiter);
    }
    let head = head(file, HEAD)?;
    let range = file.range();
    let complete = head.len() as u64 == range.end - range.start;
    Ok(Delimiter::find(&head, complete, usual))
}

/// The first bytes of a file.
fn head(file: &Utf8File, bytes: u64) -> Result<Vec<u8>> {
    let mut head = vec![];
    let read = file.reader(file.range()).take(bytes).read_to_end(&mut head);
    read.map_err(|error| Error::file(file.path(), error))?;
    Ok(head)
}

impl RecordFormat for CsvFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn text_column(&self) -> &str {
        &self.names[self.places.text]
    }

    fn label_column(&self) -> Option<&str> {
        self.places.label.map(|place| self.names[place].as_str())
    }

    fn notes(&self) -> Vec<String> {
        let delimiter =
            format!("its fields are separated by `{}` (option `delimiter` overrides)", self.delimiter);
        let notes = [self.file.note().map(String::from), self.found.then_some(delimiter)];
        notes.into_iter().flatten().collect()
    }

    fn records(&self) -> Result<Box<dyn Records>> {
        let mut records = self.reader();
        records.read_record()?; // the header
        Ok(Box::new(records))
    }
}

/// A reader of a table.
struct CsvRecords {
    reader: CsvReader<BufReader<FileReader>>,
    /// The last record.
    record: CsvRecord,
    table: CsvFile,
}

impl CsvRecords {
    /// Read the header or the next record; return `false` after the last.
    fn read_record(&mut self) -> Result<bool> {
        self.reader.read(&mut self.record).map_err(|error| self.table.csv_problem(error))
    }
}

impl Records for CsvRecords {
    fn place(&self) -> RecordStart {
        RecordStart { byte: self.reader.byte(), line: self.reader.line() }
    }

    fn seek(&mut self, place: RecordStart) -> Result<()> {
        self.reader = self.table.reader_at(place);
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Piece>> {
        if !self.read_record()? {
            return Ok(None);
        }
        let Self { record, table, .. } = self;
        if record.len() != table.names.len() {
            return Err(ragged(table.file.path(), record, table.names.len(), table.delimiter));
        }
        let Places { text, label } = table.places;
        let label = label.map(|place| table.field(record, place)).transpose()?;
        piece(table.file.path(), record.line(), table.field(record, text)?, label).map(Some)
    }
}
