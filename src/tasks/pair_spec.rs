//! The pairs of texts of a run's data: parallel files, a table with two columns, or `builtin:dates`.

use super::data_spec::DataSpec;
use crate::data::ReadOptions;
use crate::data::divided::Divided;
use crate::data::pair_table;
use crate::data::parallel_text::{self, Languages, PairFile, languages_of};
use crate::data::source::{Builtin, Source};
use crate::listing::listed;
use crate::{Error, Result};

impl DataSpec {
    /// Whether the source is pairs of texts.
    ///
    /// # Errors
    /// If there is no such source.
    pub fn is_pairs(&self) -> Result<bool> {
        Ok(match self.source()? {
            Source::Builtin(builtin) => builtin == Builtin::Dates,
            _ => self.sides.is_some(),
        })
    }

    /// The pairs of files; `None` for a built-in, which has its own splits.
    ///
    /// # Errors
    /// If the languages or the columns are not named, or the source cannot be read or lacks one of them.
    pub fn pair_corpus(&self) -> Result<Option<Divided<PairFile>>> {
        let source = self.source()?;
        let sides = self.sides.clone().unwrap_or_default();
        let (languages, columns) = (sides.languages()?, sides.columns()?);
        let corpus = match (&source, languages, columns) {
            (Source::Builtin(Builtin::Dates), None, None) => return Ok(None),
            (Source::Builtin(builtin), ..) => {
                let problem = format!("builtin:{} has no sides to name; leave them out", builtin.name());
                return Err(Error::invalid("data", problem));
            }
            (Source::Directory(folder), Some(languages), _) => {
                parallel_text::open(folder, &languages, self.encoding)?
            }
            (_, _, Some(columns)) => {
                let options = ReadOptions { columns, delimiter: self.delimiter, encoding: self.encoding };
                pair_table::open(&source, &options).map_err(of_sides)?
            }
            (Source::Directory(folder), None, None) => {
                let found = listed(languages_of(folder)?.iter().map(|end| format!("train.{end}")), ", ");
                let problem = format!(
                    "its sides are not named; use option `source_lang = A` and option `target_lang = B` for parallel \
                     files, or option `source_column = A` and option `target_column = B` for tables (training files: {found})"
                );
                return Err(Error::file(folder, problem));
            }
            (_, Some(Languages { source, target }), None) => {
                let problem = format!(
                    "parallel files ({source} and {target}) lie in a folder; name the columns of a table with option \
                     `source_column = A` and option `target_column = B`"
                );
                return Err(Error::file(&self.data, problem));
            }
            (_, None, None) => {
                let problem =
                    "its sides are not named; use option `source_column = A` and option `target_column = B`";
                return Err(Error::file(&self.data, problem));
            }
        };
        corpus.with_fractions(self.fractions).map(Some)
    }
}

/// The same error, about the sides instead of the columns of text and label.
pub fn of_sides(error: Error) -> Error {
    let renamed = |problem: String| {
        let problem = problem.replace("the text and the class", "the source and the target");
        problem.replace("`columns.text", "`source_column").replace("`columns.label", "`target_column")
    };
    match error {
        Error::Invalid { field: "columns.text", problem } => {
            Error::invalid("source_column", renamed(problem))
        }
        Error::Invalid { field: "columns.label", problem } => {
            Error::invalid("target_column", renamed(problem))
        }
        Error::File { path, problem } => Error::File { path, problem: renamed(problem) },
        error => error,
    }
}
