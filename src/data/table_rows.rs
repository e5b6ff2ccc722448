//! The rows of a table, delimited or JSONL, held in memory as text.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::columns::{unique, visible};
use super::compose::composed;
use super::csv_file::{csv_problem, find_delimiter, ragged, separator_line};
use super::csv_reader::{CsvReader, CsvRecord};
use super::delimiter::Delimiter;
use super::encoding::Encoding;
use super::extension::has_extension;
use super::json_rows::{self, LineAndFields};
use super::numbers;
use super::read_options::ReadOptions;
use super::utf8_file::Utf8File;
use crate::listing::listed;
use crate::{Error, Result};

/// The rows of a table, as composed text.
pub(super) struct TableRows {
    pub(super) path: PathBuf,
    /// The encoding that was assumed, as a note for the user; `None` for UTF-8.
    pub(super) encoding_note: Option<String>,
    /// Names of the columns.
    pub(super) names: Vec<String>,
    /// The line of each row, and its fields, as many as names.
    pub(super) rows: Vec<LineAndFields>,
}

impl TableRows {
    /// Read a table: JSONL by its extension, otherwise delimited. The delimiter and the encoding are detected if they
    /// are `None`.
    ///
    /// # Errors
    /// If the file cannot be read, a row is ragged, there are no rows, or JSONL is given a delimiter.
    pub(super) fn read(
        path: &Path,
        delimiter: Option<Delimiter>,
        encoding: Option<Encoding>,
    ) -> Result<Self> {
        if json_rows::is_jsonl(path) {
            let options = ReadOptions { delimiter, ..ReadOptions::default() };
            options.refuse_delimiter(&path.display().to_string())?;
        }
        let file = Utf8File::open(path, encoding)?;
        let encoding_note = file.note().map(String::from);
        let (names, rows) = match json_rows::is_jsonl(path) {
            true => json_rows::read(file)?,
            false => delimited(&file, delimiter)?,
        };
        let names: Vec<String> = names.into_iter().map(composed).collect();
        let rows: Vec<LineAndFields> = rows
            .into_iter()
            .map(|(line, fields)| (line, fields.into_iter().map(composed).collect()))
            .collect();
        match rows.is_empty() {
            true => {
                let form = if json_rows::is_jsonl(path) { "an object" } else { "a header and a row" };
                Err(Error::file(path, format!("has no rows; expected {form} for each time step")))
            }
            false => Ok(Self { path: path.to_path_buf(), encoding_note, names, rows }),
        }
    }

    /// The place of the column called `name`. `field` is the option that names it.
    ///
    /// # Errors
    /// If there is no such column, or there are two.
    pub(super) fn place(&self, name: &str, field: &'static str) -> Result<usize> {
        self.position(name, &format!("choose one with option `{field}`"))
    }

    /// The place of the column called `name`, which a model reads.
    ///
    /// # Errors
    /// If there is no such column, or there are two.
    pub(super) fn known_place(&self, name: &str) -> Result<usize> {
        self.position(
            name,
            "the model reads this column: add it, or use the table that the model was trained on",
        )
    }

    fn position(&self, name: &str, advice: &str) -> Result<usize> {
        let wanted = composed(name.to_string());
        let found = self.names.iter().position(|column| *column == wanted).ok_or_else(|| {
            let names = listed(self.names.iter().map(|name| visible(name)), ", ");
            Error::file(&self.path, format!("has no `{name}` (columns: {names}); {advice}"))
        })?;
        self.check_unique(found)?;
        Ok(found)
    }

    /// Refuse a column whose name another one has.
    pub(super) fn check_unique(&self, at: usize) -> Result<()> {
        let names: Vec<&str> = self.names.iter().map(String::as_str).collect();
        unique(&self.path, &names, at).map(drop)
    }

    /// Whether the first row of a delimited table does not seem to be a header: from column `first` on, it has numbers
    /// alone, which do not ascend by equal steps as numbers of columns do.
    pub(super) fn lacks_header(&self, first: usize) -> bool {
        let names = self.names.get(first..).unwrap_or_default();
        let end = names.iter().rposition(|name| !name.trim().is_empty()).map_or(0, |last| last + 1);
        let numbers: Option<Vec<f64>> = names[..end].iter().map(|name| name.trim().parse().ok()).collect();
        numbers.is_some_and(|numbers| {
            let step = numbers.get(1).map_or(0., |second| second - numbers[0]);
            let is_step = |pair: &[f64]| (pair[1] - pair[0] - step).abs() < 1e-6 * step;
            let tells_step = numbers.len() > 2 || numbers.iter().all(|number| number.fract() == 0.);
            numbers.len() > 1 && !(step > 0. && tells_step && numbers.windows(2).all(is_step))
        })
    }

