//! The flags about the form of data files.

use rnn_zoo::data::column::Column;
use rnn_zoo::data::split_data::SplitData;
use rnn_zoo::data::{Columns, Delimiter, Encoding, Split};
use rnn_zoo::tasks::{DataSpec, Forecast, Tag, TaggingColumns, Task, Translate};

use super::flags::{self, usage};
use super::forecast_args::TimeArgs;
use super::pair_args::PairArgs;
use crate::cli::note::note;

/// The form of data files: columns, delimiter, encoding.
#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    /// Column or field that holds the text
    #[arg(long, value_name = "NAME", value_parser = flags::column)]
    pub text_column: Option<String>,

    /// Column or field that holds the class
    #[arg(long, value_name = "NAME", value_parser = flags::column)]
    pub label_column: Option<String>,

    /// Column of the words of a column file: a number from 0, from -1 for the last, or a name of CoNLL-U [default: 0,
    /// or form]
    #[arg(long, value_name = "COLUMN", value_parser = flags::parsed::<Column>, allow_hyphen_values = true)]
    word_column: Option<Column>,

    /// Column of the tags of a column file [default: -1, or upos]
    #[arg(long, value_name = "COLUMN", value_parser = flags::parsed::<Column>, allow_hyphen_values = true)]
    tag_column: Option<Column>,

    /// Further columns of a column file that a tagger reads, with commas between them
    #[arg(long, value_name = "COLUMNS", value_delimiter = ',', value_parser = flags::parsed::<Column>,
          allow_hyphen_values = true)]
    feature_columns: Vec<Column>,

    /// Column that names the series of a row, in a long table of numeric series to classify or to forecast
    #[arg(long, value_name = "NAME", value_parser = flags::column)]
    pub series_column: Option<String>,

    #[command(flatten)]
    pub pairs: PairArgs,

    #[command(flatten)]
    pub time: TimeArgs,

    /// Character between the fields of a table: , ; | or tab [default: found from the first records]
    #[arg(long, value_name = "C", value_parser = flags::parsed::<Delimiter>, allow_hyphen_values = true)]
    pub delimiter: Option<Delimiter>,

    /// Character encoding, such as cp949, latin-1 or utf-16 [default: UTF-8, or else detected]
    #[arg(long, value_name = "NAME", value_parser = flags::parsed::<Encoding>)]
    pub encoding: Option<Encoding>,
}

impl ReadArgs {
    /// The columns that the user named.
    pub fn columns(&self) -> Columns {
        Columns { text: self.text_column.clone(), label: self.label_column.clone() }
    }

    /// `spec` with the columns, the delimiter and the encoding that the user named.
    pub fn apply(&self, spec: DataSpec) -> DataSpec {
        let Self { delimiter, encoding, .. } = *self;
        let series_column = self.series_column.clone();
        let (columns, tagging, sides) = (self.columns(), self.tagging(), self.pairs.sides());
        self.time.apply(DataSpec { columns, tagging, series_column, sides, delimiter, encoding, ..spec })
    }

    /// The columns of column files that the user named, if any.
    fn tagging(&self) -> Option<TaggingColumns> {
        let Self { word_column: word, tag_column: tag, .. } = *self;
        let named = TaggingColumns { word, tag, features: self.feature_columns.clone() };
        (named != TaggingColumns::default()).then_some(named)
    }

    /// Refuse columns that data of that form does not have. `task` is that of the model that reads the data, if there
    /// is one.
    ///
    /// # Errors
    /// For such a flag.
    pub fn check_columns(&self, data: &DataSpec, task: Option<&dyn Task>) -> anyhow::Result<()> {
        let reads = |wanted: &dyn Task| task.is_some_and(|task| task.name() == wanted.name());
        if let Some(flag) = self.time.given().filter(|_| !reads(&Forecast)) {
            return Err(usage(flag, "only a forecaster has it; leave it out"));
        }
        if let Some(flag) = self.pairs.given().filter(|_| task.is_some() && !reads(&Translate)) {
            return Err(usage(flag, "only a translator reads pairs of texts; leave it out"));
        }
        let [text, label, series] = [
            ("--text-column", self.text_column.is_some()),
            ("--label-column", self.label_column.is_some()),
            ("--series-column", self.series_column.is_some()),
        ];
        let delimiter = ("--delimiter", self.delimiter.is_some());
        let (form, without) = if data.is_time_series()? {
            ("time series", vec![text, label])
        } else if data.is_pairs()? {
            ("pairs of texts", vec![text, label, series])
        } else if data.is_columns()? {
            ("a column file", vec![text, label, series, delimiter])
        } else if reads(&Tag) {
            return Ok(()); // of any extension
        } else {
            let of_words = [
                ("--word-column", self.word_column.is_some()),
                ("--tag-column", self.tag_column.is_some()),
                ("--feature-columns", !self.feature_columns.is_empty()),
            ];
            ("not a column file", of_words.to_vec())
        };
        match without.iter().find(|(_, given)| *given) {
            Some((flag, _)) => Err(usage(*flag, format!("{} is {form}; leave it out", data.data))),
            None => Ok(()),
        }
    }

    /// The first flag that the user gave.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--text-column", self.text_column.is_some()),
            ("--label-column", self.label_column.is_some()),
            ("--word-column", self.word_column.is_some()),
            ("--tag-column", self.tag_column.is_some()),
            ("--feature-columns", !self.feature_columns.is_empty()),
            ("--series-column", self.series_column.is_some()),
            ("--delimiter", self.delimiter.is_some()),
            ("--encoding", self.encoding.is_some()),
        ];
        let flag = flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag);
        flag.or_else(|| self.pairs.given()).or_else(|| self.time.given())
    }
}

/// Print the notes about a split of data, or about what training reads.
pub fn announce(data: &dyn SplitData, split: Option<Split>) -> anyhow::Result<()> {
    for note in data.notes(split)? {
        note!("{}", flags::translated(&note));
    }
    Ok(())
}
