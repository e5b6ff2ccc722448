//! The data of a run: its description, and the splits that training reads.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::class_weights::ClassWeights;
use super::forecast_spec::ForecastSpec;
use super::pair_sides::PairSides;
use super::shape::NetworkShape;
use crate::data::column::Column;
use crate::data::column_corpus::{self, is_column_source};
use crate::data::column_file::{ColumnFile, ColumnOptions};
use crate::data::divided::Divided;
use crate::data::labelled_series::{self, SeriesColumns, SeriesCorpus, is_ts_source};
use crate::data::source::{Builtin, Source};
use crate::data::split_data::SplitData;
use crate::data::time_series::{TimeColumns, TimeSeriesCorpus};
use crate::data::{Columns, Corpus, Delimiter, Encoding, Fractions, ReadOptions, Split, SplitRule};
use crate::tokenizer::{Kind, Limits, Tokenizer};
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
    /// The columns of column files; also set, to the defaults, if a file that could be plain text is to be read as one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tagging: Option<TaggingColumns>,
    /// The delimiter of tables, `None` detects it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delimiter: Option<Delimiter>,
    /// The character encoding of files, if it is not to be detected.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoding: Option<Encoding>,
    /// The column that names the series of a row, in long tables of series with classes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series_column: Option<String>,
    /// The sides of pairs of texts; also set, to none, if files are to be read as pairs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sides: Option<PairSides>,
    /// Whether sources and targets have one vocabulary.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared_vocabulary: bool,
    /// The settings of a forecaster; also set, to the defaults, if a table is to be read as time series.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forecasting: Option<ForecastSpec>,
    /// Fractions of a file that are held out.
    pub fractions: Fractions,
    /// The records that are held out. Absent in the state of older runs.
    #[serde(default)]
    pub rule: SplitRule,
    /// Seed of built-in data.
    pub seed: u64,
    /// Weights of classes in the training loss of a classifier.
    #[serde(default, skip_serializing_if = "ClassWeights::is_none")]
    pub class_weights: ClassWeights,
}

/// The columns of column files that a tagger reads. Those that are absent have defaults; see [`ColumnOptions`].
///
/// [`ColumnOptions`]: crate::data::column_file::ColumnOptions
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TaggingColumns {
    /// The column of the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub word: Option<Column>,
    /// The column of the tags.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<Column>,
    /// Further columns that describe the words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub features: Vec<Column>,
}

/// The training data of a model, as its bundle describes it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TrainingData {
    /// Fractions of a file that were held out.
    pub fractions: Fractions,
    /// The records that were held out.
    #[serde(default)]
    pub rule: SplitRule,
    /// The column of records that holds the label.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label_column: Option<String>,
    /// The column that names the series of a row.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub series_column: Option<String>,
    /// The sides of pairs of texts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sides: Option<PairSides>,
    /// A hash of the file, if the data is a single file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fingerprint: Option<String>,
    /// The split for a final evaluation: test, or else validation, or else all.
    pub held_out: Split,
}

/// The origin of a run's tokenizer, classes and schema.
pub enum Origin {
    /// They are built from the training split.
    Trained(TokenizerSpec),
    /// They are those of an existing model.
    Loaded(Known),
}

/// The tokenizer, classes and schema of an existing model.
#[derive(Default)]
pub struct Known {
    /// The tokenizer; `None` if the model does not read text.
    pub tokenizer: Option<Box<Tokenizer>>,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// The task's own description of inputs and outputs; see [`Prepared::schema`].
    pub schema: Value,
}

/// The tokenizer to build.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerSpec {
    /// Characters, words, byte pairs or a file.
    pub kind: Kind,
    /// The kind for the targets of a translator; `None` if it is the same.
    pub target: Option<Kind>,
    /// The tokens to keep.
    pub limits: Limits,
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
    pub shape: NetworkShape,
    /// The unit of the loss.
    pub unit: LossUnit,
    /// The task's own description of inputs and outputs, such as further vocabularies or the scale of numbers. A bundle
    /// keeps it in `config.json`. It is null for a task that needs none.
    pub schema: Value,
}

impl Origin {
    /// The classes of an existing model; none for a new one.
    pub fn labels(&self) -> &[String] {
        match self {
            Self::Trained(_) => &[],
            Self::Loaded(known) => &known.labels,
        }
    }
}

