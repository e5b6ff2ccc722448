//! CSV and JSONL files: one record a piece.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use csv::Position;
use serde_json::{Map, Value};

use super::text_file::measure;
use super::{Columns, End, Fractions, Piece, Pieces};
use crate::{Error, Result};

/// A file of records, and where in a record its text and label are.
#[derive(Clone, Debug)]
pub struct RecordFile {
    path: PathBuf,
    layout: Layout,
    /// The name of the column that the text is read from.
    text_column: String,
}

#[derive(Clone, Debug)]
enum Layout {
    /// Column numbers.
    Csv { text: usize, label: Option<usize> },
    /// Field names, and where the first line begins.
    Jsonl { text: String, label: Option<String>, start: u64 },
}

/// How many records a file has, and where every [`STRIDE`]th begins.
#[derive(Debug)]
pub struct Index {
    count: u64,
    landmarks: Vec<Position>,
}

/// Records between two landmarks of an [`Index`]: few enough to skip, many enough to keep it small.
const STRIDE: u64 = 1024;

impl RecordFile {
    /// Opens a `.csv` or `.jsonl` file; `None` for any other extension.
    ///
    /// # Errors
    /// Names the file when it cannot be read or has no record, and lists its columns when one asked for
    /// is missing or it is not clear which holds the text.
    pub fn open(path: &Path, columns: &Columns) -> Result<Option<Self>> {
        let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
        let (layout, text_column) = match extension.to_ascii_lowercase().as_str() {
            "csv" => csv_layout(path, columns)?,
            "jsonl" => jsonl_layout(path, columns)?,
            _ => return Ok(None),
        };
        let file = Self { path: path.to_path_buf(), layout, text_column };
        match file.pieces(0..1, None)?.next() {
            Some(first) => first.map(|_| Some(file)),
            None => Err(Error::file(path, "has no records below its header; expected text")),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn text_column(&self) -> &str {
        &self.text_column
    }

    /// Reads the whole file once and notes where its records are.
    pub fn index(&self) -> Result<Index> {
        let mut records = self.records()?;
        let mut index = Index { count: 0, landmarks: Vec::new() };
        loop {
            let position = records.position();
            if records.next().transpose()?.is_none() {
                return Ok(index);
            }
            if index.count.is_multiple_of(STRIDE) {
                index.landmarks.push(position);
            }
            index.count += 1;
        }
    }

    /// The records with these numbers, counted from 0; `index` makes it quick to find the first.
    pub fn pieces(&self, range: Range<u64>, index: Option<&Index>) -> Result<Pieces> {
        let mut records = self.records()?;
        let landmark = index.and_then(|index| index.landmarks.get((range.start / STRIDE) as usize));
        let mut skip = range.start;
        if let Some(position) = landmark {
            records.seek(position)?;
            skip %= STRIDE;
        }
        let length = usize::try_from(range.end - range.start).unwrap_or(usize::MAX);
        Ok(Box::new(UntilError(Some(records)).skip(skip as usize).take(length)))
    }

    fn records(&self) -> Result<Records> {
        let path = self.path.clone();
        match &self.layout {
            Layout::Csv { text, label } => {
                let mut reader = csv_reader(&path)?;
                reader.headers().map_err(|error| csv_problem(&path, &error))?;
                Ok(Records::Csv { reader: Box::new(reader), path, text: *text, label: *label })
            }
            Layout::Jsonl { text, label, start } => {
                let reader = open(&path)?;
                let (text, label) = (text.clone(), label.clone());
                let mut records = Records::Jsonl { reader, path, text, label, byte: *start, line: 1 };
                let mut beginning = Position::new();
                records.seek(beginning.set_byte(*start))?;
                Ok(records)
            }
        }
    }
}

impl Index {
    /// The record numbers of train, valid and test, in this order through the file; a share above zero
    /// is at least one record.
    pub fn split(&self, fractions: Fractions) -> [Range<u64>; 3] {
        // The allowance keeps a share that is whole but for rounding from gaining a record.
        let aside = |share: f64| (share * self.count as f64 - 1e-6).ceil().max(0.0) as u64;
        let test = self.count - aside(fractions.test).min(self.count);
        let valid = test - aside(fractions.valid).min(test);
        [0..valid, valid..test, test..self.count]
    }
}

fn open(path: &Path) -> Result<BufReader<File>> {
    File::open(path).map(BufReader::new).map_err(|error| Error::file(path, error))
}

/// A reader that stands before the header; it skips a byte-order mark itself.
fn csv_reader(path: &Path) -> Result<csv::Reader<File>> {
    measure(path)?;
    let file = File::open(path).map_err(|error| Error::file(path, error))?;
    Ok(csv::ReaderBuilder::new().buffer_capacity(1 << 16).from_reader(file))
}

/// The layout of a CSV file, and the name of its text.
fn csv_layout(path: &Path, columns: &Columns) -> Result<(Layout, String)> {
    let mut reader = csv_reader(path)?;
    let header = reader.headers().map_err(|error| csv_problem(path, &error))?;
    let names: Vec<&str> = header.iter().collect();
    let (text, label) = choose(path, columns, &names, "columns")?;
    Ok((Layout::Csv { text, label }, names[text].to_string()))
}

/// The layout of a JSONL file, and the name of its text.
fn jsonl_layout(path: &Path, columns: &Columns) -> Result<(Layout, String)> {
    let (start, _) = measure(path)?;
    let mut reader = open(path)?;
    reader.seek(SeekFrom::Start(start)).map_err(|error| Error::file(path, error))?;
    let (mut line, mut byte) = (1, start);
    let Some((number, object)) = next_object(path, &mut reader, &mut line, &mut byte)? else {
        return Err(Error::file(path, "holds no records; expected one JSON object a line"));
    };
    let texts = object.iter().filter(|(_, value)| value.is_string() || columns.label.is_some());
    let names: Vec<&str> = texts.map(|(name, _)| name.as_str()).collect();
    let (text, label) = choose(path, columns, &names, &format!("line {number}: string fields"))?;
    let name = |place: usize| names[place].to_string();
    Ok((Layout::Jsonl { text: name(text), label: label.map(name), start }, name(text)))
}

/// The places of text and label among `names`.
fn choose(path: &Path, columns: &Columns, names: &[&str], what: &str) -> Result<(usize, Option<usize>)> {
    if names.is_empty() {
        return Err(Error::file(
            path,
            format!("has no text ({what}: none); expected a field that holds some"),
        ));
    }
    let all = format!("({what}: {})", names.join(", "));
    let find = |wanted: &String, flag: &str| {
        let missing = || Error::file(path, format!("has no `{wanted}` {all}; choose one with {flag}"));
        names.iter().position(|name| name == wanted).ok_or_else(missing)
    };
    let label = columns.label.as_ref().map(|label| find(label, "--label-column")).transpose()?;
    if let Some(text) = &columns.text {
        let place = find(text, "--text-column")?;
        if Some(place) == label {
            let problem = format!("`{text}` cannot be the text and the class at once {all}");
            return Err(Error::file(path, problem));
        }
        return Ok((place, label));
    }
    let mut others = (0..names.len()).filter(|&place| Some(place) != label);
    let text = others.clone().find(|&place| names[place] == "text");
    let text = match (text, others.next(), others.next()) {
        (Some(text), ..) | (None, Some(text), None) => text,
        _ => {
            return Err(Error::file(
                path,
                format!("it is not clear which field is the text {all}; say --text-column NAME"),
            ));
        }
    };
    Ok((text, label))
}

/// A reader of records.
enum Records {
    Csv {
        reader: Box<csv::Reader<File>>,
        path: PathBuf,
        text: usize,
        label: Option<usize>,
    },
    Jsonl {
        reader: BufReader<File>,
        path: PathBuf,
        text: String,
        label: Option<String>,
        byte: u64,
        line: u64,
    },
}

impl Records {
    /// Where the next record begins.
    fn position(&self) -> Position {
        match self {
            Self::Csv { reader, .. } => reader.position().clone(),
            Self::Jsonl { byte, line, .. } => {
                let mut position = Position::new();
                position.set_byte(*byte).set_line(*line);
                position
            }
        }
    }

    fn seek(&mut self, position: &Position) -> Result<()> {
        match self {
            Self::Csv { reader, path, .. } => {
                reader.seek(position.clone()).map_err(|error| csv_problem(path, &error))
            }
            Self::Jsonl { reader, path, byte, line, .. } => {
                (*byte, *line) = (position.byte(), position.line());
                reader.seek(SeekFrom::Start(*byte)).map(drop).map_err(|error| Error::file(path, error))
            }
        }
    }

    fn advance(&mut self) -> Result<Option<Piece>> {
        match self {
            Self::Csv { reader, path, text, label } => {
                let mut record = csv::StringRecord::new();
                if !reader.read_record(&mut record).map_err(|error| csv_problem(path, &error))? {
                    return Ok(None);
                }
                let line = || record.position().map_or(0, |position| line_of(path, position));
                let field = |place: usize| record.get(place).unwrap_or_default().to_string();
                piece(path, line, field(*text), label.map(field)).map(Some)
            }
            Self::Jsonl { reader, path, text, label, byte, line } => {
                let Some((number, mut object)) = next_object(path, reader, line, byte)? else {
                    return Ok(None);
                };
                let label = label.as_ref().map(|name| label_of(path, number, &object, name)).transpose()?;
                let Some(Value::String(text)) = object.remove(text) else {
                    let fields: Vec<&str> = object.keys().map(String::as_str).collect();
                    let problem =
                        format!("line {number} has no string field `{text}` (it has: {})", fields.join(", "));
                    return Err(Error::file(path, problem));
                };
                piece(path, || number, text, label).map(Some)
            }
        }
    }
}

impl Iterator for Records {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        self.advance().transpose()
    }
}

/// Records up to and with the first error.
struct UntilError(Option<Records>);

impl Iterator for UntilError {
    type Item = Result<Piece>;

