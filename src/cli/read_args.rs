//! The flags about the form of data files.

use rnn_zoo::data::{Columns, Corpus, Delimiter, Encoding, Split};
use rnn_zoo::tasks::DataSpec;

use super::flags;
use crate::cli::note::note;

/// The form of data files: columns, delimiter, encoding.
#[derive(Debug, clap::Args)]
pub struct ReadArgs {
    /// Column or field that holds the text
    #[arg(long, value_name = "NAME")]
    pub text_column: Option<String>,

    /// Column or field that holds the class
    #[arg(long, value_name = "NAME")]
    pub label_column: Option<String>,

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
        DataSpec { columns: self.columns(), delimiter: self.delimiter, encoding: self.encoding, ..spec }
    }

    /// The first flag that the user gave.
    pub fn given(&self) -> Option<&'static str> {
        let flags = [
            ("--text-column", self.text_column.is_some()),
            ("--label-column", self.label_column.is_some()),
            ("--delimiter", self.delimiter.is_some()),
            ("--encoding", self.encoding.is_some()),
        ];
        flags.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// Print the facts about a split of a corpus, or about what training reads, that the user should know.
pub fn announce(corpus: &Corpus, split: Option<Split>) -> anyhow::Result<()> {
    for note in corpus.notes(split)? {
        note!("{}", flags::translated(&note));
    }
    Ok(())
}
