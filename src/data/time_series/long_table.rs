//! Long tables: a row for each step of a series.
//!
//! ```text
//! date,shop,sales,holiday
//! 2020-01-01,a,12,1
//! 2020-01-01,b,7,1
//! 2020-01-02,a,15,0
//! ```
//!
//! | in the table | rule |
//! |---|---|
//! | rows out of order | sorted by time within their series, and counted |
//! | a time twice in a series | an error |
//! | a time between two steps | an error |
//! | steps without a row | missing values, and counted |
//! | a value missing | see [`carried_forward`](super::series::carried_forward); it is not a target |
//! | rows without targets at the end | future steps, which have features that are known in advance |

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::columns::TimeColumns;
use super::form::TimeFormat;
use super::grid::TimeGrid;
use super::long_columns::LongColumns;
use super::series::{Covariates, TimeSeries, TimeTable};
use crate::data::table_rows::TableRows;
use crate::listing::counted;
use crate::{Error, Result};

/// The most steps of a series, in times its rows: more gaps than rows by this factor are an error in a timestamp.
pub(super) const MOST_GAPS: i64 = 100;

/// The most values of a table with its gaps filled, in times the values that it has.
const MOST_FILLED: usize = 10;

/// Values that a table with its gaps filled may have besides, since small tables may have many gaps.
const MORE_FILLED: usize = 1_000_000;

/// Read a long table.
///
/// # Errors
/// If the file cannot be read or lacks a column, a row is ragged, a timestamp has another form than the others, occurs
/// twice or lies between two steps, or a value is not a finite number.
pub(super) fn read(path: &Path, columns: &TimeColumns) -> Result<TimeTable> {
    let rows = TableRows::read(path, columns.delimiter, columns.encoding)?;
    let places = LongColumns::find(&rows, columns)?;
    let (form, times, doubt) = match places.time {
        Some(at) => {
            let (form, doubt) = form(&rows, at)?;
            let times = times(&rows, at, &form)?;
            (Some(form), times, doubt)
        }
        None => (None, (0..rows.rows.len() as i64).collect(), None),
    };
    let mut groups = grouped(&rows, &places)?;
    if places.time.is_none() {
        // The steps of each series are its rows.
        let steps = groups.iter().map(|(name, rows)| (name.clone(), (0..rows.len() as i64).collect()));
        let steps: Vec<Vec<i64>> = steps.map(|(_, steps)| steps).collect();
        return assemble(&rows, &places, &groups, None, &steps);
    }
    let moved: usize = groups.iter_mut().map(|(_, rows)| sort(rows, &times)).sum();
    let of_series = |rows: &Vec<usize>| rows.iter().map(|&row| times[row]).collect::<Vec<i64>>();
    let all: Vec<Vec<i64>> = groups.iter().map(|(_, rows)| of_series(rows)).collect();
    let grid = form.map(|form| TimeGrid::find(form, &all));
    let mut table = assemble(&rows, &places, &groups, grid, &all)?;
    table.notes.extend(doubt);
    if moved > 0 {
        let count = counted(moved as u64, "row");
        table
            .notes
            .push(format!("{count} out of order; sorted by `{}`", rows.names[places.time.unwrap_or(0)]));
    }
    Ok(table)
}

/// The form of the timestamps, and a note if another fits as well.
fn form(rows: &TableRows, at: usize) -> Result<(TimeFormat, Option<String>)> {
    let texts = rows.rows.iter().map(|(_, fields)| fields[at].as_str());
    let texts: Vec<&str> = texts.collect();
    let form = TimeFormat::find(&texts).map_err(|row| {
        let (text, column) = (&rows.rows[row].1[at], &rows.names[at]);
        let other = if row > 0 { " of the form of the rows before" } else { "" };
        rows.problem(
            row,
            format!(
                "`{column}`: {text:?} is not a time{other}; expected an integer or a date such as \
                                   2020-12-31 or 2020-12-31 23:00"
            ),
        )
    })?;
    let doubt = form.exchanged(&texts).map(|other| {
        let (column, first) = (&rows.names[at], texts.first().unwrap_or(&""));
        format!(
            "`{column}` is read as {}, as in {first}, though {} fits its rows as well; write years first, as in \
             2020-12-31, if that is wrong",
            form.words(),
            other.words()
        )
    });
    Ok((form, doubt))
}

fn times(rows: &TableRows, at: usize, form: &TimeFormat) -> Result<Vec<i64>> {
    let time = |(row, (_, fields)): (usize, &(u64, Vec<String>))| {
        form.parse(&fields[at]).ok_or_else(|| rows.problem(row, format!("{:?} is not a time", fields[at])))
    };
    rows.rows.iter().enumerate().map(time).collect()
}

/// The rows of each series, in the order in which the series begin.
fn grouped(rows: &TableRows, places: &LongColumns) -> Result<Vec<(String, Vec<usize>)>> {
    let Some(at) = places.series else {
        return Ok(vec![(String::new(), (0..rows.rows.len()).collect())]);
    };
    let mut found: Vec<(String, Vec<usize>)> = vec![];
    let mut known: HashMap<&str, usize> = HashMap::new();
    for (row, (_, fields)) in rows.rows.iter().enumerate() {
        let name = fields[at].as_str();
        if name.trim().is_empty() {
            let column = &rows.names[at];
            return Err(rows.problem(row, format!("`{column}` is empty; expected the name of a series")));
        }
        let group = *known.entry(name).or_insert_with(|| {
            found.push((name.into(), vec![]));
            found.len() - 1
        });
        found[group].1.push(row);
    }
    Ok(found)
}

