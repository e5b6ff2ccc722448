//! A folder of data: a file for training and, if it has them, files for validation and test.

use std::path::{Path, PathBuf};

use super::column_corpus;
use super::data_file::DataFile;
use super::divided::{VALID_NAMES, find};
use super::division::{Division, SplitRule};
use super::formats;
use super::fractions::Fractions;
use super::piece::{Pieces, shard_of};
use super::read_options::ReadOptions;
use super::shard::Shard;
use super::source::Split;
use crate::{Error, Result};

/// A folder with a training file and, if it has them, files for validation and test.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    train: Box<dyn DataFile>,
    valid: Option<Box<dyn DataFile>>,
    test: Option<Box<dyn DataFile>>,
}

impl Directory {
    /// Find the files of the folder at `path`.
    ///
    /// # Errors
    /// If the folder cannot be read or has no training file, or two files for one split; if a file cannot be read; if
    /// one file is plain text and another has records.
    pub(super) fn open(path: &Path, options: &ReadOptions) -> Result<Self> {
        std::fs::read_dir(path).map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
        let extensions: Vec<&str> = formats::extensions().collect();
        let open = |names: &[&str]| {
            find(path, names, &extensions)?.map(|file| formats::open(&file, options)).transpose()
        };
        let train = open(&["train"])?.ok_or_else(|| {
            let names: Vec<String> =
                formats::extensions().map(|extension| format!("train.{extension}")).collect();
            let problem = format!(
                "has no {}; name a folder with one, or with a column file such as train.{}, or name the files of a \
                 translator with option `source_lang = A` and option `target_lang = B`",
                any_of(&names),
                column_corpus::extensions().next().unwrap_or_default()
            );
            Error::file(path, problem)
        })?;
        let valid = open(&VALID_NAMES)?;
        let test = open(&["test"])?;
        for other in [&valid, &test].into_iter().flatten() {
            if other.text_column().is_some() != train.text_column().is_some() {
                let problem = "is of another kind than the train file; make both plain text or both records";
                return Err(Error::file(other.path(), problem));
            }
        }
        Ok(Self { path: path.to_path_buf(), train, valid, test })
    }

    /// The path of the folder.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The column that the text is read from; `None` for running text.
    pub(super) fn text_column(&self) -> Option<&str> {
        self.train.text_column()
    }

    /// Whether there is anything in `split`.
    ///
    /// # Errors
    /// If the training file has to be read for it and cannot be.
    pub(super) fn has(&self, split: Split, division: Division) -> Result<bool> {
        match split {
            Split::Valid if self.holds_out_validation(division) => {
                self.train.has(split, without_test(division))
            }
            Split::Valid => Ok(self.valid.is_some()),
            Split::Test => Ok(self.test.is_some()),
            Split::Train | Split::All => Ok(true),
        }
    }

    /// Whether the fraction of a split has no effect: of one with a file of its own, and of the test split.
    pub(super) fn has_own(&self, split: Split) -> bool {
        split != Split::Valid || self.valid.is_some()
    }

    /// Whether a fraction of the training file is held out for validation.
    fn holds_out_validation(&self, Division { fractions, rule, .. }: Division) -> bool {
        self.valid.is_none() && rule == SplitRule::Drawn && fractions.valid > 0.
    }

    /// A note on the part of the training file that is held out; `None` if nothing is, or if `split` does not read it.
    pub(super) fn held_out_note(&self, split: Option<Split>, division: Division) -> Option<String> {
        if !matches!(split, None | Some(Split::Valid)) || !self.holds_out_validation(division) {
            return None;
        }
        let file = self.train.path().file_name().unwrap_or_default().display();
        let part = match self.train.text_column() {
            Some(_) => "drawn at random within each class",
            None => "its end",
        };
        // Without the digits that binary fractions add.
        let percent = (1e6 * division.fractions.valid).round() / 1e4;
        Some(format!(
            "has no valid file; {percent} % of {file} ({part}) is held out for validation \
             (option `fractions.valid = 0` turns this off)"
        ))
    }

    /// The files of a split, or of training.
    pub(super) fn files(&self, split: Option<Split>) -> Vec<&dyn DataFile> {
        let valid = self.valid.as_deref();
        match split {
            Some(Split::Train) => vec![self.train.as_ref()],
            Some(Split::Valid) => vec![valid.unwrap_or(self.train.as_ref())],
            Some(Split::Test) => self.test.as_deref().into_iter().collect(),
            None => [Some(self.train.as_ref()), valid].into_iter().flatten().collect(),
            Some(Split::All) => {
                [Some(self.train.as_ref()), valid, self.test.as_deref()].into_iter().flatten().collect()
            }
        }
    }

    /// The pieces of a share of one split; see [`DataFile::part`].
    ///
    /// # Errors
    /// If the folder has no file for the split, or its training file is too short to be divided.
    pub(super) fn part(&self, split: Split, division: Division, shard: Shard) -> Result<Pieces> {
        let all = |file: &dyn DataFile| file.part(Split::All, division, shard);
        match split {
            Split::Train | Split::Valid if self.holds_out_validation(division) => {
                let division = without_test(division);
                match self.train.has(split, division)? {
                    true => self.train.part(split, division, shard),
                    false => Err(self.too_short(split)),
                }
            }
            Split::All => shard_of(shard, || {
                let whole = |file: &dyn DataFile| file.pieces(split, division);
                let files: Vec<Pieces> =
                    self.files(Some(split)).into_iter().map(whole).collect::<Result<_>>()?;
                Ok(Box::new(files.into_iter().flatten()))
            }),
            Split::Train => all(self.train.as_ref()),
            Split::Valid => all(self.valid.as_deref().ok_or_else(|| self.absent(split))?),
            Split::Test => all(self.test.as_deref().ok_or_else(|| self.absent(split))?),
        }
    }

    fn too_short(&self, split: Split) -> Error {
        let problem = format!(
            "is too short to be divided: its {split} split is empty; option `fractions.valid = 0` uses all of it"
        );
        Error::file(self.train.path(), problem)
    }

    fn absent(&self, split: Split) -> Error {
        let extensions: Vec<String> =
            formats::extensions().map(|extension| format!(".{extension}")).collect();
        let advice = match split {
            Split::Test => "; option `split = valid` names the validation split",
            _ => "",
        };
        Error::file(&self.path, format!("has no {split} file ({split}{}){advice}", any_of(&extensions)))
    }
}

/// The division of a folder's training file.
fn without_test(division: Division) -> Division {
    Division { fractions: Fractions { test: 0., ..division.fractions }, ..division }
}

/// `a, b or c`.
fn any_of(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}
