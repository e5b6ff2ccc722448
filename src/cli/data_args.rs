//! The flags that name the data of an existing model.

use rnn_zoo::bundle::Config;
use rnn_zoo::data::{Columns, Fractions, Split};
use rnn_zoo::tasks::DataSpec;

use super::flags;

/// Data for an existing model.
#[derive(Debug, clap::Args)]
pub struct DataArgs {
    /// A text, .csv or .jsonl file, a folder, builtin:NAME or hf://datasets/OWNER/NAME/FILE
    #[arg(long, value_name = "DATA")]
    pub data: Option<String>,

    /// train, valid, test or all [default: all of a file; test of a folder or a built-in]
    #[arg(long, value_name = "NAME", value_parser = flags::split())]
    pub split: Option<Split>,

    /// Column or field that holds the text
    #[arg(long, value_name = "NAME")]
    text_column: Option<String>,

    /// Column or field that holds the class
    #[arg(long, value_name = "NAME")]
    label_column: Option<String>,

    /// Share of a single file that training held out for validation
    #[arg(long, value_name = "X", default_value_t = 0.05, hide_short_help = true)]
    valid_fraction: f64,

    /// Share of a single file that training held out for testing
    #[arg(long, value_name = "X", default_value_t = 0.05, hide_short_help = true)]
    test_fraction: f64,

    /// Seed of built-in data
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl DataArgs {
    /// Whether the user names the column of the labels.
    pub fn names_label(&self) -> bool {
        self.label_column.is_some()
    }

    /// The data of the flags. Labels are in the column that the user names, or else in the default of the task.
    pub fn spec(&self, data: &str, config: &Config) -> DataSpec {
        let label = self.label_column.clone().or_else(|| config.task.label_column().map(String::from));
        DataSpec { columns: Columns { label, ..self.columns(data, config) }, ..self.unlabelled(data, config) }
    }

    /// The data of the flags, without labels.
    pub fn unlabelled(&self, data: &str, config: &Config) -> DataSpec {
        DataSpec {
            data: data.to_string(),
            columns: self.columns(data, config),
            fractions: Fractions { valid: self.valid_fraction, test: self.test_fraction },
            seed: self.seed,
        }
    }

    /// The columns of the flags. The text column of records is by default that of the training data.
    fn columns(&self, data: &str, config: &Config) -> Columns {
        let records =
            [".csv", ".jsonl"].iter().any(|extension| data.to_ascii_lowercase().ends_with(extension));
        let text = self.text_column.clone().or_else(|| config.text_column.clone().filter(|_| records));
        Columns { text, label: None }
    }
}