/// Sort rows by time. Return the number of rows that came after a later one.
fn sort(rows: &mut [usize], times: &[i64]) -> usize {
    let mut latest = i64::MIN;
    let mut late = 0;
    for &row in rows.iter() {
        late += usize::from(times[row] < latest);
        latest = latest.max(times[row]);
    }
    rows.sort_by_key(|&row| times[row]);
    late
}

/// The series of the groups. `times` are those of their rows; without a grid they are numbers of steps.
fn assemble(
    rows: &TableRows,
    places: &LongColumns,
    groups: &[(String, Vec<usize>)],
    grid: Option<TimeGrid>,
    times: &[Vec<i64>],
) -> Result<TimeTable> {
    let targets: Vec<String> = places.targets.iter().map(|&at| rows.names[at].clone()).collect();
    let time = places.time.map(|at| rows.names[at].clone());
    let notes = rows.encoding_note.iter().chain(&places.notes).cloned().collect();
    let mut table = TimeTable { grid, targets, time, series: vec![], notes };
    let columns = places.targets.len() + places.covariates.len();
    let most = (MOST_FILLED * rows.rows.len()).saturating_mul(columns).saturating_add(MORE_FILLED);
    let (mut gaps, mut filled) = (0, 0_usize);
    for ((name, own), times) in groups.iter().zip(times) {
        let steps = steps(rows, own, times, table.grid.as_ref())?;
        let length = steps.last().map_or(0, |last| last + 1);
        gaps += length - own.len();
        filled = filled.saturating_add(length.saturating_mul(columns));
        if filled > most {
            let problem = format!(
                "the table has {} without a row up to here, too many to fill; check the time",
                counted(gaps as u64, "step")
            );
            return Err(rows.problem(own.last().copied().unwrap_or(0), problem));
        }
        let column = |at: usize| -> Result<Vec<f64>> {
            let mut values = vec![f64::NAN; length];
            for (&row, &step) in own.iter().zip(&steps) {
                values[step] = rows.number(row, at)?;
            }
            Ok(values)
        };
        let mut values = places.targets.iter().map(|&at| column(at)).collect::<Result<Vec<_>>>()?;
        let covariates = places.covariates.iter().map(|&at| column(at)).collect::<Result<Vec<_>>>()?;
        let width = covariates.len();
        let by_step = (0..length).flat_map(|step| covariates.iter().map(move |column| column[step]));
        let covariates = Arc::new(Covariates { width, values: by_step.collect() });
        let end =
            |values: &Vec<f64>| values.iter().rposition(|value| !value.is_nan()).map_or(0, |last| last + 1);
        let known = values.iter().map(end).max().unwrap_or(0);
        for (at, values) in values.iter_mut().enumerate() {
            values.truncate(known);
            table.series.push(TimeSeries {
                name: if places.series.is_some() { name.clone() } else { table.targets[at].clone() },
                column: at,
                start: times.first().copied().unwrap_or(0),
                values: std::mem::take(values),
                covariates: Arc::clone(&covariates),
            });
        }
    }
    if gaps > 0 {
        table
            .notes
            .push(format!("{} without a row; their values count as missing", counted(gaps as u64, "step")));
    }
    table.series.retain(|series| series.values.iter().any(|value| !value.is_nan()));
    match table.series.is_empty() {
        true => Err(Error::file(&rows.path, "has no values to forecast: all are missing")),
        false => Ok(table),
    }
}

/// The step of each row of a series, from the first.
fn steps(rows: &TableRows, own: &[usize], times: &[i64], grid: Option<&TimeGrid>) -> Result<Vec<usize>> {
    let Some(grid) = grid else { return Ok((0..own.len()).collect()) };
    let mut steps = Vec::with_capacity(own.len());
    for (at, &row) in own.iter().enumerate() {
        let text = grid.form.text(times[at]);
        let Some(step) = grid.steps(times[0], times[at]) else {
            let (first, words) = (grid.form.text(times[0]), grid.words());
            let problem =
                format!("{text} is not a whole number of steps after {first}; the usual step is {words}");
            return Err(rows.problem(row, problem));
        };
        if step > MOST_GAPS * (own.len() as i64 + 1) {
            let problem =
                format!("{text} is {step} steps of {} after the first row; check the time", grid.words());
            return Err(rows.problem(row, problem));
        }
        if steps.last().is_some_and(|last| *last as i64 == step) {
            let before = rows.rows[own[at - 1]].0;
            let problem = format!(
                "{text} has a row already (line {before}); keep one, or name the column of the series \
                                   with option `series_column`"
            );
            return Err(rows.problem(row, problem));
        }
        steps.push(step as usize);
    }
    Ok(steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_that_would_take_much_memory_are_refused() {
        let columns = TimeColumns { time: Some("step".into()), ..TimeColumns::default() };
        let read = |last: usize| {
            let file = tempfile::Builder::new().suffix(".csv").tempfile().unwrap();
            let rows: String = (0..12_000).chain([last]).map(|step| format!("{step},1\n")).collect();
            std::fs::write(file.path(), format!("step,value\n{rows}")).unwrap();
            read(file.path(), &columns)
        };
        assert_eq!(read(1_100_000).unwrap().series[0].values.len(), 1_100_001);
        let error = read(1_190_000).unwrap_err().to_string();
        let expected = "line 12002: the table has 1,178,000 steps without a row up to here, too many to fill; \
                        check the time";
        assert!(error.ends_with(expected), "{error}");
    }
}
