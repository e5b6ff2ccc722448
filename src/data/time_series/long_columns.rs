//! The places of time, series, targets and features among the columns of a long table.
//!
//! A column that is called as times are, or whose text looks like one, is never ignored silently: if it has no
//! form that is known, it is an error or a note.

use super::columns::TimeColumns;
use super::form::TimeFormat;
use crate::data::columns::visible;
use crate::data::table_rows::TableRows;
use crate::listing::listed;
use crate::{Error, Result};

/// Names of columns that hold times.
const TIME_NAMES: [&str; 18] = [
    "date",
    "time",
    "datetime",
    "timestamp",
    "ds",
    "month",
    "year",
    "day",
    "week",
    "날짜",
    "일자",
    "일시",
    "日付",
    "日時",
    "日期",
    "时间",
    "datum",
    "fecha",
];

/// The fewest columns of numbers, if they are more than the rows, of which a note recommends a wide table.
const MANY_COLUMNS: usize = 10;

/// The places of the columns.
pub(super) struct LongColumns {
    pub(super) time: Option<usize>,
    pub(super) series: Option<usize>,
    pub(super) targets: Vec<usize>,
    /// Features that are known only up to the forecast, then features that are known in advance.
    pub(super) covariates: Vec<usize>,
    /// Notes for the user about columns.
    pub(super) notes: Vec<String>,
}

impl LongColumns {
    /// Find the columns.
    ///
    /// # Errors
    /// If a column that was asked for is missing or another one has its name, no column holds numbers, or a column that
    /// is called as times are has no form that is known.
    pub(super) fn find(rows: &TableRows, columns: &TimeColumns) -> Result<Self> {
        let series = columns.series.as_ref().map(|name| rows.place(name, "series_column")).transpose()?;
        let place = |name: &String, field| match columns.of_model {
            true => rows.known_place(name),
            false => rows.place(name, field),
        };
        let time = match &columns.time {
            Some(name) => Some(place(name, "forecasting.time")?),
            None => usual_time(rows, series),
        };
        let features = columns.features.iter().map(|name| place(name, "forecasting.features"));
        let known = columns.known.iter().map(|name| place(name, "forecasting.known"));
        let covariates: Vec<usize> = features.chain(known).collect::<Result<_>>()?;
        let mut found = Self { time, series, targets: vec![], covariates, notes: vec![] };
        let named = columns.targets.iter().map(|name| place(name, "forecasting.targets"));
        found.targets = named.collect::<Result<_>>()?;
        found.check_header(rows)?;
        found.check_times(rows)?;
        if found.targets.is_empty() {
            found.targets = found.usual_targets(rows)?;
        } else if let Some(&twice) = found.targets.iter().find(|at| !found.is_free(**at)) {
            let name = &rows.names[twice];
            let problem = format!("`{name}` cannot be forecast: it holds the time, the series or a feature");
            return Err(Error::invalid("forecasting.targets", problem));
        }
        Ok(found)
    }

    /// Whether a column holds neither time, series nor features.
    fn is_free(&self, at: usize) -> bool {
        Some(at) != self.time && Some(at) != self.series && !self.covariates.contains(&at)
    }

