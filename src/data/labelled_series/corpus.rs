//! Series with classes in train, valid and test.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::series::LabelledSeries;
use super::table::{self, SeriesColumns, SeriesTable};
use super::ts_file;
use crate::data::archive_names::{TRAIN, is_ts, test_of};
use crate::data::divided::{Divided, Items, ItemsOf, names_of};
use crate::data::encoding::Encoding;
use crate::data::source::Source;
use crate::data::utf8_file::Utf8File;
use crate::hub::{self, Endpoint};
use crate::listing::{listed, thousands};
use crate::{Error, Result};

/// Extensions of files of series.
const EXTENSIONS: [&str; 4] = ["ts", "csv", "tsv", "jsonl"];

/// Series with classes in splits.
pub type SeriesCorpus = Divided<SeriesFile>;

/// A file of series, in memory.
#[derive(Debug)]
pub struct SeriesFile {
    path: PathBuf,
    series: Vec<LabelledSeries>,
    /// Columns of a table that were left out because they hold text.
    left_out: Vec<String>,
    /// The encoding that was assumed, as a note for the user; `None` for UTF-8.
    encoding_note: Option<String>,
}

impl Items for SeriesFile {
    type Item = LabelledSeries;

    fn path(&self) -> &Path {
        &self.path
    }

    fn items(&self) -> Result<ItemsOf<LabelledSeries>> {
        Ok(Box::new(self.series.clone().into_iter().map(Ok)))
    }

    fn count(&self) -> Result<u64> {
        Ok(self.series.len() as u64)
    }

    fn notes(&self) -> Result<Vec<String>> {
        let path = self.path.display();
        let mut notes: Vec<String> =
            self.encoding_note.iter().map(|note| format!("{path}: {note}")).collect();
        let missing: usize = self.series.iter().map(LabelledSeries::missing).sum();
        if missing > 0 {
            let values = if missing == 1 { "value is" } else { "values are" };
            let missing = thousands(missing as u64);
            notes.push(format!("{path}: {missing} missing {values} interpolated within the series"));
        }
        if !self.left_out.is_empty() {
            let columns = listed(&self.left_out, ", ");
            notes.push(format!("{path}: columns without numbers are left out ({columns})"));
        }
        Ok(notes)
    }
}

/// Whether a source is a `.ts` file, or a folder with one for training.
pub fn is_ts_source(source: &Source) -> bool {
    match source {
        Source::Builtin(_) => false,
        Source::File(path) => is_ts(path),
        Source::Hub(address) => is_ts(Path::new(&address.file)),
        Source::Directory(folder) => {
            folder.join("train.ts").exists() || pairs(folder).is_ok_and(|pairs| !pairs.is_empty())
        }
    }
}

/// Open series with classes: a `.ts` file or a table, or a folder of such files. `columns` are those of tables.
///
/// With `NAME_TRAIN.ts`, `NAME_TEST.ts` in the same folder is the test split. A folder holds one such pair, or `train`,
/// and optionally `valid` and `test`, with the extension `.ts`, `.csv`, `.tsv` or `.jsonl`.
///
/// # Errors
/// If a file cannot be fetched or read or is invalid, the folder has several pairs or no training file, or a table is
/// to be read without columns.
pub fn open(
    source: &Source,
    columns: Option<&SeriesColumns>,
    encoding: Option<Encoding>,
) -> Result<SeriesCorpus> {
    let open = |path: &Path| open_file(path, columns, encoding);
    match source {
        Source::Builtin(builtin) => {
            Err(Error::invalid("data", format!("builtin:{} holds no series with classes", builtin.name())))
        }
        Source::Hub(address) => open(&hub::data_file(&Endpoint::from_env()?, address)?).map(Divided::file),
        Source::File(path) => match test_of(path).filter(|test| test.exists()) {
            Some(test) => folder_of(path, path, &test, open),
            None => open(path).map(Divided::file),
        },
        Source::Directory(folder) => open_folder(folder, open),
    }
}

fn open_folder(folder: &Path, open: impl Fn(&Path) -> Result<SeriesFile>) -> Result<SeriesCorpus> {
    if let Some(files) = Divided::in_folder(folder, &EXTENSIONS, &open)? {
        return Ok(files);
    }
    match pairs(folder)?.as_slice() {
        [train] => folder_of(folder, train, &test_of(train).unwrap_or_default(), open),
        [] => {
            let names = names_of("train", &EXTENSIONS);
            let problem =
                format!("has no training file (NAME{TRAIN}, {names}); a folder of series needs one");
            Err(Error::file(folder, problem))
        }
        several => {
            let names = listed(several.iter().map(|path| path.display()), ", ");
            Err(Error::file(folder, format!("has several training files ({names}); name one of them")))
        }
    }
}

/// A pair of training and test files; the test file may be absent.
fn folder_of(
    path: &Path,
    train: &Path,
    test: &Path,
    open: impl Fn(&Path) -> Result<SeriesFile>,
) -> Result<SeriesCorpus> {
    let mut tests = BTreeMap::new();
    if test.exists() {
        tests.insert("test".to_string(), open(test)?);
    }
    Ok(Divided::folder(path, open(train)?, None, tests))
}

fn open_file(path: &Path, columns: Option<&SeriesColumns>, encoding: Option<Encoding>) -> Result<SeriesFile> {
    let SeriesTable { series, left_out, encoding_note } = match (is_ts(path), columns) {
        (true, _) => {
            let file = Utf8File::open(path, encoding)?;
            let series = ts_file::read(&file)?;
            SeriesTable { series, left_out: vec![], encoding_note: file.note().map(String::from) }
        }
        (false, Some(columns)) => table::read(path, columns)?,
        (false, None) => {
            let problem = format!("{} is a table; name the column that holds the series", path.display());
            return Err(Error::invalid("series_column", problem));
        }
    };
    Ok(SeriesFile { path: path.to_path_buf(), series, left_out, encoding_note })
}

/// The training files of the archive in a folder, sorted.
fn pairs(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(folder).map_err(|error| Error::file(folder, error))?;
    let mut found: Vec<PathBuf> =
        entries.flatten().map(|entry| entry.path()).filter(|path| test_of(path).is_some()).collect();
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::Split;

    fn text(series: usize) -> String {
        let rows = (0..series).map(|number| format!("{number},1:a\n"));
        format!("@univariate true\n@classLabel true a\n@data\n{}", rows.collect::<String>())
    }

    #[test]
    fn training_file_brings_its_test_file_along() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, series| fs::write(folder.path().join(name), text(series)).unwrap();
        write("x_TRAIN.ts", 20);
        write("x_TEST.ts", 3);
        for path in [folder.path().to_path_buf(), folder.path().join("x_TRAIN.ts")] {
            let source: Source = path.display().to_string().parse().unwrap();
            assert!(is_ts_source(&source));
            let data = open(&source, None, None).unwrap();
            let counts =
                [Split::Train, Split::Valid, Split::Test].map(|split| data.items(split).unwrap().count());
            assert_eq!(counts, [18, 2, 3], "{}", path.display());
        }
        write("y_TRAIN.ts", 2);
        let error = open(&Source::Directory(folder.path().into()), None, None).map(drop).unwrap_err();
        assert!(error.to_string().contains("has several training files"), "{error}");
    }
}
