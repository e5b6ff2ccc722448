//! `.ts` files of the UEA and UCR archive of time series classification (Bagnall et al. 2018).
//!
//! ```text
//! # a comment
//! @problemName JapaneseVowels
//! @univariate false
//! @dimensions 12
//! @equalLength false
//! @classLabel true 1 2 3
//! @data
//! 1.9,1.8,?,1.7:-0.2,-0.2,-0.3,-0.3:1
//! ```
//!
//! A line after `@data` is a series: its dimensions with `:` between them, the values of a dimension with `,`, then the
//! class. Missing values are `?` or `NaN`.

use std::path::Path;
use std::sync::Arc;

use super::series::LabelledSeries;
use crate::data::composed;
use crate::data::numbered_lines::{NumberedLine, NumberedLines};
use crate::data::numbers;
use crate::data::utf8_file::Utf8File;
use crate::listing::listed;
use crate::{Error, Result};

/// The longest line in bytes: one long series of many dimensions.
const LONGEST_LINE: usize = 256 << 20;

/// The tags before the data that matter here.
#[derive(Debug, Default)]
struct Header {
    /// The classes, if the series have some.
    classes: Vec<String>,
    dimensions: Option<usize>,
}

/// Read the series of a file.
///
/// # Errors
/// If the file cannot be read or is not such a file, a series has fewer or more dimensions than the one before, its
/// dimensions differ in length, a value is not a finite number, or a class is not among those of the header.
pub(super) fn read(file: &Utf8File) -> Result<Vec<LabelledSeries>> {
    let path = file.path();
    let mut lines = NumberedLines::new(file).longest(LONGEST_LINE);
    let header = header(path, &mut lines)?;
    let mut found: Vec<LabelledSeries> = vec![];
    for line in lines {
        let NumberedLine { number, text } = line?;
        if is_empty(&text) {
            continue;
        }
        let problem = |problem: String| Error::file(path, format!("line {number}: {problem}"));
        let (columns, label) = parse(&text, &header).map_err(problem)?;
        let expected = found.first().map(|series| series.dimensions.len()).or(header.dimensions);
        if let Some(expected) = expected.filter(|&expected| expected != columns.len()) {
            let found = columns.len();
            return Err(problem(format!("{found} dimensions, expected {expected} with `:` between them")));
        }
        let dimensions = match found.first() {
            Some(first) => first.dimensions.clone(),
            None => (1..=columns.len()).map(|number| number.to_string()).collect::<Arc<[String]>>(),
        };
        let values = (0..columns[0].len()).flat_map(|t| columns.iter().map(move |column| column[t]));
        let number_in_file = found.len() as u64 + 1;
        found.push(LabelledSeries {
            number: number_in_file,
            place: format!("line {number}"),
            name: None,
            dimensions,
            values: values.collect(),
            label,
        });
    }
    match found.is_empty() {
        true => Err(Error::file(path, "has no series after @data; expected one on each line")),
        false => Ok(found),
    }
}

/// Read the tags up to `@data`.
fn header(path: &Path, lines: &mut NumberedLines) -> Result<Header> {
    let mut header = Header::default();
    for line in lines {
        let NumberedLine { number, text } = line?;
        if is_empty(&text) {
            continue;
        }
        let problem = |problem: &str| Error::file(path, format!("line {number}: {problem}"));
        let mut words = text.split_whitespace();
        let tag = words.next().unwrap_or_default().to_lowercase();
        let value = words.next().unwrap_or_default();
        match tag.as_str() {
            "@data" => return Ok(header),
            "@timestamps" if value.eq_ignore_ascii_case("true") => {
                return Err(problem("values with time stamps are not read; expected @timeStamps false"));
            }
            "@targetlabel" if value.eq_ignore_ascii_case("true") => {
                return Err(problem(
                    "the series have numbers for targets; expected classes, @classLabel true",
                ));
            }
            "@classlabel" if value.eq_ignore_ascii_case("true") => {
                header.classes = words.map(|class| composed(class.into())).collect();
                if header.classes.is_empty() {
                    return Err(problem("@classLabel true needs the names of the classes"));
                }
            }
            "@dimensions" | "@dimension" => {
                let dimensions = value.parse().ok().filter(|&dimensions| dimensions > 0);
                header.dimensions =
                    Some(dimensions.ok_or_else(|| problem("@dimensions needs a number of at least 1"))?);
            }
            "@univariate" if value.eq_ignore_ascii_case("true") => header.dimensions = Some(1),
            tag if tag.starts_with('@') => {}
            _ => return Err(problem("expected a tag, such as @classLabel, or a comment before @data")),
        }
    }
    Err(Error::file(path, "has no @data; expected a .ts file of the UEA and UCR archive"))
}

