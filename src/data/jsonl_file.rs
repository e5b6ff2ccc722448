//! JSONL files: one JSON object a line.

use std::io::BufReader;
use std::path::Path;

use serde_json::Value;

use super::file_reader::FileReader;
use super::json_object::JsonObject;
use super::line_end::read_line;
use super::piece::Piece;
use super::read_options::ReadOptions;
use super::records::{LONGEST_RECORD, RecordFormat, RecordStart, Records, piece};
use super::utf8_file::Utf8File;
use crate::listing::listed;
use crate::{Error, Result};

/// The number of objects after the first in which a label field is searched.
const SEARCHED: usize = 1000;

/// A JSONL file, with the names of the fields of text and label.
#[derive(Debug)]
pub(super) struct JsonlFile {
    file: Utf8File,
    text: String,
    label: Option<String>,
}

impl JsonlFile {
    /// Open a file and read the field names of its first object.
    ///
    /// # Errors
    /// If the file cannot be read or has no object, or as [`Columns::find`](super::columns::Columns::find).
    pub fn open(path: &Path, options: &ReadOptions) -> Result<Self> {
        let file = Utf8File::open(path, options.encoding)?;
        options.refuse_delimiter(&path.display().to_string())?;
        let columns = &options.columns;
        let mut lines = Objects::open(file.clone());
        let Some((number, object)) = lines.next_object()? else {
            return Err(Error::file(path, "holds no records; expected one JSON object a line"));
        };
        // Labels may be numbers and may be missing; without labels only strings can be the text.
        let fields = object
            .iter()
            .filter(|(_, value)| matches!(value, Value::String(_) | Value::Null) || columns.label.is_some());
        let mut names: Vec<&str> = fields.map(|(name, _)| name).collect();
        if let Some(label) = columns.label.as_deref()
            && object.get(label).is_none()
            && lines.has_field(label)?
        {
            names.push(label);
        }
        let places = columns.find(path, &names, &format!("line {number}: string fields"))?;
        let name = |place: usize| names[place].to_string();
        let (text, label) = (name(places.text), places.label.map(name));
        Ok(Self { file, text, label })
    }
}

impl RecordFormat for JsonlFile {
    fn path(&self) -> &Path {
        self.file.path()
    }

    fn text_column(&self) -> &str {
        &self.text
    }

    fn label_column(&self) -> Option<&str> {
        self.label.as_deref()
    }

    fn notes(&self) -> Vec<String> {
        self.file.note().map(String::from).into_iter().collect()
    }

    fn records(&self) -> Result<Box<dyn Records>> {
        let objects = Objects::open(self.file.clone());
        Ok(Box::new(JsonlRecords { objects, text: self.text.clone(), label: self.label.clone() }))
    }
}

struct JsonlRecords {
    objects: Objects,
    text: String,
    label: Option<String>,
}

impl Records for JsonlRecords {
    fn place(&self) -> RecordStart {
        self.objects.next
    }

    fn seek(&mut self, place: RecordStart) -> Result<()> {
        self.objects.seek(place);
        Ok(())
    }

    fn read(&mut self) -> Result<Option<Piece>> {
        let Some((number, object)) = self.objects.next_object()? else { return Ok(None) };
        let path = self.objects.file.path();
        let label = self.label.as_ref().map(|name| label_of(path, number, &object, name)).transpose()?;
        let text = text_of(path, number, &object, &self.text)?;
        piece(path, number, text, label.flatten()).map(Some)
    }
}

/// The objects of a file.
pub(super) struct Objects {
    reader: BufReader<FileReader>,
    file: Utf8File,
    /// The place of the next line.
    next: RecordStart,
}

impl Objects {
    pub fn open(file: Utf8File) -> Self {
        let next = RecordStart { byte: file.range().start, line: 1 };
        Self { reader: BufReader::new(file.reader(file.range())), file, next }
    }

    fn seek(&mut self, place: RecordStart) {
        self.next = place;
        self.reader = BufReader::new(self.file.reader(place.byte..self.file.range().end));
    }

    /// The object of the next line that is not blank, with the line's number; `None` after the last.
    pub fn next_object(&mut self) -> Result<Option<(u64, JsonObject)>> {
        let mut bytes = Vec::new();
        loop {
            bytes.clear();
            read_line(&mut self.reader, LONGEST_RECORD + 1, &mut bytes)
                .map_err(|error| Error::file(self.file.path(), error))?;
            self.next.byte += bytes.len() as u64;
            if bytes.is_empty() {
                return Ok(None);
            }
            let number = self.next.line;
            self.next.line += 1;
            if bytes.len() > LONGEST_RECORD {
                let problem = format!(
                    "line {number} has more than {} MiB; expected one JSON object a line",
                    LONGEST_RECORD >> 20
                );
                return Err(Error::file(self.file.path(), problem));
            }
            if !bytes.iter().all(u8::is_ascii_whitespace) {
                let object = serde_json::from_slice(&bytes);
                return object
                    .map(|object| Some((number, object)))
                    .map_err(|error| self.malformed(number, &bytes, &error));
            }
        }
    }

    /// Whether one of the next objects has a field.
    fn has_field(&mut self, name: &str) -> Result<bool> {
        for _ in 0..SEARCHED {
            match self.next_object()? {
                Some((_, object)) if object.get(name).is_some() => return Ok(true),
                Some(_) => {}
                None => return Ok(false),
            }
        }
        Ok(false)
    }

    fn malformed(&self, line: u64, bytes: &[u8], error: &serde_json::Error) -> Error {
        if line == 1 && bytes.trim_ascii_start().starts_with(b"[") {
            let problem = "is a JSON array; expected one JSON object a line, as `jq -c '.[]'` writes them";
            return Error::file(self.file.path(), problem);
        }
        let reason = error.to_string();
        let reason = reason.split(" at line ").next().unwrap_or_default();
        let place = match error.column() {
            0 => format!("line {line}"), // the object does not end
            column => format!("line {line}, column {column}"),
        };
        Error::file(self.file.path(), format!("{place}: {reason}; expected one JSON object a line"))
    }
}

/// The text of an object; empty if it is null.
fn text_of(path: &Path, line: u64, object: &JsonObject, name: &str) -> Result<String> {
    let problem = match object.get(name) {
        Some(Value::String(text)) => return Ok(text.clone()),
        Some(Value::Null) => return Ok(String::new()),
        Some(other) => format!("line {line}: field `{name}` is {}; expected a string", kind(other)),
        None => {
            let fields = listed(object.iter().map(|(name, _)| name), ", ");
            format!("line {line} has no string field `{name}` (it has: {fields})")
        }
    };
    Err(Error::file(path, problem))
}

/// The kind of a value, with its article.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a truth value",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

/// The label of an object, which may be a number or a truth value; `None` if it is null or absent.
fn label_of(path: &Path, line: u64, object: &JsonObject, name: &str) -> Result<Option<String>> {
    match object.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(label)) => Ok(Some(label.clone())),
        Some(label @ (Value::Number(_) | Value::Bool(_))) => Ok(Some(label.to_string())),
        Some(other) => {
            let problem = format!("line {line}: label field `{name}` is {}; expected a string", kind(other));
            Err(Error::file(path, problem))
        }
    }
}
