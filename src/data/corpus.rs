//! A corpus: text in pieces, in three splits, streamed from wherever it lives.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use super::builtin::{reber, story};
use super::hub::{self, Endpoint};
use super::records::{Index, RecordFile};
use super::text_file::TextFile;
use super::{Builtin, Source, Split};
use crate::rng::{Purpose, Rng, stream};
use crate::tokenizer::End;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// A stretch of text with what is known about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    /// A line with its line end, a part of a very long line, or the text of a record.
    pub text: String,
    /// The record's label, where a label column was named.
    pub label: Option<String>,
    /// What ends with this piece.
    pub end: End,
}

/// Pieces of a split, in order. After an error there are no more.
pub type Pieces = Box<dyn Iterator<Item = Result<Piece>> + Send>;

/// Which columns of a CSV file, or fields of a JSONL file, hold text and label.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// `--text-column`; by default the one called `text`, or the only one beside the label.
    pub text: Option<String>,
    /// `--label-column`; by default there are no labels.
    pub label: Option<String>,
}

/// How much of a single file is set aside, as fractions of its bytes or records.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fractions {
    /// The share before the last, for validation.
    pub valid: f64,
    /// The share at the end, for testing.
    pub test: f64,
}

impl Default for Fractions {
    /// 90 % to train on, 5 % for validation, 5 % for testing.
    fn default() -> Self {
        Self { valid: 0.05, test: 0.05 }
    }
}

/// A corpus that has been found and looked at, but not read.
#[derive(Debug)]
pub struct Corpus {
    name: String,
    content: Content,
    fractions: Fractions,
}

#[derive(Debug)]
enum Content {
    Builtin { builtin: Builtin, seed: u64 },
    File(DataFile),
    Directory(Box<Directory>),
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    train: DataFile,
    valid: Option<DataFile>,
    test: Option<DataFile>,
}

#[derive(Debug)]
enum DataFile {
    Text(TextFile),
    Records(RecordFile, OnceLock<Index>),
}

impl Corpus {
    /// Finds the corpus (fetching it, for a hub source) and checks that it is of a kind that can be read:
    /// not empty, not UTF-16, with the columns asked for. `seed` is for the built-in generators.
    ///
    /// # Errors
    /// Names the file and what is wrong with it; or `--text-column`, where there are no columns; or
    /// `--data` for `builtin:adding` and `builtin:copy`, which are not text.
    pub fn open(source: &Source, columns: &Columns, seed: u64) -> Result<Self> {
        let content = match source {
            Source::Builtin(builtin) => Content::builtin(*builtin, columns, seed)?,
            Source::File(path) => Content::File(DataFile::open(path, columns)?),
            Source::Directory(path) => Content::directory(path, columns)?,
            Source::Hub { owner, name, file } => {
                let path = hub::dataset_file(&Endpoint::from_env()?, owner, name, file)?;
                Content::File(DataFile::open(&path, columns)?)
            }
        };
        Ok(Self { name: source.to_string(), content, fractions: Fractions::default() })
    }

    /// Splits a single file by other shares than 90/5/5; without effect on folders and built-ins.
    ///
    /// # Errors
    /// Names the shares when one is negative or nothing would be left to train on.
    pub fn with_fractions(mut self, fractions: Fractions) -> Result<Self> {
        let Fractions { valid, test } = fractions;
        if !(valid >= 0.0 && test >= 0.0 && valid + test < 1.0) {
            let problem = format!(
                "cannot set aside shares of {valid} and {test}; expected numbers of at least 0 that leave \
                 something to train on"
            );
            return Err(Error::invalid("fractions", problem));
        }
        self.fractions = fractions;
        Ok(self)
    }

    /// The source as the user named it, for the model card.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether pieces are records (CSV, JSONL) rather than lines of running text.
    pub fn is_records(&self) -> bool {
        self.text_column().is_some()
    }

    /// The column, or field, of records that the text is read from; `None` for running text.
    pub fn text_column(&self) -> Option<&str> {
        match &self.content {
            Content::Builtin { .. } => None,
            Content::File(file) => file.text_column(),
            Content::Directory(folder) => folder.train.text_column(),
        }
    }

    /// What is evaluated when no split is named: the whole of a single file, otherwise the test split.
    pub fn default_split(&self) -> Split {
        match self.content {
            Content::File(_) => Split::All,
            _ => Split::Test,
        }
    }

