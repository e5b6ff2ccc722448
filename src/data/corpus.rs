//! A corpus: text in pieces, in three splits, streamed from a file, folder, generator or the hub.

use super::builtin::text;
use super::data_file::DataFile;
use super::directory::Directory;
use super::division::{Division, SplitRule};
use super::fingerprint::fingerprint;
use super::formats;
use super::fractions::Fractions;
use super::piece::{Pieces, shard_of};
use super::read_options::ReadOptions;
use super::shard::Shard;
use super::source::{Builtin, Source, Split};
use crate::hub::{self, Endpoint};
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

impl Corpus {
    /// Find the corpus (fetch it, for a hub source) and check that it is of a kind that can be read: text, with the
    /// columns asked for. `seed` is for the built-in generators. Records are split by [`SplitRule::Drawn`].
    ///
    /// # Errors
    /// If a file cannot be fetched or read, or holds no text; if columns are named for a source without columns; and
    /// for `builtin:adding` and `builtin:copy`, which are not text.
    pub fn open(source: &Source, options: &ReadOptions, seed: u64) -> Result<Self> {
        let content = match source {
            Source::Builtin(builtin) => Content::builtin(*builtin, options, seed)?,
            Source::File(path) => Content::File(formats::open(path, options)?),
            Source::Directory(path) => Content::Directory(Box::new(Directory::open(path, options)?)),
            Source::Hub(address) => {
                let path = hub::data_file(&Endpoint::from_env()?, address)?;
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
            Content::Directory(folder) => folder.text_column(),
        }
    }

    /// The split that is evaluated if none is named: the whole of a single file, otherwise the test split.
    pub fn default_split(&self) -> Split {
        match self.content {
            Content::File(_) => Split::All,
            _ => Split::Test,
        }
    }

    /// A hash of a single file, to recognise the training data of a model; `None` for other sources.
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

    /// Notes for the user about the files of a split, or about those that training reads if it is `None`:
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
                if let Some(note) = folder.held_out_note(split, self.division) {
                    add(&folder.path().display(), vec![note]);
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
            Content::Directory(folder) => folder.has(split, self.division),
            Content::File(file) => file.has(split, self.division),
        }
    }

    /// Whether a split has data of its own, so that its fraction has no effect: every split of a built-in, those that a
    /// folder has a file for, and the test split of a folder.
    pub fn has_own(&self, split: Split) -> bool {
        match &self.content {
            Content::Builtin { .. } => true,
            Content::File(_) => false,
            Content::Directory(folder) => folder.has_own(split),
        }
    }

    /// The pieces of one split, read lazily.
    ///
    /// # Errors
    /// If the file or folder cannot be read or has no such split. Reading can also fail at each piece: for text that
    /// is not UTF-8, a record with too many fields, a line that is not JSON.
    pub fn pieces(&self, split: Split) -> Result<Pieces> {
        self.part(split, Shard::WHOLE)
    }

    /// The pieces of the part of a split that one of several processes encodes. The parts are neighbours and join to
    /// the split; in running text of files each is a range of whole lines, and only that is read.
    ///
    /// # Errors
    /// As [`pieces`](Self::pieces).
    pub fn part(&self, split: Split, shard: Shard) -> Result<Pieces> {
        match &self.content {
            Content::Builtin { builtin, seed } => {
                shard_of(shard, || Ok(text::pieces(*builtin, *seed, split)))
            }
            Content::File(file) => {
                self.check_split(file.as_ref(), split)?;
                file.part(split, self.division, shard)
            }
            Content::Directory(folder) => folder.part(split, self.division, shard),
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

impl Content {
    fn builtin(builtin: Builtin, options: &ReadOptions, seed: u64) -> Result<Self> {
        if !builtin.is_text() {
            let problem = format!("builtin:{} makes sequences of numbers, not text", builtin.name());
            return Err(Error::invalid("data", problem));
        }
        options.refuse_columns(&format!("builtin:{}", builtin.name()))?;
        if options.encoding.is_some() {
            let problem = format!("builtin:{} is not a file; leave it out", builtin.name());
            return Err(Error::invalid("encoding", problem));
        }
        Ok(Self::Builtin { builtin, seed })
    }
}

#[cfg(test)]
mod tests;
