//! Parallel text: a folder with a file for each of two languages, a sentence a line, translations on the same line.
//!
//! ```text
//! train.en  train.de                         required
//! valid.en  valid.de                         also validation, val or dev; without it, a tenth of train is held out
//! test.en   test.de   test_2016.en  ...      any number of names that begin with test
//! ```
//!
//! A line that is empty or blank in one of the languages is skipped and counted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use super::divided::{Divided, Items, ItemsOf, VALID_NAMES, find};
use super::encoding::Encoding;
use super::numbered_lines::NumberedLines;
use super::until_error::until_error;
use super::utf8_file::Utf8File;
use crate::listing::{counted, listed, thousands};
use crate::{Error, Result};

/// A text and its translation, or a question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextPair {
    /// The text to translate.
    pub source: String,
    /// Its translation.
    pub target: String,
    /// The number of its line, or of its record in a table, counted from 1.
    pub number: u64,
}

/// Pairs of one file, or of two parallel files.
pub type PairFile = Box<dyn Items<Item = TextPair>>;

/// The extensions of the files of two languages, such as `en` and `de`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Languages {
    /// The language to translate from.
    pub source: String,
    /// The language to translate into.
    pub target: String,
}

/// Numbers of pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct PairCensus {
    /// Pairs of two texts.
    pub complete: u64,
    /// Pairs without source.
    pub no_source: u64,
    /// Pairs with a source, but without target.
    pub no_target: u64,
}

/// Two files whose lines are translations of each other.
#[derive(Debug)]
struct ParallelFiles {
    source: Utf8File,
    target: Utf8File,
    census: OnceLock<PairCensus>,
}

/// The extensions of the training files of a folder, sorted: the languages that it can have.
///
/// # Errors
/// If the folder cannot be read.
pub fn languages_of(folder: &Path) -> Result<Vec<String>> {
    let names = file_names(folder)?;
    let mut found: Vec<String> =
        names.iter().filter_map(|name| name.strip_prefix("train.")).map(String::from).collect();
    found.sort_unstable();
    Ok(found)
}

/// Open a folder of parallel text.
///
/// # Errors
/// If a training file is missing, a file has no counterpart in the other language, there are two validation sets, or a
/// file is empty or not text. Unequal numbers of lines are found when they are read.
pub fn open(folder: &Path, languages: &Languages, encoding: Option<Encoding>) -> Result<Divided<PairFile>> {
    if languages.source == languages.target {
        let problem =
            format!("`{}` is both the source and the target; expected two languages", languages.source);
        return Err(Error::file(folder, problem));
    }
    let open = |name: &str| open_files(folder, name, languages, encoding);
    let valid_names = VALID_NAMES.iter().filter(|name| has_either(folder, name, languages));
    let valid_names: Vec<&&str> = valid_names.collect();
    if let [first, second, ..] = valid_names.as_slice() {
        let problem = format!("has the validation files {first} and {second}; keep one of them");
        return Err(Error::file(folder, problem));
    }
    if !has_either(folder, "train", languages) {
        return Err(no_train(folder, languages));
    }
    let train = open("train")?;
    let valid = valid_names.first().map(|name| open(name)).transpose()?;
    let names = test_names(folder, languages)?;
    let tests = names.into_iter().map(|name| open(&name).map(|files| (name, files)));
    Ok(Divided::folder(folder, train, valid, tests.collect::<Result<BTreeMap<_, _>>>()?))
}

/// Whether the file exists in one of the languages.
fn has_either(folder: &Path, name: &str, languages: &Languages) -> bool {
    let extensions = [languages.source.as_str(), languages.target.as_str()];
    extensions.iter().any(|language| matches!(find(folder, &[name], &[language]), Ok(Some(_))))
}

