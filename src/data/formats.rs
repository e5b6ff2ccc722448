//! The formats of files that text is read from, by file extension. A new format is a file and a line here.

use std::path::Path;

use super::csv_file::CsvFile;
use super::data_file::DataFile;
use super::delimiter::Delimiter;
use super::jsonl_file::JsonlFile;
use super::read_options::ReadOptions;
use super::records::{RecordFile, RecordFormat};
use super::text_file::TextFile;
use crate::Result;

/// Open a file with the given options.
type Open = fn(&Path, &ReadOptions) -> Result<Box<dyn DataFile>>;

/// Extensions and their formats. A file with another extension is plain text.
const FORMATS: &[(&str, Open)] = &[
    ("txt", open_text),
    ("csv", |path, options| records(CsvFile::open(path, options, Delimiter::COMMA))),
    ("tsv", |path, options| records(CsvFile::open(path, options, Delimiter::TAB))),
    ("jsonl", |path, options| records(JsonlFile::open(path, options))),
    ("json", |path, options| records(JsonlFile::open(path, options))),
];

/// Open the file at `path`.
///
/// # Errors
/// If the file cannot be read or holds no text, or an option was given that does not suit it.
pub fn open(path: &Path, options: &ReadOptions) -> Result<Box<dyn DataFile>> {
    format(path).map_or(open_text as Open, |(_, open)| *open)(path, options)
}

/// Whether a file with this path holds records, which have columns.
pub fn has_columns(path: &Path) -> bool {
    format(path).is_some_and(|(extension, _)| *extension != "txt")
}

/// The extensions, in the order in which a folder is searched.
pub fn extensions() -> impl Iterator<Item = &'static str> {
    FORMATS.iter().map(|(extension, _)| *extension)
}

fn format(path: &Path) -> Option<&'static (&'static str, Open)> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    FORMATS.iter().find(|(name, _)| name.eq_ignore_ascii_case(extension))
}

fn open_text(path: &Path, options: &ReadOptions) -> Result<Box<dyn DataFile>> {
    let file = TextFile::open(path, options)?;
    options.refuse_columns(&path.display().to_string())?;
    Ok(Box::new(file))
}

fn records<F: RecordFormat + 'static>(file: Result<F>) -> Result<Box<dyn DataFile>> {
    Ok(Box::new(RecordFile::new(file?)?))
}
