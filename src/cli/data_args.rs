//! The flags that name the data of an existing model.

use std::path::Path;

use rnn_zoo::Error;
use rnn_zoo::bundle::Config;
use rnn_zoo::data::split_data::SplitData;
use rnn_zoo::data::{Columns, Corpus, Source, Split, SplitRule, has_columns};
use rnn_zoo::tasks::DataSpec;

use super::flags;
use super::fractions::GivenFractions;
use super::number;
use super::read_args::{ReadArgs, announce};
use crate::cli::note::note;

/// Data for an existing model.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// A text, .csv, .tsv or .jsonl file, a folder, builtin:NAME or hf://datasets/OWNER/NAME/FILE
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,

    /// train, valid, test or all [default: test of a folder and of a built-in, all of a file; `rnn eval` and `rnn plot`
    /// read only the held-out part of the training file]
    #[arg(long, value_name = "NAME", value_parser = flags::split())]
    pub split: Option<Split>,

    #[command(flatten)]
    pub read: ReadArgs,

    /// Fraction of a file that is the validation split [default: that of the training]
    #[arg(long, value_name = "X", value_parser = number::share, hide_short_help = true)]
    valid_fraction: Option<f64>,

    /// Fraction of a file that is the test split [default: that of the training]
    #[arg(long, value_name = "X", value_parser = number::share, hide_short_help = true)]
    test_fraction: Option<f64>,

    /// Seed of built-in data [default: 1]
    #[arg(long, value_name = "N", value_parser = number::seed)]
    seed: Option<u64>,
}

impl DataArgs {
    /// The data of the flags. Labels are in the column that the user names, or else in that of the training data, or
    /// else in the default of the task.
    pub fn spec(&self, data: &str, config: &Config) -> DataSpec {
        let mut spec = self.unlabelled(data, config);
        let trained = config.data.as_ref().and_then(|data| data.label_column.clone());
        let usual = || trained.or_else(|| config.task.label_column().map(String::from));
        spec.columns.label = spec.columns.label.or_else(usual);
        // A model of a built-in has no schema.
        let spec = if config.schema.is_null() { spec } else { config.task.claimed(spec) };
        // A schema that cannot be read is an error of the data's reader.
        config.task.completed(spec.clone(), &config.schema).unwrap_or(spec)
    }

    /// The texts of the data, including those without a label. In records, the label column of the training data is
    /// not read as the text. A label column that the user names must exist.
    ///
    /// # Errors
    /// If the data cannot be read or lacks a column that the user names.
    pub fn texts(&self, data: &str, config: &Config) -> anyhow::Result<Corpus> {
        let trained = config.data.as_ref().and_then(|data| data.label_column.clone());
        let spec = self.unlabelled(data, config);
        let labelled =
            trained.filter(|_| spec.columns.label.is_none() && holds_records(data)).and_then(|label| {
                let columns = Columns { label: Some(label), ..spec.columns.clone() };
                DataSpec { columns, ..spec.clone() }.corpus().ok()
            });
        let corpus = labelled.map_or_else(|| spec.corpus(), Ok)?.with_incomplete();
        self.fractions().check(&corpus)?;
        announce(&corpus, Some(self.split.unwrap_or_else(|| corpus.default_split())))?;
        Ok(corpus)
    }

    /// Print which split is answered, if the user names none and it is not all.
    ///
    /// # Errors
    /// If there is no such source.
    pub fn announce_default(&self, spec: &DataSpec) -> anyhow::Result<()> {
        let is_file = matches!(spec.source()?, Source::File(_) | Source::Hub(_));
        if self.split.is_none() && !is_file {
            note!("the test split of {} is predicted (--split all predicts every split)", spec.data);
        }
        Ok(())
    }

    /// Print the notes about the data that is answered.
    ///
    /// # Errors
    /// If the data cannot be read.
    pub fn announce_answered(&self, spec: &DataSpec) -> anyhow::Result<()> {
        let data = match spec.is_columns()? {
            true => Some(Box::new(spec.untagged_corpus(None)?) as Box<dyn SplitData>),
            false => spec.split_data()?,
        };
        data.map_or(Ok(()), |data| {
            announce(data.as_ref(), Some(self.split.unwrap_or_else(|| data.default_split())))
        })
    }

