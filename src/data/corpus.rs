//! A corpus: text in pieces, in three splits, streamed from a file, folder, generator or the hub.

use std::path::{Path, PathBuf};

use super::builtin::text;
use super::data_file::DataFile;
use super::division::{Division, SplitRule};
use super::fingerprint::fingerprint;
use super::formats;
use super::fractions::Fractions;
use super::hub::{self, Endpoint};
use super::piece::Pieces;
use super::read_options::ReadOptions;
use super::source::{Builtin, Source, Split};
use crate::{Error, Result};

/// A corpus that has been found and looked at, but not read.
#[derive(Debug)]
pub struct Corpus {
    name: String,
    content: Content,
    division: Division,
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
    /// Find the corpus (fetch it, for a hub source) and check that it is of a kind that can be read: text, with the
    /// columns asked for. `seed` is for the built-in generators. Records are split by [`SplitRule::Drawn`].
    ///
    /// # Errors
    /// If a file cannot be fetched or read, or holds no text; if columns are named for a source without columns; and for
    /// `builtin:adding` and `builtin:copy`, which are not text.
    pub fn open(source: &Source, options: &ReadOptions, seed: u64) -> Result<Self> {
        let content = match source {
            Source::Builtin(builtin) => Content::builtin(*builtin, options, seed)?,
            Source::File(path) => Content::File(formats::open(path, options)?),
            Source::Directory(path) => Content::directory(path, options)?,
            Source::Hub { owner, name, file } => {
                let path = hub::dataset_file(&Endpoint::from_env()?, owner, name, file)?;
                Content::File(formats::open(&path, options)?)
            }
        };
        let fractions = Fractions::of(source);
        let division = Division { fractions, rule: SplitRule::Drawn, incomplete: false };
        Ok(Self { name: source.to_string(), content, division })
    }

    /// Set the fractions that are held out; without effect on built-ins and on folders with a validation file.
    ///
    /// # Errors
    /// If a fraction is negative or nothing would be left to train on.
    pub fn with_fractions(mut self, fractions: Fractions) -> Result<Self> {
        fractions.validate()?;
        self.division.fractions = fractions;
        Ok(self)
    }

    /// Set the records that are held out.
    #[must_use]
    pub fn with_rule(mut self, rule: SplitRule) -> Self {
        self.division.rule = rule;
        self
    }

    /// Include records without text or label in the split of all records, for which they count as empty.
    #[must_use]
    pub fn with_incomplete(mut self) -> Self {
        self.division.incomplete = true;
        self
    }

    /// The source as the user named it, for the model card.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether pieces are records (of a table or JSONL) rather than lines of running text.
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

    /// The split that is evaluated if none is named: the whole of a single file, otherwise the test split.
    pub fn default_split(&self) -> Split {
        match self.content {
            Content::File(_) => Split::All,
            _ => Split::Test,
        }
    }

    /// A hash of a single file, to tell the training data of a model; `None` for other sources.
    ///
    /// # Errors
    /// If the file cannot be read.
    pub fn fingerprint(&self) -> Result<Option<String>> {
        match &self.content {
            Content::File(file) => {
                let hash = fingerprint(file.path()).map_err(|error| Error::file(file.path(), error))?;
                Ok(Some(hash))
            }
            _ => Ok(None),
        }
    }

    /// The best split for a final evaluation: test, or else validation; all of a file that is not divided.
    ///
    /// # Errors
    /// If a file cannot be read.
    pub fn held_out(&self) -> Result<Split> {
        for split in [Split::Test, Split::Valid] {
            if self.has(split)? {
                return Ok(split);
            }
        }
        Ok(Split::All)
    }

    /// Facts that a user should know about the files of a split, or about those that training reads if it is `None`:
    /// encodings and delimiters that were assumed, records that are skipped, data that is held out. Each is one line.
    ///
    /// # Errors
    /// If a file cannot be read, or more than half of its records lack text or label.
    pub fn notes(&self, split: Option<Split>) -> Result<Vec<String>> {
        let mut lines = vec![];
        let mut add = |name: &dyn std::fmt::Display, notes: Vec<String>| {
            lines.extend(notes.iter().map(|note| format!("{name}: {note}")));
        };
        match &self.content {
            Content::Builtin { .. } => {}
            Content::File(file) => add(&self.name, file.notes(self.division)?),
            Content::Directory(folder) => {
                for file in folder.files(split) {
                    add(&file.path().display(), file.notes(self.division)?);
                }
                if matches!(split, None | Some(Split::Valid)) && folder.gives_up(self.division) {
                    add(&folder.path.display(), vec![folder.held_out_note(self.division)]);
                }
            }
        }
        Ok(lines)
    }

