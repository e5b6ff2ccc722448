//! The data of a run: its description, and the splits that training reads.

use serde::{Deserialize, Serialize};

use super::shape::Shape;
use crate::data::source::{Builtin, Source};
use crate::data::{Columns, Corpus, Fractions};
use crate::tokenizer::{Kind, Tokenizer};
use crate::training::{LossUnit, Splits};
use crate::{Error, Result};

/// The source of a run's data and the way it is read. A checkpoint keeps it, so that a resumed run reads the same
/// data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// A file, a folder, `builtin:NAME` or `hf://datasets/OWNER/NAME/FILE`.
    pub data: String,
    /// Columns of records.
    pub columns: Columns,
    /// Shares of a single file that are held out.
    pub fractions: Fractions,
    /// Seed of built-in data.
    pub seed: u64,
}

/// The source of a run's tokenizer.
pub enum TokenizerSource {
    /// An existing model's tokenizer; `None` if that model does not read text.
    Loaded(Option<Box<Tokenizer>>),
    /// A tokenizer to be built from the training split.
    Trained(TokenizerSpec),
}

/// The tokenizer to build.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerSpec {
    /// Characters, words, byte pairs or a file.
    pub kind: Kind,
    /// Number of most frequent tokens to keep; `None` keeps all.
    pub max_vocab: Option<usize>,
    /// Whether text is converted to lower case.
    pub lowercase: bool,
}

/// Data that a model can be trained on.
pub struct Prepared {
    /// Training and validation splits.
    pub splits: Splits,
    /// The tokenizer; `None` if the data is not text.
    pub tokenizer: Option<Tokenizer>,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// The column of records that holds the text; `None` for running text.
    pub text_column: Option<String>,
    /// Input and output sizes of the network.
    pub shape: Shape,
    /// The unit of the loss.
    pub unit: LossUnit,
}

impl From<Kind> for TokenizerSource {
    /// A tokenizer of that kind, with all tokens of the training split.
    fn from(kind: Kind) -> Self {
        Self::Trained(TokenizerSpec { kind, max_vocab: None, lowercase: false })
    }
}

impl DataSpec {
    /// The source named `data`, such as `my.txt` or `builtin:reber`, with the usual columns and fractions.
    pub fn new(data: impl Into<String>) -> Self {
        Self { data: data.into(), columns: Columns::default(), fractions: Fractions::default(), seed: 1 }
    }

    /// The source that [`DataSpec::data`] names.
    ///
    /// # Errors
    /// If there is no such source.
    pub fn source(&self) -> Result<Source> {
        self.data.parse()
    }

    /// The text, for tasks that read text.
    ///
    /// # Errors
    /// If the source cannot be read or is not text.
    pub fn corpus(&self) -> Result<Corpus> {
        Corpus::open(&self.source()?, &self.columns, self.seed)?.with_fractions(self.fractions)
    }

    /// Whether the source is text, unlike the sequences of some built-ins.
    ///
    /// # Errors
    /// If there is no such source.
    pub fn is_text(&self) -> Result<bool> {
        Ok(!matches!(self.source()?, Source::Builtin(builtin) if !builtin.is_text()))
    }

    /// Refuse data that is not text. `task` is named in the error.
    pub(super) fn require_text(&self, task: &str) -> Result<()> {
        if self.is_text()? { Ok(()) } else { Err(self.unsuited(task, "text")) }
    }

    /// Refuse data other than `builtin`. `task` is named in the error.
    pub(super) fn require_builtin(&self, task: &str, builtin: Builtin) -> Result<()> {
        match self.source()? {
            Source::Builtin(found) if found == builtin => Ok(()),
            _ => Err(self.unsuited(task, &format!("builtin:{}", builtin.name()))),
        }
    }

    fn unsuited(&self, task: &str, needed: &str) -> Error {
        Error::invalid("data", format!("option `task = {task}` needs {needed}, not {}", self.data))
    }
}