    /// The first flag that the user gave about the data itself or its form.
    pub fn given(&self) -> Option<&'static str> {
        self.given_of_splits().or_else(|| self.read.given())
    }

    /// The first flag that the user gave about the splits of the data or its seed. Lines of text have neither.
    pub fn given_of_splits(&self) -> Option<&'static str> {
        let split = self.split.map(|_| "--split");
        split.or_else(|| self.fractions().given()).or(self.seed.map(|_| "--seed"))
    }

    /// Refuse flags that have no effect on the data of a model.
    ///
    /// # Errors
    /// For such a flag, and if there is no such source.
    pub fn check_effect(&self, spec: &DataSpec, config: &Config) -> anyhow::Result<()> {
        if config.task.is_language_model() && self.read.label_column.is_some() {
            let problem = "the model is a language model, which learns no classes; leave it out";
            return Err(flags::usage("--label-column", problem));
        }
        if self.seed.is_some() && !matches!(spec.source()?, Source::Builtin(_)) {
            let problem = format!(
                "only built-in data has a seed, and {} is a source of another kind; leave it out",
                spec.data
            );
            return Err(flags::usage("--seed", problem));
        }
        self.read.check_columns(spec, Some(config.task))
    }

    fn fractions(&self) -> GivenFractions {
        GivenFractions { valid: self.valid_fraction, test: self.test_fraction }
    }

    /// Refuse fractions of data that is not text: it has its own splits.
    ///
    /// # Errors
    /// For a fraction that the user gave.
    pub fn check_sequences(&self, spec: &DataSpec) -> anyhow::Result<()> {
        self.fractions().check_sequences(spec)
    }

    /// Print the notes about the data. Return the split that the user names, or the part of
    /// the training data that was held out; `None` for the usual split.
    ///
    /// # Errors
    /// If the data cannot be read.
    pub fn announced_split(&self, spec: &DataSpec, config: &Config) -> anyhow::Result<Option<Split>> {
        self.check_effect(spec, config)?;
        self.check_sequences(spec)?;
        if spec.is_text()? {
            self.fractions().check(&spec.corpus().map_err(|error| self.blame(error, config))?)?;
        }
        let Some(data) = spec.split_data()? else { return Ok(self.split) };
        let (fingerprint, default_split) = (data.fingerprint()?, data.default_split());
        let trained = config.data.as_ref().filter(|trained| trained.fingerprint.is_some());
        let split = match (self.split, trained) {
            (None, Some(trained)) if fingerprint == trained.fingerprint => {
                let held_out = match trained.held_out {
                    Split::All => "no part of it was held out".to_string(),
                    split => format!("its {split} split is scored (--split all scores all of it)"),
                };
                note!("{} is the training data of the model; {held_out}", spec.data);
                Some(trained.held_out)
            }
            (split, _) => split,
        };
        announce(data.as_ref(), Some(split.unwrap_or(default_split)))?;
        Ok(split)
    }

    /// The data of the flags, with labels only in a column that the user names.
    pub fn unlabelled(&self, data: &str, config: &Config) -> DataSpec {
        let mut spec = self.read.apply(DataSpec::new(data));
        spec.columns.text =
            spec.columns.text.or_else(|| config.text_column.clone().filter(|_| holds_records(data)));
        let series = config.data.as_ref().and_then(|data| data.series_column.clone());
        spec.series_column = spec.series_column.or(series);
        if let Some(trained) = config.data.as_ref().and_then(|data| data.sides.as_ref()) {
            spec.sides = Some(spec.sides.unwrap_or_default().or(trained));
        }
        // Older bundles do not describe their data; converted ones have none.
        let usual = if config.converted_from.is_some() { spec.rule } else { SplitRule::Tail };
        spec.rule = config.data.as_ref().map_or(usual, |trained| trained.rule);
        let fractions = config.data.as_ref().map_or(spec.fractions, |trained| trained.fractions);
        spec.fractions = fractions;
        self.fractions().apply(&mut spec);
        DataSpec { seed: self.seed.unwrap_or(spec.seed), ..spec }
    }

    /// The same error, about the data instead of a label column that the user has not named.
    fn blame(&self, error: Error, config: &Config) -> anyhow::Error {
        match error {
            Error::Invalid { field: "columns.label", problem } if self.read.label_column.is_none() => {
                let task = config.task;
                flags::usage(
                    "--data",
                    format!("the labels of a {task} model are in a column of records: {problem}"),
                )
            }
            error => error.into(),
        }
    }
}

/// Whether data is a file of records, or a folder of such files.
fn holds_records(data: &str) -> bool {
    let path = Path::new(data);
    match std::fs::read_dir(path) {
        Ok(entries) => entries.flatten().any(|entry| has_columns(&entry.path())),
        Err(_) => has_columns(path),
    }
}
