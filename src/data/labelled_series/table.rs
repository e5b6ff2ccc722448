//! Long tables of series: a row for each time step, with the name of its series.
//!
//! ```text
//! series,x,y,label
//! a,0.1,1.2,up
//! a,0.3,1.1,up
//! b,0.2,0.9,down
//! ```
//!
//! The rows of a series follow each other in the order of time; other rows may stand between them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use super::series::LabelledSeries;
use crate::data::delimiter::Delimiter;
use crate::data::encoding::Encoding;
use crate::data::table_rows::TableRows;
use crate::listing::listed;
use crate::{Error, Result};

/// The columns of a long table of series.
#[derive(Clone, Debug)]
pub struct SeriesColumns {
    /// The column that names the series of a row.
    pub series: String,
    /// The column of the class; the same in all rows of a series.
    pub label: Option<String>,
    /// The columns of the values; `None` takes all others that hold numbers.
    pub values: Option<Vec<String>>,
    /// The delimiter; `None` detects it.
    pub delimiter: Option<Delimiter>,
    /// The character encoding; `None` detects it.
    pub encoding: Option<Encoding>,
}

/// The series of a table.
#[derive(Debug, Default)]
pub(super) struct SeriesTable {
    pub(super) series: Vec<LabelledSeries>,
    /// The columns that were left out because they hold text.
    pub(super) left_out: Vec<String>,
    /// The encoding that was assumed, as a note for the user; `None` for UTF-8.
    pub(super) encoding_note: Option<String>,
}

/// Read a table.
///
/// # Errors
/// If the file cannot be read or lacks a column, a row is ragged, a series has two classes, no column holds numbers, or
/// a value of one that does is not a finite number.
pub(super) fn read(path: &Path, columns: &SeriesColumns) -> Result<SeriesTable> {
    let rows = TableRows::read(path, columns.delimiter, columns.encoding)?;
    let series_at = rows.place(&columns.series, "series_column")?;
    let label_at = columns.label.as_ref().map(|label| rows.place(label, "columns.label")).transpose()?;
    let values_at: Vec<usize> = match &columns.values {
        Some(names) => names.iter().map(|name| rows.known_place(name)).collect::<Result<_>>()?,
        None => {
            let other = |&at: &usize| at != series_at && Some(at) != label_at;
            (0..rows.names.len()).filter(other).filter(|&at| rows.holds_numbers(at)).collect()
        }
    };
    if values_at.is_empty() {
        let problem = format!("has no column of numbers (columns: {})", listed(&rows.names, ", "));
        return Err(Error::file(path, problem));
    }
    let used = |at: usize| at == series_at || Some(at) == label_at || values_at.contains(&at);
    let left_out = (0..rows.names.len()).filter(|&at| !used(at)).map(|at| rows.names[at].clone()).collect();
    let series = group(&rows, series_at, label_at, &values_at)?;
    Ok(SeriesTable { series, left_out, encoding_note: rows.encoding_note })
}

/// The series of the rows, in the order in which they begin.
fn group(
    rows: &TableRows,
    series_at: usize,
    label_at: Option<usize>,
    values_at: &[usize],
) -> Result<Vec<LabelledSeries>> {
    let dimensions: Arc<[String]> = values_at.iter().map(|&at| rows.names[at].clone()).collect();
    let mut found: Vec<LabelledSeries> = vec![];
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (row, (_, fields)) in rows.rows.iter().enumerate() {
        let name = fields[series_at].as_str();
        if name.trim().is_empty() {
            let column = &rows.names[series_at];
            return Err(rows.problem(row, format!("`{column}` is empty; expected the name of a series")));
        }
        let label = label_at.map(|at| fields[at].clone()).filter(|label| !label.is_empty());
        let place = *places.entry(name).or_insert_with(|| {
            found.push(LabelledSeries {
                number: found.len() as u64 + 1,
                place: format!("series {name:?}"),
                name: Some(name.to_string()),
                dimensions: dimensions.clone(),
                values: vec![],
                label: label.clone(),
            });
            found.len() - 1
        });
        let series = &mut found[place];
        if series.label != label {
            let [first, second] = [&series.label, &label].map(|label| label.as_deref().unwrap_or(""));
            let problem = format!("series {name:?} has the class {second:?} and before it {first:?}");
            return Err(rows.problem(row, problem));
        }
        for &at in values_at {
            series.values.push(rows.number(row, at)?);
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_text(text: &str, values: Option<&[&str]>) -> Result<SeriesTable> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.csv");
        std::fs::write(&path, text).unwrap();
        let columns = SeriesColumns {
            series: "id".into(),
            label: Some("class".into()),
            values: values.map(|names| names.iter().map(ToString::to_string).collect()),
            delimiter: None,
            encoding: None,
        };
        read(&path, &columns)
    }

    #[test]
    fn rows_become_series_in_order() {
        let text = "id,x,when,y,class\na,1,mon,,up\nb,5,mon,6,down\na,2,tue,4,up\n";
        let SeriesTable { series, left_out, .. } = read_text(text, None).unwrap();
        assert_eq!(left_out, ["when"]);
        assert_eq!(format!("{:?}", series[0].values), "[1.0, NaN, 2.0, 4.0]");
        assert_eq!((series[0].label.as_deref(), &*series[1].place), (Some("up"), "series \"b\""));
        assert_eq!(*series[0].dimensions, ["x", "y"]);
        let only = read_text(text, Some(&["y"])).unwrap();
        assert_eq!((only.series[1].values.as_slice(), only.left_out.len()), (&[6.][..], 2));
    }

    #[test]
    fn bad_rows_are_errors_with_their_line() {
        for (rows, expected) in [
            ("a,1\n", "line 2: 2 fields where the header has 3"),
            ("a,1,up\na,x,up\n", "line 3: `x`: \"x\" is not a number"),
            ("a,inf,up\na,1,up\n", "has no column of numbers"),
            ("a,1,up\na,inf,up\n", "line 3: `x`: \"inf\" is infinite"),
            ("a,1,up\na,2,down\n", "line 3: series \"a\" has the class \"down\" and before it \"up\""),
            (",1,up\n", "line 2: `id` is empty"),
            ("", "has no rows"),
        ] {
            let error = read_text(&format!("id,x,class\n{rows}"), None).unwrap_err().to_string();
            assert!(error.contains(expected), "{rows}: {error}");
        }
        let error = read_text("name,x,class\na,1,up\n", None).unwrap_err().to_string();
        assert!(error.contains("has no `id` (columns: name, x, class)"), "{error}");
    }
}