fn open_files(
    folder: &Path,
    name: &str,
    languages: &Languages,
    encoding: Option<Encoding>,
) -> Result<PairFile> {
    let [source, target] =
        [&languages.source, &languages.target].map(|language| folder.join(format!("{name}.{language}")));
    for (path, other) in [(&source, &target), (&target, &source)] {
        if !path.exists() {
            let problem = format!("does not exist; expected the translation of {}", file_name(other));
            return Err(Error::file(path, problem));
        }
    }
    let (source, target) = (Utf8File::open(&source, encoding)?, Utf8File::open(&target, encoding)?);
    Ok(Box::new(ParallelFiles { source, target, census: OnceLock::new() }))
}

/// The names of the test files without their extension, sorted.
fn test_names(folder: &Path, languages: &Languages) -> Result<Vec<String>> {
    let mut names: Vec<String> = file_names(folder)?
        .iter()
        .filter_map(|name| name.rsplit_once('.'))
        .filter(|(name, extension)| {
            name.starts_with("test")
                && [&languages.source, &languages.target].iter().any(|other| other == extension)
        })
        .map(|(name, _)| name.to_string())
        .collect();
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

fn file_names(folder: &Path) -> Result<Vec<String>> {
    let problem = |error| Error::file(folder, format!("cannot be read: {error}"));
    let entries = std::fs::read_dir(folder).map_err(problem)?;
    let names = entries.map(|entry| Ok(entry.map_err(problem)?.file_name().to_string_lossy().into_owned()));
    names.collect()
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// The error of a folder without training files in the two languages.
fn no_train(folder: &Path, languages: &Languages) -> Error {
    let found = match languages_of(folder) {
        Ok(found) if found.is_empty() => "none".to_string(),
        Ok(found) => listed(found.iter().map(|language| format!("train.{language}")), ", "),
        Err(error) => return error,
    };
    let Languages { source, target } = languages;
    Error::file(folder, format!("has no train.{source} and train.{target}; training files: {found}"))
}

impl ParallelFiles {
    /// The lines of the two files side by side, the empty ones too. After an error there are no more.
    fn lines(&self) -> ItemsOf<TextPair> {
        let [source, target] = [&self.source, &self.target].map(NumberedLines::new);
        let mut lines = PairLines { source, target };
        Box::new(until_error(move || lines.read()))
    }
}

impl Items for ParallelFiles {
    type Item = TextPair;

    fn path(&self) -> &Path {
        self.source.path()
    }

    fn items(&self) -> Result<ItemsOf<TextPair>> {
        Ok(Box::new(self.lines().filter(is_complete)))
    }

    fn count(&self) -> Result<u64> {
        Ok(census(&self.census, self.source.path(), self.lines())?.complete)
    }

    fn notes(&self) -> Result<Vec<String>> {
        let mut notes = vec![];
        for file in [&self.source, &self.target] {
            notes.extend(file.note().map(|note| format!("{}: {note}", file.path().display())));
        }
        notes.extend(census(&self.census, self.source.path(), self.lines())?.note(self.source.path()));
        Ok(notes)
    }
}

/// A reader of two files side by side.
struct PairLines {
    source: NumberedLines,
    target: NumberedLines,
}

impl PairLines {
    fn read(&mut self) -> Result<Option<TextPair>> {
        match (self.source.next().transpose()?, self.target.next().transpose()?) {
            (None, None) => Ok(None),
            (Some(source), Some(target)) => {
                Ok(Some(TextPair { source: source.text, target: target.text, number: source.number }))
            }
            (source, target) => {
                let counts = [source.map_or(0, |line| line.number), target.map_or(0, |line| line.number)];
                Err(self.unequal(counts)?)
            }
        }
    }

    /// The error of files of unequal length, of which one ended. `read` are the lines read of the other, 0 for it.
    fn unequal(&mut self, read: [u64; 2]) -> Result<Error> {
        let shorter = read[0].max(read[1]) - 1;
        let mut longer = shorter + 1;
        let rest = if read[0] > 0 { &mut self.source } else { &mut self.target };
        for line in rest {
            longer = line?.number;
        }
        let [source, target] = if read[0] > 0 { [longer, shorter] } else { [shorter, longer] };
        let other = file_name(self.target.path());
        let problem = format!(
            "has {}, {other} has {}; expected a translation on the same line of each",
            counted(source, "line"),
            thousands(target)
        );
        Ok(Error::file(self.source.path(), problem))
    }
}

fn is_blank(text: &str) -> bool {
    text.chars().all(char::is_whitespace)
}

/// Whether a pair has two texts. Errors stay.
pub(super) fn is_complete(pair: &Result<TextPair>) -> bool {
    pair.as_ref().map_or(true, |pair| !is_blank(&pair.source) && !is_blank(&pair.target))
}

/// The numbers of pairs of the file at `path`, counted at the first call.
///
/// # Errors
/// If a pair cannot be read, or more than half of them are incomplete.
pub(super) fn census(
    known: &OnceLock<PairCensus>,
    path: &Path,
    pairs: impl Iterator<Item = Result<TextPair>>,
) -> Result<PairCensus> {
    if let Some(census) = known.get() {
        return Ok(*census);
    }
    let mut census = PairCensus::default();
    for pair in pairs {
        let TextPair { source, target, .. } = pair?;
        match (is_blank(&source), is_blank(&target)) {
            (true, _) => census.no_source += 1,
            (false, true) => census.no_target += 1,
            (false, false) => census.complete += 1,
        }
    }
    if census.no_source + census.no_target > census.complete {
        return Err(Error::file(path, format!("{}; at most half may", census.gaps())));
    }
    Ok(*known.get_or_init(|| census))
}

impl PairCensus {
    /// The pairs that lack something.
    fn gaps(&self) -> String {
        let all = thousands(self.complete + self.no_source + self.no_target);
        let gaps = [(self.no_source, "source"), (self.no_target, "target")].into_iter();
        let gaps = gaps.filter(|(count, _)| *count > 0);
        let gaps: Vec<String> =
            gaps.map(|(count, side)| format!("{} have an empty {side}", thousands(count))).collect();
        format!("of {all} pairs {}", gaps.join(" and "))
    }

    /// A line about the pairs that are skipped, if there are any.
    pub fn note(&self, path: &Path) -> Option<String> {
        let skipped = self.no_source + self.no_target > 0;
        skipped.then(|| format!("{}: {}; these are skipped", path.display(), self.gaps()))
    }
}

#[cfg(test)]
mod tests {
    use super::super::source::Split;
    use super::*;

    fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn languages() -> Languages {
        Languages { source: "en".into(), target: "de".into() }
    }

    fn opened(files: &[(&str, &str)]) -> Result<(tempfile::TempDir, Divided<PairFile>)> {
        let folder = folder(files);
        let data = open(folder.path(), &languages(), None)?;
        Ok((folder, data))
    }

    fn pairs(data: &Divided<PairFile>, split: Split) -> Vec<String> {
        let shown = |pair: TextPair| format!("{} {}|{}", pair.number, pair.source, pair.target);
        data.items(split).unwrap().map(|pair| shown(pair.unwrap())).collect()
    }

    const TRAIN: [(&str, &str); 2] = [("train.en", "a\n\nc\r\nd e\n"), ("train.de", "A\nB\n \nD E")];

    #[test]
    fn lines_are_paired_and_empty_sides_are_skipped_and_counted() {
        let valid = [("val.en", "v\n"), ("val.de", "V\n")];
        let (_folder, data) = opened(&[TRAIN, valid].concat()).unwrap();
        assert_eq!(pairs(&data, Split::Train), ["1 a|A", "4 d e|D E"]);
        assert_eq!(pairs(&data, Split::Valid), ["1 v|V"]);
        assert_eq!((data.train().count().unwrap(), data.has(Split::Test).unwrap()), (2, false));
        let notes = data.notes(None).unwrap();
        assert_eq!(notes.len(), 1, "{notes:?}");
        let note =
            "train.en: of 4 pairs 1 have an empty source and 1 have an empty target; these are skipped";
        assert!(notes[0].ends_with(note), "{notes:?}");
    }

    #[test]
    fn test_files_have_any_name_that_begins_with_test() {
        let tests = [
            ("test_2017.en", "b\n"),
            ("test_2017.de", "B\n"),
            ("test.en", "a\n"),
            ("test.de", "A\n"),
            ("test.fr", "x\n"),
            ("latest.en", "x\n"),
        ];
        let (_folder, data) = opened(&[&TRAIN[..], &tests].concat()).unwrap();
        assert_eq!(data.tests().keys().collect::<Vec<_>>(), ["test", "test_2017"]);
        assert_eq!(pairs(&data, Split::Test), ["1 a|A", "1 b|B"]);
        let one = data.tests()["test_2017"].items().unwrap().map(Result::unwrap);
        assert_eq!(one.map(|pair| pair.target).collect::<Vec<_>>(), ["B"]);
    }

    #[test]
    fn folder_without_valid_gives_up_a_tenth() {
        let lines: String = (0..100).map(|number| format!("{number}\n")).collect();
        let (_folder, data) = opened(&[("train.en", &lines), ("train.de", &lines)]).unwrap();
        let [train, valid] = [Split::Train, Split::Valid].map(|split| pairs(&data, split));
        assert_eq!((train.len(), valid.len()), (90, 10));
        assert!(valid.iter().all(|pair| !train.contains(pair)));
        assert!(data.notes(None).unwrap()[0].contains("10 % of train.en (drawn at random)"));
    }

    #[test]
    fn unequal_files_are_an_error_with_both_counts() {
        for (source, target, counts) in [
            ("a\nb\nc\n", "A\n", "train.en: has 3 lines, train.de has 1;"),
            ("a\n", "A\nB\n", "train.en: has 1 line, train.de has 2;"),
            ("a\nb\n", "A\nB\n\n", "train.en: has 2 lines, train.de has 3;"),
        ] {
            let (_folder, data) = opened(&[("train.en", source), ("train.de", target)]).unwrap();
            let message = data.train().count().unwrap_err().to_string();
            assert!(message.contains(counts), "{message}");
            let items: Vec<bool> = data.train().items().unwrap().map(|pair| pair.is_ok()).collect();
            assert_eq!(items.last(), Some(&false));
        }
    }

    #[test]
    fn bad_folders_are_errors() {
        let problem = |files: &[(&str, &str)]| opened(files).err().unwrap().to_string();
        let message = problem(&[("train.fr", "a"), ("train.cs", "a")]);
        assert!(
            message.ends_with("has no train.en and train.de; training files: train.cs, train.fr"),
            "{message}"
        );
        assert!(problem(&[]).ends_with("training files: none"));
        let message = problem(&[("train.en", "a")]);
        assert!(
            message.contains("train.de: does not exist; expected the translation of train.en"),
            "{message}"
        );
        let message = problem(&[&TRAIN[..], &[("test_1.de", "a")]].concat());
        assert!(message.contains("test_1.en: does not exist"), "{message}");
        let message = problem(&[&TRAIN[..], &[("dev.en", "a"), ("val.en", "a")]].concat());
        assert!(message.contains("validation files val and dev; keep one"), "{message}");
        let same = Languages { source: "en".into(), target: "en".into() };
        assert!(
            open(Path::new("x"), &same, None).unwrap_err().to_string().contains("expected two languages")
        );
    }

    #[test]
    fn mostly_empty_files_are_an_error() {
        let (_folder, data) = opened(&[("train.en", "a\n\n\n"), ("train.de", "A\nB\nC\n")]).unwrap();
        let message = data.has(Split::Valid).unwrap_err().to_string();
        assert!(message.contains("of 3 pairs 2 have an empty source; at most half may"), "{message}");
    }

    #[test]
    fn languages_are_the_extensions_of_training_files() {
        let folder = folder(&[&TRAIN[..], &[("test.fr", "x")]].concat());
        assert_eq!(languages_of(folder.path()).unwrap(), ["de", "en"]);
    }
}