    /// Whether there is anything in `split`: a folder may lack a file, a file be too short to divide.
    ///
    /// # Errors
    /// As [`pieces`](Self::pieces), but for the missing split.
    pub fn has(&self, split: Split) -> Result<bool> {
        match &self.content {
            Content::Builtin { .. } => Ok(true),
            Content::Directory(folder) => Ok(match split {
                Split::Valid => folder.valid.is_some(),
                Split::Test => folder.test.is_some(),
                Split::Train | Split::All => true,
            }),
            Content::File(file) => Ok(!file.range(split, self.fractions)?.is_empty()),
        }
    }

    /// The pieces of one split, read as they are asked for.
    ///
    /// # Errors
    /// Names the file or folder when it cannot be read or has no such split. Reading on can fail at each
    /// piece: text that is not UTF-8, a row with too many fields, a line that is not JSON.
    pub fn pieces(&self, split: Split) -> Result<Pieces> {
        match &self.content {
            Content::Builtin { builtin, seed } => Ok(builtin_pieces(*builtin, *seed, split)),
            Content::File(file) => {
                let range = file.range(split, self.fractions)?;
                if range.is_empty() {
                    let problem = match split {
                        Split::Train => {
                            "is too short to train on once some of it is set aside; use a longer \
                                         file, or --valid-fraction 0 --test-fraction 0"
                                .to_string()
                        }
                        _ => format!(
                            "is too short to set aside a {split} split; use --split all, or a longer file"
                        ),
                    };
                    return Err(Error::file(file.path(), problem));
                }
                file.pieces(range)
            }
            Content::Directory(folder) => {
                let Directory { path, train, valid, test } = folder.as_ref();
                let absent =
                    || Error::file(path, format!("has no {split} file ({split}.txt, .csv or .jsonl)"));
                match split {
                    Split::Train => train.whole(),
                    Split::Valid => valid.as_ref().ok_or_else(absent)?.whole(),
                    Split::Test => test.as_ref().ok_or_else(absent)?.whole(),
                    Split::All => {
                        let present = [Some(train), valid.as_ref(), test.as_ref()].into_iter().flatten();
                        let parts: Vec<Pieces> = present.map(DataFile::whole).collect::<Result<_>>()?;
                        Ok(Box::new(parts.into_iter().flatten()))
                    }
                }
            }
        }
    }

    /// The texts of the pieces of one split; see [`pieces`](Self::pieces).
    ///
    /// # Errors
    /// As [`pieces`](Self::pieces).
    pub fn texts(&self, split: Split) -> Result<impl Iterator<Item = Result<String>> + Send + use<>> {
        Ok(self.pieces(split)?.map(|piece| Ok(piece?.text)))
    }
}

impl Content {
    fn builtin(builtin: Builtin, columns: &Columns, seed: u64) -> Result<Self> {
        if !builtin.is_text() {
            let problem = format!("builtin:{} makes sequences of numbers, not text", builtin.name());
            return Err(Error::invalid("data", problem));
        }
        columns.refuse(&format!("builtin:{}", builtin.name()))?;
        Ok(Self::Builtin { builtin, seed })
    }

    fn directory(path: &Path, columns: &Columns) -> Result<Self> {
        std::fs::read_dir(path).map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
        let open = |names: &[&str]| find(path, names)?.map(|file| DataFile::open(&file, columns)).transpose();
        let train = open(&["train"])?.ok_or_else(|| {
            Error::file(path, "has no train.txt, train.csv or train.jsonl; a data folder needs one")
        })?;
        let valid = open(&["valid", "validation", "val", "dev"])?;
        let test = open(&["test"])?;
        for other in [&valid, &test].into_iter().flatten() {
            if other.text_column().is_some() != train.text_column().is_some() {
                let problem = "is of another kind than the train file; make both plain text or both records";
                return Err(Error::file(other.path(), problem));
            }
        }
        Ok(Self::Directory(Box::new(Directory { path: path.to_path_buf(), train, valid, test })))
    }
}

/// The one file in `folder` called one of `names`, with an extension that can be read.
fn find(folder: &Path, names: &[&str]) -> Result<Option<PathBuf>> {
    let forms = names.iter().flat_map(|name| ["txt", "csv", "jsonl"].map(|kind| format!("{name}.{kind}")));
    let mut found = forms.map(|form| folder.join(form)).filter(|path| path.exists());
    let (first, second) = (found.next(), found.next());
    if let (Some(first), Some(second)) = (&first, second) {
        let problem = format!("stands beside {}; keep one of them", second.display());
        return Err(Error::file(first, problem));
    }
    Ok(first)
}