    /// The error of a table without header. `example` is one.
    pub(super) fn no_header(&self, example: &str) -> Error {
        let first = listed(self.names.iter().map(|name| visible(name)), ", ");
        let problem = format!(
            "has no header: its first row is {first}; expected the names of its columns, such as {example}"
        );
        Error::file(&self.path, problem)
    }

    /// Whether the first value of a column that is not missing is a number; `true` and `false` are words.
    pub(super) fn holds_numbers(&self, at: usize) -> bool {
        let mut known =
            self.rows.iter().map(|(_, fields)| fields[at].as_str()).filter(|text| !numbers::is_missing(text));
        known.next().is_some_and(|text| numbers::value(text).is_ok() && !numbers::is_truth(text))
    }

    /// The first value of a column, in words, if it is not a number.
    pub(super) fn first_text(&self, at: usize) -> Option<String> {
        let (line, fields) = self.rows.iter().find(|(_, fields)| numbers::value(&fields[at]).is_err())?;
        let problem = numbers::value(&fields[at]).err()?;
        Some(format!("; line {line}: `{}`: {problem}", self.names[at]))
    }

    /// The number in column `at` of the row at place `row`; NaN if it is missing.
    ///
    /// # Errors
    /// If the text is not a finite number; the error has the line and the column.
    pub(super) fn number(&self, row: usize, at: usize) -> Result<f64> {
        let (line, fields) = &self.rows[row];
        numbers::value(&fields[at]).map_err(|text| {
            let column = &self.names[at];
            Error::file(&self.path, format!("line {line}: `{column}`: {text}"))
        })
    }

    /// An error about a row.
    pub(super) fn problem(&self, row: usize, problem: impl std::fmt::Display) -> Error {
        Error::file(&self.path, format!("line {}: {problem}", self.rows[row].0))
    }
}

/// The header of a delimited table, and its rows with their lines.
fn delimited(file: &Utf8File, delimiter: Option<Delimiter>) -> Result<(Vec<String>, Vec<LineAndFields>)> {
    let path = file.path();
    let usual = if has_extension(path, "tsv") { Delimiter::TAB } else { Delimiter::COMMA };
    let delimiter = delimiter.map_or_else(|| find_delimiter(file, usual), Ok)?;
    let start = separator_line(file)?.start;
    let bytes = BufReader::with_capacity(1 << 16, file.reader(start.byte..file.range().end));
    let mut reader = CsvReader::new(bytes, delimiter.byte(), start.byte, start.line);
    let mut record = CsvRecord::default();
    let mut names: Option<Vec<String>> = None;
    let mut rows: Vec<LineAndFields> = vec![];
    while reader.read(&mut record).map_err(|error| csv_problem(path, error))? {
        let line = record.line();
        let text = |at| String::from_utf8(record.field(at).to_vec());
        let fields = (0..record.len()).map(text).collect::<Result<Vec<_>, _>>();
        let fields = fields.map_err(|_| Error::file(path, format!("line {line} is not UTF-8 text")))?;
        match &names {
            None => names = Some(fields),
            Some(names) if names.len() != fields.len() => {
                return Err(ragged(path, &record, names.len(), delimiter));
            }
            Some(_) => rows.push((line, fields)),
        }
    }
    Ok((names.unwrap_or_default(), rows))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lacks_header(header: &str) -> bool {
        let names = header.split(',').map(String::from).collect();
        TableRows { path: "t.csv".into(), encoding_note: None, names, rows: vec![] }.lacks_header(1)
    }

    #[test]
    fn numbers_that_do_not_count_columns_are_no_header() {
        for header in ["a,5.5,3,4", "a,5,5,5", "a,605,586,586,,", "a,0.5,3", "a,3,2,1"] {
            assert!(lacks_header(header), "{header}");
        }
        for header in
            ["name,1,2,3", "id,0,1,2,,", "name,2000,2005,2010", "s,0.1,0.2,0.3,0.4", "a,V1,2", "a", "a,7"]
        {
            assert!(!lacks_header(header), "{header}");
        }
    }
}
