//! Options for reading data files.

use super::columns::Columns;
use super::delimiter::Delimiter;
use super::encoding::Encoding;
use crate::{Error, Result};

/// Options for reading data files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// The columns of records.
    pub columns: Columns,
    /// The delimiter of tables; by default it is found from the header and the first records.
    pub delimiter: Option<Delimiter>,
    /// The character encoding; by default it is UTF-8, or else detected.
    pub encoding: Option<Encoding>,
}

impl From<Columns> for ReadOptions {
    fn from(columns: Columns) -> Self {
        Self { columns, ..Self::default() }
    }
}

impl ReadOptions {
    /// Return an error if an option was given that has no effect on `source`, which has no columns.
    pub(crate) fn refuse_columns(&self, source: &str) -> Result<()> {
        let problem = || format!("{source} has no columns; expected a .csv, .tsv or .jsonl file");
        match &self.columns {
            Columns { text: Some(_), .. } => return Err(Error::invalid("columns.text", problem())),
            Columns { label: Some(_), .. } => return Err(Error::invalid("columns.label", problem())),
            Columns { text: None, label: None } => {}
        }
        self.refuse_delimiter(source)
    }

    /// Return an error if a delimiter was given for `source`, which is not a table.
    pub(super) fn refuse_delimiter(&self, source: &str) -> Result<()> {
        match self.delimiter {
            Some(_) => {
                let problem = format!("{source} has no delimiter; expected a .csv or .tsv file");
                Err(Error::invalid("delimiter", problem))
            }
            None => Ok(()),
        }
    }
}