impl From<Kind> for Origin {
    /// A tokenizer of that kind, with all tokens of the training split.
    fn from(kind: Kind) -> Self {
        Self::Trained(TokenizerSpec { kind, target: None, limits: Limits::default(), lowercase: false })
    }
}

impl DataSpec {
    /// The source named `data`, such as `my.txt` or `builtin:reber`, with the usual columns and fractions.
    pub fn new(data: impl Into<String>) -> Self {
        let data = data.into();
        let fractions = data.parse().map_or_else(|_| Fractions::default(), |source| Fractions::of(&source));
        Self {
            data,
            columns: Columns::default(),
            tagging: None,
            series_column: None,
            sides: None,
            shared_vocabulary: false,
            forecasting: None,
            delimiter: None,
            encoding: None,
            fractions,
            rule: SplitRule::Drawn,
            seed: 1,
            class_weights: ClassWeights::None,
        }
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
        let corpus = Corpus::open(&self.source()?, &self.options(), self.seed)?;
        Ok(corpus.with_fractions(self.fractions)?.with_rule(self.rule))
    }

    /// The sentences of column files. The columns are those that the user names, or else those of a model.
    ///
    /// # Errors
    /// If the source cannot be read or lacks a column.
    pub fn column_corpus(&self, known: Option<&TaggingColumns>) -> Result<Divided<ColumnFile>> {
        self.open_columns(known, false)
    }

    /// The sentences of column files without their tags, for which the files need no column.
    ///
    /// # Errors
    /// As [`DataSpec::column_corpus`].
    pub fn untagged_corpus(&self, known: Option<&TaggingColumns>) -> Result<Divided<ColumnFile>> {
        self.open_columns(known, true)
    }

    fn open_columns(&self, known: Option<&TaggingColumns>, untagged: bool) -> Result<Divided<ColumnFile>> {
        let named = self.tagging.clone().unwrap_or_default();
        let known = known.cloned().unwrap_or_default();
        let options = ColumnOptions {
            word: named.word.or(known.word),
            tag: named.tag.or(known.tag),
            features: if named.features.is_empty() { known.features } else { named.features },
            untagged,
            encoding: self.encoding,
        };
        column_corpus::open(&self.source()?, &options)?.with_fractions(self.fractions)
    }

    /// The series with classes. `values` are the columns of a table that a model reads; `None` takes all with numbers.
    ///
    /// # Errors
    /// If the source cannot be read, lacks a column or holds an invalid value.
    pub fn series_corpus(&self, values: Option<&[String]>) -> Result<SeriesCorpus> {
        let columns = self.series_column.clone().map(|series| SeriesColumns {
            series,
            label: self.columns.label.clone(),
            values: values.map(<[String]>::to_vec),
            delimiter: self.delimiter,
            encoding: self.encoding,
        });
        labelled_series::open(&self.source()?, columns.as_ref(), self.encoding)?
            .with_fractions(self.fractions)
    }

    /// Refuse names of columns for a `.ts` file, which has none.
    ///
    /// # Errors
    /// For the first such name, and if there is no such source.
    pub(super) fn check_columns(&self) -> Result<()> {
        if !is_ts_source(&self.source()?) {
            return Ok(());
        }
        let problem = || format!("{} is a .ts file, which has no columns; leave it out", self.data);
        if self.columns.label.is_some() {
            return Err(Error::invalid("columns.label", problem()));
        }
        if self.columns.text.is_some() {
            return Err(Error::invalid("columns.text", problem()));
        }
        match self.series_column {
            Some(_) => Err(Error::invalid("series_column", problem())),
            None => Ok(()),
        }
    }

    /// The time series of tables.
    ///
    /// # Errors
    /// If the source cannot be read, lacks a column or holds an invalid value.
    pub fn time_series(&self) -> Result<TimeSeriesCorpus> {
        let ForecastSpec { wide, time, targets, features, known, of_model, .. } =
            self.forecasting.clone().unwrap_or_default();
        let columns = TimeColumns {
            wide,
            time,
            series: self.series_column.clone(),
            targets,
            features,
            known,
            of_model,
            delimiter: self.delimiter,
            encoding: self.encoding,
        };
        TimeSeriesCorpus::open(&self.source()?, &columns, self.fractions)
    }