    fn next(&mut self) -> Option<Self::Item> {
        let next = self.0.as_mut()?.next();
        if !matches!(next, Some(Ok(_))) {
            self.0 = None;
        }
        next
    }
}

fn piece(path: &Path, line: impl Fn() -> u64, text: String, label: Option<String>) -> Result<Piece> {
    match text.contains('\0') {
        true => Err(Error::file(path, format!("line {} holds a NUL byte; expected text", line()))),
        false => Ok(Piece { text, label, end: End::Record }),
    }
}

/// The next line that is not blank, as an object, with its number; moves `line` and `byte` past it.
fn next_object(
    path: &Path,
    reader: &mut BufReader<File>,
    line: &mut u64,
    byte: &mut u64,
) -> Result<Option<(u64, Map<String, Value>)>> {
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        *byte += reader.read_until(b'\n', &mut bytes).map_err(|error| Error::file(path, error))? as u64;
        if bytes.is_empty() {
            return Ok(None);
        }
        let number = *line;
        *line += 1;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        return match serde_json::from_slice(&bytes) {
            Ok(object) => Ok(Some((number, object))),
            Err(error) => {
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or_default();
                let place = format!("line {number}, column {}", error.column());
                Err(Error::file(path, format!("{place}: {reason}; expected one JSON object a line")))
            }
        };
    }
}

/// Labels may be numbers or truth values too.
fn label_of(path: &Path, line: u64, object: &Map<String, Value>, name: &str) -> Result<String> {
    match object.get(name) {
        Some(Value::String(label)) => Ok(label.clone()),
        Some(label @ (Value::Number(_) | Value::Bool(_))) => Ok(label.to_string()),
        _ => Err(Error::file(path, format!("line {line} has no label field `{name}`"))),
    }
}

/// The line on which a record begins: the reader counts blank lines before a record as part of it.
fn line_of(path: &Path, position: &Position) -> u64 {
    let blank_lines = || {
        let mut reader = open(path).ok()?;
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
        csv::ErrorKind::Utf8 { err, .. } => {
            format!("{line}field {} is not UTF-8 text", err.field() + 1)
        }
        csv::ErrorKind::Io(error) => error.to_string(),
        _ => format!("{line}{error}"),
    };
    Error::file(path, problem)
}
