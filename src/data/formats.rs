//! The formats of files that text is read from, by file extension. A new format is a file and a line here.

use std::path::Path;

use super::columns::Columns;
use super::csv_file::CsvFile;
use super::data_file::DataFile;
use super::jsonl_file::JsonlFile;
use super::records::{RecordFile, RecordFormat};
use super::text_file::TextFile;
use crate::Result;

/// Opens a file, whose text and label are in the given columns.
type Open = fn(&Path, &Columns) -> Result<Box<dyn DataFile>>;

/// Extensions and their formats. A file with another extension is plain text.
const FORMATS: &[(&str, Open)] = &[
    ("txt", open_text),
    ("csv", |path, columns| records(CsvFile::open(path, columns))),
    ("jsonl", |path, columns| records(JsonlFile::open(path, columns))),
];

/// Open the file at `path`.
///
/// # Errors
/// If the file cannot be read or holds no text, or a column that was named is missing.
pub fn open(path: &Path, columns: &Columns) -> Result<Box<dyn DataFile>> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    let format = FORMATS.iter().find(|(name, _)| name.eq_ignore_ascii_case(extension));
    format.map_or(open_text as Open, |(_, open)| *open)(path, columns)
}

/// The extensions, in the order in which a folder is searched.
pub fn extensions() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|(extension, _)| *extension)
}

fn open_text(path: &Path, columns: &Columns) -> Result<Box<dyn DataFile>> {
    let file = TextFile::open(path)?;
    columns.refuse(&path.display().to_string())?;
    Ok(Box::new(file))
}

fn records<F: RecordFormat + 'static>(file: Result<F>) -> Result<Box<dyn DataFile>> {
    Ok(Box::new(RecordFile::new(file?)?))
}