    fn options(&self) -> ReadOptions {
        let Self { columns, delimiter, encoding, .. } = self.clone();
        ReadOptions { columns, delimiter, encoding }
    }

    /// The data in its splits, whatever its form; `None` for built-ins that are not text.
    ///
    /// # Errors
    /// If the source cannot be read, or lacks a column that is named.
    pub fn split_data(&self) -> Result<Option<Box<dyn SplitData>>> {
        Ok(if self.is_time_series()? {
            Some(Box::new(self.time_series()?))
        } else if self.is_columns()? {
            Some(Box::new(self.column_corpus(None)?))
        } else if self.is_series()? {
            Some(Box::new(self.series_corpus(None)?))
        } else if self.is_pairs()? {
            self.pair_corpus()?.map(|corpus| Box::new(corpus) as Box<dyn SplitData>)
        } else if self.is_text()? {
            Some(Box::new(self.corpus()?))
        } else {
            None
        })
    }

    /// The data as a bundle keeps it, so that an evaluation recognises it and uses the same splits.
    ///
    /// # Errors
    /// If the source cannot be read.
    pub fn summary(&self) -> Result<TrainingData> {
        let Self { fractions, rule, columns, series_column, sides, .. } = self;
        let (fingerprint, held_out) = match self.split_data()? {
            Some(data) => (data.fingerprint()?, data.held_out()?),
            None => (None, Split::Test),
        };
        Ok(TrainingData {
            fractions: *fractions,
            rule: *rule,
            label_column: columns.label.clone(),
            series_column: series_column.clone(),
            sides: sides.clone(),
            fingerprint,
            held_out,
        })
    }

    /// Whether the source is text, unlike the sequences of some built-ins.
    ///
    /// # Errors
    /// If there is no such source.
    pub fn is_text(&self) -> Result<bool> {
        let source = self.source()?;
        let is_sequences = matches!(source, Source::Builtin(builtin) if !builtin.is_text());
        Ok(!is_sequences
            && !self.is_columns()?
            && !self.is_series()?
            && !self.is_pairs()?
            && !self.is_time_series()?)
    }

    /// Whether the source is series with classes: `.ts` files, or tables whose column of the series is named.
    ///
    /// # Errors
    /// If there is no such source.
    pub fn is_series(&self) -> Result<bool> {
        Ok(!self.is_time_series()? && (self.series_column.is_some() || is_ts_source(&self.source()?)))
    }

    /// Whether the source is tables of time series to forecast.
    ///
    /// # Errors
    /// If there is no such source.
    pub fn is_time_series(&self) -> Result<bool> {
        Ok(self.forecasting.is_some() && !matches!(self.source()?, Source::Builtin(_)))
    }

    /// Whether the source is column files: words with tags.
    ///
    /// # Errors
    /// If there is no such source.
    pub fn is_columns(&self) -> Result<bool> {
        if self.is_time_series()? {
            return Ok(false);
        }
        is_column_source(&self.source()?, self.tagging.is_some())
    }

    /// Refuse data that is not text. `task` is named in the error.
    pub(super) fn require_text(&self, task: &str) -> Result<()> {
        match self.source()? {
            _ if self.is_text()? => Ok(()),
            Source::File(_) => Err(self.unsuited(task, "text, in a .txt, .csv, .tsv or .jsonl file")),
            _ => Err(self.unsuited(task, "text")),
        }
    }

    /// Refuse data other than `builtin`. `task` is named in the error.
    pub(super) fn require_builtin(&self, task: &str, builtin: Builtin) -> Result<()> {
        match self.source()? {
            Source::Builtin(found) if found == builtin => self.options().refuse_columns(&self.data),
            _ => Err(self.unsuited(task, &format!("builtin:{}", builtin.name()))),
        }
    }

    /// Refuse data that is not a column file. `task` is named in the error.
    pub(super) fn require_columns(&self, task: &str) -> Result<()> {
        match self.source()? {
            Source::Builtin(_) => Err(self.unsuited(task, "column files or builtin:copy")),
            _ => Ok(()),
        }
    }

    pub(super) fn unsuited(&self, task: &str, needed: &str) -> Error {
        Error::invalid("data", format!("the task {task} needs {needed}, not {}", self.data))
    }
}
