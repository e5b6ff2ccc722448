//! JSONL files: one JSON object a line.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::columns::Columns;
use super::extent::extent;
use super::piece::Piece;
use super::records::{Place, RecordFormat, Records, piece};
use crate::{Error, Result};

/// A JSONL file, with the names of the fields of text and label.
#[derive(Debug)]
pub(super) struct JsonlFile {
    path: PathBuf,
    text: String,
    label: Option<String>,
    /// Bytes before the first line.
    start: u64,
}

impl JsonlFile {
    /// Open a file and read the field names of its first object.
    ///
    /// # Errors
    /// If the file cannot be read or has no object, or as [`Columns::find`].
    pub fn open(path: &Path, columns: &Columns) -> Result<Self> {
        let (start, _) = extent(path)?;
        let mut lines = Objects::open(path, start)?;
        let Some((number, object)) = lines.next_object()? else {
            return Err(Error::file(path, "holds no records; expected one JSON object a line"));
        };
        // Labels may be numbers; without labels only strings can be the text.
        let fields = object.iter().filter(|(_, value)| value.is_string() || columns.label.is_some());
        let names: Vec<&str> = fields.map(|(name, _)| name.as_str()).collect();
        let places = columns.find(path, &names, &format!("line {number}: string fields"))?;
        let name = |place: usize| names[place].to_string();
        let label = places.label.map(name);
        Ok(Self { path: path.to_path_buf(), text: name(places.text), label, start })
    }
}

impl RecordFormat for JsonlFile {
    fn path(&self) -> &Path {
        &self.path
    }

    fn text_column(&self) -> &str {
        &self.text
    }

    fn records(&self) -> Result<Box<dyn Records>> {
        let objects = Objects::open(&self.path, self.start)?;
        Ok(Box::new(JsonlRecords { objects, text: self.text.clone(), label: self.label.clone() }))
    }
}

struct JsonlRecords {
    objects: Objects,
    text: String,
    label: Option<String>,
}

impl Records for JsonlRecords {
    fn place(&self) -> Place {
        self.objects.next
    }

    fn seek(&mut self, place: Place) -> Result<()> {
        self.objects.seek(place)
    }

    fn read(&mut self) -> Result<Option<Piece>> {
        let Some((number, object)) = self.objects.next_object()? else { return Ok(None) };
        let path = &self.objects.path;
        let label = self.label.as_ref().map(|name| label_of(path, number, &object, name)).transpose()?;
        let text = text_of(path, number, &object, &self.text)?;
        piece(path, || number, text, label).map(Some)
    }
}

/// The objects of a file.
struct Objects {
    reader: BufReader<File>,
    path: PathBuf,
    /// The place of the next line.
    next: Place,
}

impl Objects {
    fn open(path: &Path, start: u64) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::file(path, error))?;
        let next = Place { byte: start, line: 1 };
        let mut objects = Self { reader: BufReader::new(file), path: path.to_path_buf(), next };
        objects.seek(next)?;
        Ok(objects)
    }

    fn seek(&mut self, place: Place) -> Result<()> {
        self.next = place;
        let found = self.reader.seek(SeekFrom::Start(place.byte));
        found.map(drop).map_err(|error| Error::file(&self.path, error))
    }

    /// The object of the next line that is not blank, with the line's number; `None` after the last.
    fn next_object(&mut self) -> Result<Option<(u64, Map<String, Value>)>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            let read = self.reader.read_until(b'\n', &mut bytes);
            self.next.byte += read.map_err(|error| Error::file(&self.path, error))? as u64;
            if bytes.is_empty() {
                return Ok(None);
            }
            let number = self.next.line;
            self.next.line += 1;
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                let object = serde_json::from_slice(&bytes);
                return object
                    .map(|object| Some((number, object)))
                    .map_err(|error| self.malformed(number, &error));
            }
        }
    }

    fn malformed(&self, line: u64, error: &serde_json::Error) -> Error {
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        let place = format!("line {line}, column {}", error.column());
        Error::file(&self.path, format!("{place}: {reason}; expected one JSON object a line"))
    }
}

/// The text of an object.
fn text_of(path: &Path, line: u64, object: &Map<String, Value>, name: &str) -> Result<String> {
    let problem = match object.get(name) {
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(other) => format!("line {line}: field `{name}` is {}; expected a string", kind(other)),
        None => {
            let fields: Vec<&str> = object.keys().map(String::as_str).collect();
            format!("line {line} has no string field `{name}` (it has: {})", fields.join(", "))
        }
    };
    Err(Error::file(path, problem))
}

/// The kind of a value, with its article.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The label of an object; labels may be numbers and truth values too.
fn label_of(path: &Path, line: u64, object: &Map<String, Value>, name: &str) -> Result<String> {
    match object.get(name) {
        Some(Value::String(label)) => Ok(label.clone()),
        Some(label @ (Value::Number(_) | Value::Bool(_))) => Ok(label.to_string()),
        Some(other) => {
            let problem = format!("line {line}: label field `{name}` is {}; expected a string", kind(other));
            Err(Error::file(path, problem))
        }
        None => Err(Error::file(path, format!("line {line} has no label field `{name}`"))),
    }
}