    /// The columns that are neither used nor named by the user.
    fn others<'a>(&'a self, rows: &TableRows) -> impl Iterator<Item = usize> + use<'a> {
        (0..rows.names.len()).filter(|&at| self.is_free(at) && !self.targets.contains(&at))
    }

    /// Refuse a first row that is not a header.
    fn check_header(&self, rows: &TableRows) -> Result<()> {
        let is_time = self.time.is_some_and(|at| {
            let form = TimeFormat::find(&[&rows.names[at]]);
            form.is_ok_and(|form| !form.is_integer())
        });
        match is_time || rows.lacks_header(0) {
            true => Err(rows.no_header("date,sales")),
            false => Ok(()),
        }
    }

    /// Refuse, or note, other columns that seem to hold times.
    fn check_times(&mut self, rows: &TableRows) -> Result<()> {
        let mut notes = vec![];
        for at in self.others(rows) {
            let text = rows.rows[0].1[at].as_str();
            let column = visible(&rows.names[at]);
            if self.time.is_none() && is_called_time(rows, at) {
                return Err(rows.problem(
                    0,
                    format!(
                        "`{column}`: {text:?} has no form of a time that is known; expected one such as 2020-12-31 \
                         or 2020-12-31 23:00, another option `forecasting.time`, or a table without this column, \
                         whose rows are the steps"
                    ),
                ));
            }
            if TimeFormat::find(&[text]).is_ok() {
                continue;
            }
            let is_text = !text.trim().is_empty() && !rows.holds_numbers(at);
            if self.time.is_none() && is_text {
                notes.push(format!(
                    "`{column}` ({text:?}) holds neither numbers nor times of a form that is known; it is not read"
                ));
            } else if is_text && (is_called_time(rows, at) || looks_like_time(text)) {
                notes.push(format!(
                    "`{column}` ({text:?}) has no form of a time that is known; it is not read"
                ));
            }
        }
        self.notes.extend(notes);
        Ok(())
    }

    /// The columns of numbers, but for numbers of rows.
    fn usual_targets(&mut self, rows: &TableRows) -> Result<Vec<usize>> {
        let mut targets: Vec<usize> = self.others(rows).filter(|&at| rows.holds_numbers(at)).collect();
        if targets.is_empty() {
            let reason = self.others(rows).find_map(|at| rows.first_text(at)).unwrap_or_default();
            let names = listed(rows.names.iter().map(|name| visible(name)), ", ");
            let problem = format!("has no column of numbers to forecast (columns: {names}){reason}");
            return Err(Error::file(&rows.path, problem));
        }
        let is_index = |at: usize| rows.names[at].trim().is_empty() || (at == 0 && counts_rows(rows, at));
        if targets.iter().any(|&at| !is_index(at)) {
            let (left_out, kept): (Vec<usize>, Vec<usize>) =
                targets.into_iter().partition(|&at| is_index(at));
            targets = kept;
            self.notes.extend(left_out.into_iter().map(|at| {
                let (column, first) = (visible(&rows.names[at]), &rows.rows[0].1[at]);
                format!(
                    "column {} ({column}, from {first:?} on) is taken for numbers of rows and left out; \
                     option `forecasting.targets` forecasts it",
                    at + 1
                )
            }));
        } else {
            self.notes.extend(targets.iter().map(|&at| {
                let column = visible(&rows.names[at]);
                format!(
                    "column {} ({column}) seems to number the rows; it is forecast as no other has numbers",
                    at + 1
                )
            }));
        }
        for &at in &targets {
            rows.check_unique(at)?;
        }
        if self.time.is_none() && targets.len() >= MANY_COLUMNS.max(rows.rows.len() + 1) {
            self.notes.push(format!(
                "{} columns of numbers and {} rows: if each row is a series, use option `forecasting.wide`",
                targets.len(),
                rows.rows.len()
            ));
        }
        Ok(targets)
    }
}

/// The first column whose first row is a date, or that is called so and holds times.
fn usual_time(rows: &TableRows, series: Option<usize>) -> Option<usize> {
    let text = |at: usize| rows.rows.first().map_or("", |(_, fields)| fields[at].as_str());
    let form = |at: usize| TimeFormat::find(&[text(at)]).ok();
    let mut others = (0..rows.names.len()).filter(|&at| Some(at) != series);
    let dated = others.clone().find(|&at| {
        // A number may be a date, such as 20201231 or 2020.12.
        text(at).trim().parse::<f64>().is_err() && form(at).is_some_and(|form| !form.is_integer())
    });
    dated.or_else(|| others.find(|&at| is_called_time(rows, at) && form(at).is_some()))
}

fn is_called_time(rows: &TableRows, at: usize) -> bool {
    TIME_NAMES.contains(&rows.names[at].trim().to_lowercase().as_str())
}

/// Whether a text has two numbers, as most dates have.
fn looks_like_time(text: &str) -> bool {
    let numbers = text.split(|letter: char| !letter.is_ascii_digit()).filter(|part| !part.is_empty()).count();
    numbers >= 2
}

