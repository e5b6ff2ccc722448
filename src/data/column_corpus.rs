//! Sentences with tags in train, valid and test: one column file, or a folder with a file for each.

use std::path::Path;

use super::column_file::{ColumnFile, ColumnOptions, looks_like_columns};
use super::divided::{Divided, find, names_of};
use super::extension::has_extension;
use super::source::Source;
use crate::hub::{self, Endpoint};
use crate::{Error, Result};

/// Extensions that only column files have.
const EXTENSIONS: [&str; 6] = ["conll", "conllu", "bio", "iob", "col", "tags"];

/// Extensions of files in a folder of column files: those of column files alone, then those of other formats, too.
const ALL_EXTENSIONS: [&str; 8] = ["conll", "conllu", "bio", "iob", "col", "tags", "txt", "tsv"];

/// The extensions that only column files have.
pub(super) fn extensions() -> impl Iterator<Item = &'static str> {
    EXTENSIONS.into_iter()
}

/// Whether a source is read as column files: a file, or a folder whose training file, has the extension `.conll`,
/// `.conllu`, `.bio`, `.iob`, `.col` or `.tags`. If the task is known to be tagging, `.txt` and `.tsv` count, too.
///
/// # Errors
/// If a folder has two training files.
pub fn is_column_source(source: &Source, is_tagging: bool) -> Result<bool> {
    let extensions = if is_tagging { &ALL_EXTENSIONS[..] } else { &EXTENSIONS };
    let has_one = |path: &Path| extensions.iter().any(|extension| has_extension(path, extension));
    match source {
        Source::Builtin(_) => Ok(false),
        Source::File(path) => Ok(has_one(path)),
        Source::Hub(address) => Ok(has_one(Path::new(&address.file))),
        Source::Directory(folder) => Ok(find(folder, &["train"], extensions)?.is_some()),
    }
}

/// Whether a source that may be plain text is read as column files by a tagger: a folder with a training file that can
/// be one, a `.tsv` file, and a `.txt` file whose lines have columns.
///
/// # Errors
/// If a folder has two training files, or a file cannot be read.
pub fn has_columns_of_words(source: &Source) -> Result<bool> {
    match source {
        Source::File(path) if has_extension(path, "txt") => looks_like_columns(path),
        source => is_column_source(source, true),
    }
}

/// Open a column file, or a folder that holds `train`, and optionally `valid` (also `validation`, `val` or `dev`) and
/// `test`. Fetch a file of the hub.
///
/// # Errors
/// If a file cannot be fetched or read, has no rows or no such columns; if the folder has no training file or two files
/// for one split; and for built-ins.
pub fn open(source: &Source, options: &ColumnOptions) -> Result<Divided<ColumnFile>> {
    match source {
        Source::Builtin(builtin) => {
            let problem = format!("builtin:{} is not a column file", builtin.name());
            Err(Error::invalid("data", problem))
        }
        Source::File(path) => Ok(Divided::file(ColumnFile::open(path, options)?)),
        Source::Hub(address) => {
            let path = hub::data_file(&Endpoint::from_env()?, address)?;
            Ok(Divided::file(ColumnFile::open(&path, options)?))
        }
        Source::Directory(folder) => open_folder(folder, options),
    }
}

fn open_folder(folder: &Path, options: &ColumnOptions) -> Result<Divided<ColumnFile>> {
    let found = Divided::in_folder(folder, &ALL_EXTENSIONS, |path| ColumnFile::open(path, options))?;
    found.ok_or_else(|| {
        let names = names_of("train", &ALL_EXTENSIONS);
        Error::file(folder, format!("has no training file ({names}); a folder of column files needs one"))
    })
}

#[cfg(test)]
mod tests {
    use super::super::fractions::Fractions;
    use super::super::source::Split;
    use super::*;

