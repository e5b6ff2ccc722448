//! A corpus: text in pieces, in three splits, streamed from wherever it lives.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::builtin::text;
use super::columns::Columns;
use super::data_file::DataFile;
use super::formats;
use super::fractions::Fractions;
use super::hub::{self, Endpoint};
use super::piece::Pieces;
use super::source::{Builtin, Source, Split};
use crate::{Error, Result};

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
    File(Box<dyn DataFile>),
    Directory(Box<Directory>),
}

#[derive(Debug)]
struct Directory {
    path: PathBuf,
    train: Box<dyn DataFile>,
    valid: Option<Box<dyn DataFile>>,
    test: Option<Box<dyn DataFile>>,
}

impl Corpus {
    /// Finds the corpus (fetching it, for a hub source) and checks that it is of a kind that can be read:
    /// not empty, not UTF-16, with the columns asked for. `seed` is for the built-in generators.
    ///
    /// # Errors
    /// If a file cannot be fetched or read, or holds no text; if columns are named for a source without columns; and for
    /// `builtin:adding` and `builtin:copy`, which are not text.
    pub fn open(source: &Source, columns: &Columns, seed: u64) -> Result<Self> {
        let content = match source {
            Source::Builtin(builtin) => Content::builtin(*builtin, columns, seed)?,
            Source::File(path) => Content::File(formats::open(path, columns)?),
            Source::Directory(path) => Content::directory(path, columns)?,
            Source::Hub { owner, name, file } => {
                let path = hub::dataset_file(&Endpoint::from_env()?, owner, name, file)?;
                Content::File(formats::open(&path, columns)?)
            }
        };
        Ok(Self { name: source.to_string(), content, fractions: Fractions::default() })
    }

    /// Splits a single file by other shares than 90/5/5; without effect on folders and built-ins.
    ///
    /// # Errors
    /// Names the shares when one is negative or nothing would be left to train on.
    pub fn with_fractions(mut self, fractions: Fractions) -> Result<Self> {
        fractions.validate()?;
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
            Content::File(file) => Ok(!range(file.as_ref(), split, self.fractions)?.is_empty()),
        }
    }

    /// The pieces of one split, read as they are asked for.
    ///
    /// # Errors
    /// Names the file or folder when it cannot be read or has no such split. Reading on can fail at each
    /// piece: text that is not UTF-8, a row with too many fields, a line that is not JSON.
    pub fn pieces(&self, split: Split) -> Result<Pieces> {
        match &self.content {
            Content::Builtin { builtin, seed } => Ok(text::pieces(*builtin, *seed, split)),
            Content::File(file) => self.file_pieces(file.as_ref(), split),
            Content::Directory(folder) => folder.pieces(split),
        }
    }

    /// The pieces of one split of a single file.
    fn file_pieces(&self, file: &dyn DataFile, split: Split) -> Result<Pieces> {
        let range = range(file, split, self.fractions)?;
        if !range.is_empty() {
            return file.pieces(range);
        }
        let fraction = match split {
            Split::Valid => self.fractions.valid,
            Split::Test => self.fractions.test,
            Split::Train | Split::All => 1.,
        };
        let problem = match split {
            _ if fraction == 0. => {
                format!("has no {split} split, because its fraction is 0; use option `split = all`")
            }
            Split::Train => "is too short to train on once some of it is set aside; use a longer file, or \
                             option `fractions.valid = 0` option `fractions.test = 0`"
                .to_string(),
            _ => {
                format!(
                    "is too short to set aside a {split} split; use option `split = all`, or a longer file"
                )
            }
        };
        Err(Error::file(file.path(), problem))
    }

    /// The texts of the pieces of one split; see [`pieces`](Self::pieces).
    ///
    /// # Errors
    /// As [`pieces`](Self::pieces).
    pub fn texts(&self, split: Split) -> Result<impl Iterator<Item = Result<String>> + Send + use<>> {
        Ok(self.pieces(split)?.map(|piece| Ok(piece?.text)))
    }
}

impl Directory {
    fn pieces(&self, split: Split) -> Result<Pieces> {
        let whole = |file: &dyn DataFile| file.pieces(file.range());
        let file = match split {
            Split::Train => Some(&self.train),
            Split::Valid => self.valid.as_ref(),
            Split::Test => self.test.as_ref(),
            Split::All => {
                let present =
                    [Some(&self.train), self.valid.as_ref(), self.test.as_ref()].into_iter().flatten();
                let parts: Vec<Pieces> = present.map(|file| whole(file.as_ref())).collect::<Result<_>>()?;
                return Ok(Box::new(parts.into_iter().flatten()));
            }
        };
        let extensions: Vec<String> =
            formats::extensions().map(|extension| format!(".{extension}")).collect();
        let absent = || format!("has no {split} file ({split}{})", listed(&extensions));
        whole(file.ok_or_else(|| Error::file(&self.path, absent()))?.as_ref())
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
        let open = |names: &[&str]| find(path, names)?.map(|file| formats::open(&file, columns)).transpose();
        let train = open(&["train"])?.ok_or_else(|| {
            let names: Vec<String> =
                formats::extensions().map(|extension| format!("train.{extension}")).collect();
            Error::file(path, format!("has no {}; a data folder needs one", listed(&names)))
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
    let files = names.iter().flat_map(|name| formats::extensions().map(move |kind| format!("{name}.{kind}")));
    let mut found = files.map(|file| folder.join(file)).filter(|path| path.exists());
    let (first, second) = (found.next(), found.next());
    if let (Some(first), Some(second)) = (&first, second) {
        let problem = format!("stands beside {}; keep one of them", second.display());
        return Err(Error::file(first, problem));
    }
    Ok(first)
}

/// The positions of a split of one file.
fn range(file: &dyn DataFile, split: Split, fractions: Fractions) -> Result<Range<u64>> {
    if split == Split::All {
        return Ok(file.range());
    }
    let [train, valid, test] = file.split(fractions)?;
    Ok(match split {
        Split::Valid => valid,
        Split::Test => test,
        Split::Train | Split::All => train,
    })
}

/// `a, b or c`.
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