/// Whether a column counts the rows from 0 or 1.
fn counts_rows(rows: &TableRows, at: usize) -> bool {
    let counts_from = |first: usize| {
        let numbers = rows.rows.iter().zip(first..);
        rows.rows.len() > 1
            && numbers.into_iter().all(|((_, fields), number)| fields[at].trim() == number.to_string())
    };
    counts_from(0) || counts_from(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names of the time and of the targets, and the notes.
    fn found(text: &str, columns: &TimeColumns) -> Result<(Option<String>, Vec<String>, Vec<String>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.csv");
        std::fs::write(&path, text).unwrap();
        let rows = TableRows::read(&path, None, None)?;
        let LongColumns { time, targets, notes, .. } = LongColumns::find(&rows, columns)?;
        let name = |at: usize| rows.names[at].clone();
        Ok((time.map(name), targets.into_iter().map(name).collect(), notes))
    }

    fn usual(text: &str) -> (Option<String>, Vec<String>, Vec<String>) {
        found(text, &TimeColumns::default()).unwrap()
    }

    fn problem(text: &str) -> String {
        found(text, &TimeColumns::default()).unwrap_err().to_string()
    }

    #[test]
    fn column_that_is_called_date_is_never_passed_over() {
        for text in ["Tue 28/02/2023", "someday", "01-00", "2023.5", ""] {
            let said = problem(&format!("date,v\n{text},9\n{text},8\n"));
            let expected = format!("line 2: `date`: {text:?} has no form of a time that is known");
            assert!(said.contains(&expected) && said.contains("forecasting.time"), "{said}");
        }
        let named = TimeColumns { targets: vec!["year".into()], ..TimeColumns::default() };
        assert_eq!(found("year\n1.5\n2.5\n", &named).unwrap().1, ["year"]);
        assert_eq!(usual("date,v\n2000.01,1\n2000.02,2\n").0.as_deref(), Some("date"));
        let compact = usual("날짜,매출\n20240101,1\n20240102,2\n");
        assert_eq!((compact.0.as_deref(), &compact.1[..]), (Some("날짜"), &["매출".to_string()][..]));
    }

    #[test]
    fn other_columns_that_seem_to_hold_times_are_noted() {
        let (time, targets, notes) = usual("when,v\nTue 28/02/2023,9\nMon 27/02/2023,8\n");
        assert_eq!((time, targets), (None, vec!["v".to_string()]));
        assert!(
            notes[0].contains("`when` (\"Tue 28/02/2023\") holds neither numbers nor times"),
            "{notes:?}"
        );
        let (time, _, notes) = usual("ds,stamp,shop,v\n2020-01-01,Tue 28/02/2023,north,9\n");
        assert_eq!(time.as_deref(), Some("ds"));
        assert!(
            notes.len() == 1 && notes[0].contains("`stamp` (\"Tue 28/02/2023\") has no form"),
            "{notes:?}"
        );
        // A number is not a date unless its column is called so.
        assert_eq!(usual("v,w\n2000.05,1\n2345.6,1\n").0, None);
    }

    #[test]
    fn numbers_of_rows_are_no_targets() {
        for text in
            [",date,v\n0,2020-01-01,5\n1,2020-01-02,5\n", "id,date,v\n1,2020-01-01,5\n2,2020-01-02,5\n"]
        {
            let (_, targets, notes) = usual(text);
            assert_eq!(targets, ["v"]);
            assert!(notes[0].contains("column 1 (") && notes[0].contains("left out"), "{notes:?}");
        }
        assert_eq!(usual("date,v\n2020-01-01,1\n2020-01-02,2\n").1, ["v"], "the only column");
        assert_eq!(usual("date,v,w\n2020-01-01,1,3\n2020-01-02,2,3\n").1, ["v", "w"], "not the first column");
    }

    #[test]
    fn only_numbers_of_rows_are_forecast_with_a_note() {
        let (_, targets, notes) = usual("id,name\n1,a\n2,b\n");
        assert_eq!(targets, ["id"]);
        assert!(
            notes.iter().any(|note| note.contains("column 1 (id) seems to number the rows")),
            "{notes:?}"
        );
    }

    #[test]
    fn table_without_header_and_twice_a_name_are_refused() {
        assert!(problem("2020-01-01,5\n2020-01-02,6\n").contains("has no header"));
        assert!(problem("0.5,3\n0.7,1\n0.2,9\n").contains("has no header"));
        assert_eq!(usual("0,1,2\n5.5,3,4\n").1.len(), 3);
        let said = problem("date,v,v\n2020-01-01,5,6\n");
        assert!(said.contains("columns 2 and 3 are both called `v`"), "{said}");
    }

    #[test]
    fn many_columns_and_few_rows_recommend_a_wide_table() {
        let names: Vec<String> = (0..12).map(|at| format!("V{at}")).collect();
        let (_, _, notes) = usual(&format!("id,{}\na{}\n", names.join(","), ",1.5".repeat(12)));
        assert!(notes.iter().any(|note| note.contains("option `forecasting.wide`")), "{notes:?}");
    }
}
