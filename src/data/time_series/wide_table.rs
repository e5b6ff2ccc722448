//! Wide tables: a row for each series, its name first.
//!
//! ```text
//! name,1,2,3,4
//! a,605,586,586,559
//! b,3124,2990,,
//! ```
//!
//! Empty fields at the end of a row end its series; empty fields before are missing values. Steps are numbered from 0.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::columns::TimeColumns;
use super::series::{Covariates, TimeSeries, TimeTable};
use crate::Result;
use crate::data::table_rows::TableRows;

/// The name of the values, which have no column of their own.
const VALUE: &str = "value";

/// Read a wide table.
///
/// # Errors
/// If the file cannot be read, its first row does not seem to be a header, a row is ragged, a name occurs twice, or a
/// value is not a finite number.
pub(super) fn read(path: &Path, columns: &TimeColumns) -> Result<TimeTable> {
    let rows = TableRows::read(path, columns.delimiter, columns.encoding)?;
    if rows.lacks_header(1) {
        return Err(rows.no_header("name,1,2,3"));
    }
    let covariates = Arc::new(Covariates::default());
    let mut lines: HashMap<&str, usize> = HashMap::new();
    let mut series = vec![];
    let mut empty = 0;
    for (row, (_, fields)) in rows.rows.iter().enumerate() {
        let name = fields[0].as_str();
        if let Some(before) = lines.insert(name, row) {
            let line = rows.rows[before].0;
            return Err(
                rows.problem(row, format!("series {name:?} has a row already (line {line}); keep one"))
            );
        }
        let end = fields.iter().rposition(|field| !field.trim().is_empty()).unwrap_or(0);
        let values = (1..=end).map(|at| rows.number(row, at)).collect::<Result<Vec<f64>>>()?;
        if values.iter().all(|value| value.is_nan()) {
            empty += 1;
            continue;
        }
        let covariates = Arc::clone(&covariates);
        series.push(TimeSeries { name: name.into(), column: 0, start: 0, values, covariates });
    }
    let mut notes: Vec<String> = rows.encoding_note.clone().into_iter().collect();
    if empty > 0 {
        notes.push(format!("{empty} series without any value left out"));
    }
    Ok(TimeTable { grid: None, targets: vec![VALUE.into()], time: None, series, notes })
}