    /// A folder with files of so many sentences of one word, which is the number of its sentence.
    fn folder(files: &[(&str, usize)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, sentences) in files {
            let text: String = (0..*sentences).map(|number| format!("{number} {name}\n\n")).collect();
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn opened(path: &Path) -> Divided<ColumnFile> {
        open(&path.display().to_string().parse().unwrap(), &ColumnOptions::default()).unwrap()
    }

    fn words(data: &Divided<ColumnFile>, split: Split) -> Vec<String> {
        data.items(split).unwrap().map(|sentence| sentence.unwrap().words[0].clone()).collect()
    }

    #[test]
    fn single_file_is_divided_by_sentence() {
        let folder = folder(&[("a.conll", 200)]);
        let data = opened(&folder.path().join("a.conll"));
        let [train, valid, test] = [Split::Train, Split::Valid, Split::Test].map(|split| words(&data, split));
        assert_eq!([train.len(), valid.len(), test.len()], [180, 10, 10]);
        let mut all = [train, valid, test.clone()].concat();
        all.sort_by_key(|word| word.parse::<usize>().unwrap());
        assert_eq!(all, words(&data, Split::All));
        assert_eq!(words(&data, Split::Test), test);
        assert_eq!((data.default_split(), data.held_out().unwrap()), (Split::All, Split::Test));
        assert!(data.notes(None).unwrap().is_empty());
    }

    #[test]
    fn folder_without_valid_gives_up_a_tenth() {
        let folder = folder(&[("train.txt", 50), ("test.txt", 3)]);
        let data = opened(folder.path());
        let counts =
            [Split::Train, Split::Valid, Split::Test, Split::All].map(|split| words(&data, split).len());
        assert_eq!(counts, [45, 5, 3, 53]);
        let notes = data.notes(None).unwrap();
        assert!(notes[0].contains("has no valid file; 10 % of train.txt (drawn at random)"), "{notes:?}");
        let data = data.with_fractions(Fractions { valid: 0., test: 0. }).unwrap();
        assert_eq!((words(&data, Split::Train).len(), data.has(Split::Valid).unwrap()), (50, false));
    }

    #[test]
    fn validation_file_has_four_names() {
        for name in ["valid.conll", "validation.bio", "val.conllu.txt", "dev.tags"] {
            let name = name.replace(".conllu.txt", ".txt");
            let folder = folder(&[("train.conll", 20), (&name, 4)]);
            let data = opened(folder.path());
            let counts = [Split::Train, Split::Valid].map(|split| words(&data, split).len());
            assert_eq!((counts, data.held_out().unwrap()), ([20, 4], Split::Valid), "{name}");
        }
    }

    #[test]
    fn missing_and_doubled_files_are_errors() {
        let problem = |files: &[(&str, usize)]| {
            let folder = folder(files);
            let source = Source::Directory(folder.path().to_path_buf());
            open(&source, &ColumnOptions::default()).unwrap_err().to_string()
        };
        assert!(problem(&[("a.conll", 1)]).contains("has no training file (train.conll, "));
        assert!(
            problem(&[("train.conll", 9), ("dev.conll", 1), ("valid.bio", 1)]).contains("keep one of them")
        );
        assert!(open(&"builtin:copy".parse().unwrap(), &ColumnOptions::default()).is_err());
    }

    #[test]
    fn empty_splits_are_errors() {
        let problem = |data: &Divided<ColumnFile>, split| data.items(split).err().unwrap().to_string();
        let folder = folder(&[("a.conll", 2), ("train.conll", 2), ("dev.conll", 2)]);
        let file = opened(&folder.path().join("a.conll"));
        assert!(!file.has(Split::Test).unwrap());
        assert!(problem(&file, Split::Test).contains("is too short to set aside a test split"));
        let data = opened(folder.path());
        assert!(!data.has(Split::Test).unwrap());
        assert!(problem(&data, Split::Test).contains("has no test file; option `split = valid`"));
    }

    #[test]
    fn bad_row_in_a_later_sentence_ends_the_split() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("train.conll");
        std::fs::write(&path, "a b\n\nc\n\nd e\n").unwrap();
        let data = opened(&path);
        let message = data.has(Split::Train).unwrap_err().to_string();
        assert!(message.contains("line 3: 1 column where line 1 has 2"), "{message}");
        let all: Vec<bool> = data.items(Split::All).unwrap().map(|sentence| sentence.is_ok()).collect();
        assert_eq!(all, [true, false]);
    }

    #[test]
    fn column_sources_are_told_from_others() {
        let folder = folder(&[("train.conll", 1), ("a.txt", 1), ("b.IOB", 1), ("c.csv", 1)]);
        let told = |name: &str, is_tagging| {
            let source = folder.path().join(name).display().to_string().parse().unwrap();
            is_column_source(&source, is_tagging).unwrap()
        };
        assert!(told("", false) && told("b.IOB", false) && told("a.txt", true));
        assert!(!told("a.txt", false) && !told("c.csv", true));
        assert!(!is_column_source(&"builtin:copy".parse().unwrap(), true).unwrap());
        let hub = "hf://datasets/o/n/x.conllu".parse().unwrap();
        assert!(is_column_source(&hub, false).unwrap());
    }
}