impl Columns {
    /// An error if a column was named although `what` has none.
    fn refuse(&self, what: &str) -> Result<()> {
        let problem = || format!("{what} has no columns; it needs a .csv or .jsonl file");
        match self {
            Self { text: Some(_), .. } => Err(Error::invalid("columns.text", problem())),
            Self { label: Some(_), .. } => Err(Error::invalid("columns.label", problem())),
            Self { text: None, label: None } => Ok(()),
        }
    }
}

impl DataFile {
    fn open(path: &Path, columns: &Columns) -> Result<Self> {
        match RecordFile::open(path, columns)? {
            Some(file) => Ok(Self::Records(file, OnceLock::new())),
            None => {
                let file = TextFile::open(path)?;
                columns.refuse(&path.display().to_string())?;
                Ok(Self::Text(file))
            }
        }
    }

    fn path(&self) -> &Path {
        match self {
            Self::Text(file) => file.path(),
            Self::Records(file, _) => file.path(),
        }
    }

    fn text_column(&self) -> Option<&str> {
        match self {
            Self::Text(_) => None,
            Self::Records(file, _) => Some(file.text_column()),
        }
    }

    /// The bytes, or the record numbers, of a split of this one file.
    fn range(&self, split: Split, fractions: Fractions) -> Result<Range<u64>> {
        let [train, valid, test] = match (self, split) {
            (Self::Text(file), Split::All) => return Ok(file.range()),
            (Self::Records(..), Split::All) => return Ok(0..u64::MAX),
            (Self::Text(file), _) => file.split(fractions)?,
            (Self::Records(file, index), _) => indexed(file, index)?.split(fractions),
        };
        Ok(match split {
            Split::Valid => valid,
            Split::Test => test,
            Split::Train | Split::All => train,
        })
    }

    fn pieces(&self, range: Range<u64>) -> Result<Pieces> {
        match self {
            Self::Text(file) => Ok(Box::new(file.pieces(range)?)),
            Self::Records(file, index) => file.pieces(range, index.get()),
        }
    }

    fn whole(&self) -> Result<Pieces> {
        match self {
            Self::Text(file) => self.pieces(file.range()),
            Self::Records(..) => self.pieces(0..u64::MAX),
        }
    }
}

/// The index of a record file, made when first needed: it costs a pass over the file.
fn indexed<'a>(file: &RecordFile, index: &'a OnceLock<Index>) -> Result<&'a Index> {
    if let Some(index) = index.get() {
        return Ok(index);
    }
    let made = file.index()?;
    Ok(index.get_or_init(|| made))
}

/// Stories in the training split: about four million characters.
const STORIES: usize = 16_000;
/// Stories in each of the other two.
const STORIES_ASIDE: usize = STORIES / 20;
/// Reber strings in the training split.
pub const TRAINING_STRINGS: usize = 20_000;
/// Reber strings in each of the other two.
const STRINGS_ASIDE: usize = 1_000;

fn builtin_pieces(builtin: Builtin, seed: u64, split: Split) -> Pieces {
    let purpose = match split {
        Split::Train => Purpose::Train,
        Split::Valid => Purpose::Valid,
        Split::Test => Purpose::Test,
        Split::All => {
            let parts = [Split::Train, Split::Valid, Split::Test];
            return Box::new(parts.into_iter().flat_map(move |part| builtin_pieces(builtin, seed, part)));
        }
    };
    let rng = stream(seed, purpose, 0);
    let count = |train, aside| if split == Split::Train { train } else { aside };
    let lines = match builtin {
        Builtin::Reber => reber_lines(rng, count(TRAINING_STRINGS, STRINGS_ASIDE)),
        _ => story_lines(rng, count(STORIES, STORIES_ASIDE)),
    };
    Box::new(lines.map(|text| Ok(Piece { text, label: None, end: End::Line })))
}

fn story_lines(rng: Rng, count: usize) -> Box<dyn Iterator<Item = String> + Send> {
    let lines = |story: String| story.split_inclusive('\n').map(String::from).collect::<Vec<_>>();
    Box::new(story::stories(rng, count).flat_map(lines))
}

fn reber_lines(rng: Rng, count: usize) -> Box<dyn Iterator<Item = String> + Send> {
    Box::new(reber::strings(rng).take(count).map(|string| string + "\n"))
}

#[cfg(test)]
mod tests;
