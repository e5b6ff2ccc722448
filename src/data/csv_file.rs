//! CSV files with a header.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use csv::Position;

use super::columns::{Columns, Places};
use super::extent::extent;
use super::piece::Piece;
use super::records::{Place, RecordFormat, Records, piece};
use crate::{Error, Result};

/// A CSV file, with the places of text and label among its columns.
#[derive(Debug)]
pub(super) struct CsvFile {
    path: PathBuf,
    places: Places,
    text_column: String,
}

impl CsvFile {
    /// Open a file and read its header.
    ///
    /// # Errors
    /// If the file cannot be read, or as [`Columns::find`].
    pub fn open(path: &Path, columns: &Columns) -> Result<Self> {
        let mut reader = reader(path)?;
        let header = reader.headers().map_err(|error| csv_problem(path, &error))?;
        let names: Vec<&str> = header.iter().collect();
        let places = columns.find(path, &names, "columns")?;
        Ok(Self { path: path.to_path_buf(), places, text_column: names[places.text].to_string() })
    }
}

impl RecordFormat for CsvFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn text_column(&self) -> &str {
        &self.text_column
    }

    fn records(&self) -> Result<Box<dyn Records>> {
        let mut reader = reader(&self.path)?;
        reader.headers().map_err(|error| csv_problem(&self.path, &error))?;
        Ok(Box::new(CsvRecords { reader, path: self.path.clone(), places: self.places }))
    }
}

struct CsvRecords {
    reader: csv::Reader<File>,
    path: PathBuf,
    places: Places,
}

impl Records for CsvRecords {
    fn place(&self) -> Place {
        let position = self.reader.position();
        Place { byte: position.byte(), line: position.line() }
    }

    fn seek(&mut self, place: Place) -> Result<()> {
        let mut position = Position::new();
        position.set_byte(place.byte).set_line(place.line);
        self.reader.seek(position).map_err(|error| csv_problem(&self.path, &error))
    }

    fn read(&mut self) -> Result<Option<Piece>> {
        let mut record = csv::StringRecord::new();
        if !self.reader.read_record(&mut record).map_err(|error| csv_problem(&self.path, &error))? {
            return Ok(None);
        }
        let line = || record.position().map_or(0, |position| line_of(&self.path, position));
        let field = |place: usize| record.get(place).unwrap_or_default().to_string();
        piece(&self.path, line, field(self.places.text), self.places.label.map(field)).map(Some)
    }
}

/// A reader before the header. It skips a byte-order mark itself.
fn reader(path: &Path) -> Result<csv::Reader<File>> {
    extent(path)?;
    let file = File::open(path).map_err(|error| Error::file(path, error))?;
    Ok(csv::ReaderBuilder::new().buffer_capacity(1 << 16).from_reader(file))
}

/// The line on which a record begins. The csv reader counts blank lines before a record as part of it.
fn line_of(path: &Path, position: &Position) -> u64 {
    let blank_lines = || {
        let mut reader = BufReader::new(File::open(path).ok()?);
        reader.seek(SeekFrom::Start(position.byte())).ok()?;
        let breaks = reader.bytes().map_while(|byte| byte.ok().filter(|byte| b"\r\n".contains(byte)));
        Some(breaks.filter(|&byte| byte == b'\n').count() as u64)
    };
    position.line() + blank_lines().unwrap_or(0)
}

fn csv_problem(path: &Path, error: &csv::Error) -> Error {
    let line =
        error.position().map_or(String::new(), |position| format!("line {}: ", line_of(path, position)));
    let problem = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!(
                "{line}{len} fields where the header has {expected_len}; quote a field that holds a comma"
            )
        }
        csv::ErrorKind::Utf8 { err, .. } => format!("{line}field {} is not UTF-8 text", err.field() + 1),
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => format!("{line}{error}"),
    };
    Error::file(path, problem)
}
