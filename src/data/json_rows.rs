//! The rows of a table in JSONL: one object a row, its fields as text.
//!
//! | value | text |
//! |---|---|
//! | a string | itself |
//! | a number | its digits |
//! | `true`, `false` | 1, 0 |
//! | null, or a field that the object lacks | empty: missing |
//! | a list or an object | an error |

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use super::extension::has_extension;
use super::jsonl_file::{Objects, kind};
use super::utf8_file::Utf8File;
use crate::listing::thousands;
use crate::{Error, Result};

/// The line of a row, and its fields, as many as the table has columns.
pub(super) type LineAndFields = (u64, Vec<String>);

/// The most different fields of a file.
const MOST_FIELDS: usize = 10_000;

/// Whether a file with this path holds JSON objects.
pub(super) fn is_jsonl(path: &Path) -> bool {
    ["jsonl", "json"].iter().any(|extension| has_extension(path, extension))
}

/// The names of the fields, in the order in which they first appear, and the line of each row with its fields, as many
/// as names.
///
/// # Errors
/// If the file cannot be read, a line is not an object, or a field holds a list or an object.
pub(super) fn read(file: Utf8File) -> Result<(Vec<String>, Vec<LineAndFields>)> {
    let path = file.path().to_path_buf();
    let mut objects = Objects::open(file);
    let mut names: Vec<String> = vec![];
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut rows: Vec<LineAndFields> = vec![];
    while let Some((line, object)) = objects.next_object()? {
        let mut fields = vec![String::new(); names.len()];
        for (name, value) in object.iter() {
            let at = places.get(name).copied().unwrap_or_else(|| {
                places.insert(name.into(), names.len());
                names.push(name.into());
                fields.push(String::new());
                names.len() - 1
            });
            fields[at] = text(value).map_err(|found| {
                let problem = format!("line {line}: `{name}` is {found}; expected a number or a string");
                Error::file(&path, problem)
            })?;
        }
        if names.len() > MOST_FIELDS {
            let most = thousands(MOST_FIELDS as u64);
            let problem =
                format!("line {line}: more than {most} different fields; expected one object a time step");
            return Err(Error::file(&path, problem));
        }
        rows.push((line, fields));
    }
    for (_, fields) in &mut rows {
        fields.resize(names.len(), String::new());
    }
    Ok((names, rows))
}

/// The text of a value; the kind of one that is not text.
fn text(value: &Value) -> Result<String, &'static str> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(value) => Ok(u8::from(*value).to_string()),
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => Ok(text.clone()),
        Value::Array(_) | Value::Object(_) => Err(kind(value)),
    }
}