fn is_empty(line: &str) -> bool {
    line.trim().is_empty() || line.trim_start().starts_with('#')
}

/// Return the values of each dimension and the class of a line. The error is the problem, without its place.
fn parse(line: &str, header: &Header) -> Result<(Vec<Vec<f64>>, Option<String>), String> {
    let (dimensions, label) = match header.classes.is_empty() {
        true => (line, None),
        false => {
            let (dimensions, label) = line.rsplit_once(':').ok_or("no `:` before the class")?;
            (dimensions, Some(composed(label.trim().into())).filter(|label| label != "?"))
        }
    };
    if let Some(label) = label.as_ref().filter(|label| !header.classes.iter().any(|class| class == *label)) {
        let classes = listed(&header.classes, ", ");
        return Err(format!("the class {label:?} is not among those of @classLabel: {classes}"));
    }
    let columns: Vec<Vec<f64>> = dimensions
        .split(':')
        .map(|column| column.split(',').map(numbers::value).collect())
        .collect::<Result<_, _>>()?;
    let longest = columns.iter().map(Vec::len).max().unwrap_or_default();
    if let Some(at) = columns.iter().position(|column| column.len() != longest) {
        let (found, dimension) = (columns[at].len(), at + 1);
        return Err(format!("dimension {dimension} has {found} values, expected {longest} as in the others"));
    }
    Ok((columns, label))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str =
        "# about\n@problemName x\n@univariate false\n@dimensions 2\n@classLabel true a b\n@data\n";

    fn read_text(text: &str) -> Result<Vec<LabelledSeries>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.ts");
        std::fs::write(&path, text).unwrap();
        read(&Utf8File::open(&path, None)?)
    }

    #[test]
    fn dimensions_become_columns() {
        let found = read_text(&format!("{HEADER}1,2,3:-1,?,-3:b\n\n4:5:?\n")).unwrap();
        let shown = format!("{:?}", found[0].values);
        assert_eq!(shown, "[1.0, -1.0, 2.0, NaN, 3.0, -3.0]");
        assert_eq!((found[0].len(), found[0].label.as_deref(), &*found[0].place), (3, Some("b"), "line 7"));
        assert_eq!((found[1].len(), found[1].label.as_deref(), found[1].number), (1, None, 2));
    }

    #[test]
    fn series_without_classes_are_read() {
        let found = read_text("@univariate true\n@classLabel false\n@data\n1,2\n3\n").unwrap();
        assert_eq!(found.iter().map(LabelledSeries::len).collect::<Vec<_>>(), [2, 1]);
        assert!(found.iter().all(|series| series.label.is_none()));
    }

    #[test]
    fn bad_lines_are_errors_with_their_number() {
        for (line, expected) in [
            ("1,2:1:a", "line 7: dimension 2 has 1 values, expected 2"),
            ("1:a", "line 7: 1 dimensions, expected 2"),
            ("1:2:c", "line 7: the class \"c\" is not among those of @classLabel: a, b"),
            ("1:x:a", "line 7: \"x\" is not a number"),
            ("1:inf:a", "line 7: \"inf\" is infinite"),
            ("1:1e999:a", "line 7: \"1e999\" is infinite or out of range"),
            ("1 2", "line 7: no `:` before the class"),
            ("", "has no series after @data"),
        ] {
            let error = read_text(&format!("{HEADER}{line}\n")).unwrap_err().to_string();
            assert!(error.contains(expected), "{line}: {error}");
        }
        for (text, expected) in [
            ("1,2:a\n", "line 1: expected a tag"),
            ("@classLabel true\n@data\n", "line 1: @classLabel true needs the names"),
            ("@timeStamps true\n", "line 1: values with time stamps are not read"),
            ("@problemName x\n", "has no @data"),
            ("@dimensions many\n", "line 1: @dimensions needs a number"),
        ] {
            let error = read_text(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