    /// Whether there is anything in `split`: false if the folder has no such file or the file is too short.
    ///
    /// # Errors
    /// As [`pieces`](Self::pieces), but for the missing split.
    pub fn has(&self, split: Split) -> Result<bool> {
        match &self.content {
            Content::Builtin { .. } => Ok(true),
            Content::Directory(folder) => match split {
                Split::Valid if folder.gives_up(self.division) => {
                    folder.train.has(split, without_test(self.division))
                }
                Split::Valid => Ok(folder.valid.is_some()),
                Split::Test => Ok(folder.test.is_some()),
                Split::Train | Split::All => Ok(true),
            },
            Content::File(file) => file.has(split, self.division),
        }
    }

    /// Whether a split has data of its own, so that its fraction has no effect: every split of a built-in, those that a
    /// folder has a file for, and the test split of a folder.
    pub fn has_own(&self, split: Split) -> bool {
        match &self.content {
            Content::Builtin { .. } => true,
            Content::File(_) => false,
            Content::Directory(folder) => split != Split::Valid || folder.valid.is_some(),
        }
    }

    /// The pieces of one split, read as they are asked for.
    ///
    /// # Errors
    /// If the file or folder cannot be read or has no such split. Reading can also fail at each piece: for text that
    /// is not UTF-8, a record with too many fields, a line that is not JSON.
    pub fn pieces(&self, split: Split) -> Result<Pieces> {
        match &self.content {
            Content::Builtin { builtin, seed } => Ok(text::pieces(*builtin, *seed, split)),
            Content::File(file) => {
                self.check_split(file.as_ref(), split)?;
                file.pieces(split, self.division)
            }
            Content::Directory(folder) => folder.pieces(split, self.division),
        }
    }

    /// Return an error if a split of a single file is empty.
    fn check_split(&self, file: &dyn DataFile, split: Split) -> Result<()> {
        if split == Split::All || file.has(split, self.division)? {
            return Ok(());
        }
        let fraction = match split {
            Split::Valid => self.division.fractions.valid,
            Split::Test => self.division.fractions.test,
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

/// The division of a folder's training file.
fn without_test(division: Division) -> Division {
    Division { fractions: Fractions { test: 0., ..division.fractions }, ..division }
}

impl Directory {
    /// Whether the training file gives up a fraction for validation.
    fn gives_up(&self, Division { fractions, rule, .. }: Division) -> bool {
        self.valid.is_none() && rule == SplitRule::Drawn && fractions.valid > 0.
    }

    fn held_out_note(&self, division: Division) -> String {
        let file = self.train.path().file_name().unwrap_or_default().display();
        let part = match self.train.text_column() {
            Some(_) => "drawn at random within each class",
            None => "its end",
        };
        // Without the digits that binary fractions add.
        let percent = (1e6 * division.fractions.valid).round() / 1e4;
        format!(
            "has no valid file; {percent} % of {file} ({part}) is held out for validation \
             (option `fractions.valid = 0` turns this off)"
        )
    }

    /// The files of a split, or of training.
    fn files(&self, split: Option<Split>) -> Vec<&dyn DataFile> {
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

    fn pieces(&self, split: Split, division: Division) -> Result<Pieces> {
        let all = |file: &dyn DataFile| file.pieces(Split::All, division);
        match split {
            Split::Train | Split::Valid if self.gives_up(division) => {
                let division = without_test(division);
                match self.train.has(split, division)? {
                    true => self.train.pieces(split, division),
                    false => Err(self.too_short(split)),
                }
            }
            Split::All => {
                let parts: Vec<Pieces> =
                    self.files(Some(split)).into_iter().map(all).collect::<Result<_>>()?;
                Ok(Box::new(parts.into_iter().flatten()))
            }
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

impl Content {
    fn builtin(builtin: Builtin, options: &ReadOptions, seed: u64) -> Result<Self> {
        if !builtin.is_text() {
            let problem = format!("builtin:{} makes sequences of numbers, not text", builtin.name());
            return Err(Error::invalid("data", problem));
        }
        options.refuse_columns(&format!("builtin:{}", builtin.name()))?;
        if options.encoding.is_some() {
            let problem = format!("builtin:{} is no file; leave it out", builtin.name());
            return Err(Error::invalid("encoding", problem));
        }
        Ok(Self::Builtin { builtin, seed })
    }

    fn directory(path: &Path, options: &ReadOptions) -> Result<Self> {
        std::fs::read_dir(path).map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
        let open = |names: &[&str]| find(path, names)?.map(|file| formats::open(&file, options)).transpose();
        let train = open(&["train"])?.ok_or_else(|| {
            let names: Vec<String> =
                formats::extensions().map(|extension| format!("train.{extension}")).collect();
            Error::file(path, format!("has no {}; a data folder needs one", any_of(&names)))
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

/// `a, b or c`.
fn any_of(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [name] => name.clone(),
        [names @ .., last] => format!("{} or {last}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests;
