//! Word vectors in the text format of GloVe and word2vec.
//!
//! Each line is a word and its numbers with blanks between them. word2vec begins with a line of two whole numbers,
//! those of words and dimensions. A few words of GloVe's largest files hold blanks: the last numbers of a line are the
//! vector.

use std::collections::HashMap;
use std::path::Path;

use super::encoding::Encoding;
use super::numbered_lines::{NumberedLine, NumberedLines};
use super::utf8_file::Utf8File;
use crate::{Error, Result};

/// Word vectors.
#[derive(Clone, Debug, PartialEq)]
pub struct Vectors {
    /// Number of dimensions.
    pub width: usize,
    /// The vector of each word that was asked for and found.
    pub rows: HashMap<String, Vec<f32>>,
}

impl Vectors {
    /// Find the number of dimensions in the first lines of a file.
    ///
    /// # Errors
    /// If the file cannot be read or holds no vectors.
    pub fn width(path: &Path) -> Result<usize> {
        VectorReader::open(path).map(|reader| reader.width)
    }

    /// Read the vectors of those words that `wanted` accepts. The first of two vectors of a word counts.
    ///
    /// # Errors
    /// If the file cannot be read, holds no vectors, or a line has fewer or more numbers than the first or one that is
    /// not finite. The error names the line.
    pub fn read(path: &Path, wanted: impl Fn(&str) -> bool) -> Result<Self> {
        let VectorReader { first, lines, width } = VectorReader::open(path)?;
        let mut rows = HashMap::new();
        for line in first.into_iter().map(Ok).chain(lines) {
            let NumberedLine { number, text } = line?;
            if text.trim().is_empty() {
                continue;
            }
            let problem = |problem: String| Error::file(path, format!("line {number}: {problem}"));
            let (word, numbers) = split(&text, width).ok_or_else(|| {
                let found = text.split_whitespace().count().saturating_sub(1);
                problem(format!("{found} numbers after the word, expected {width} as in the first line"))
            })?;
            if !wanted(word) || rows.contains_key(word) {
                continue;
            }
            let row: Vec<f32> =
                numbers.iter().map(|text| number_of(text)).collect::<Option<_>>().ok_or_else(|| {
                    problem(format!("not all of the {width} values after the word are finite numbers"))
                })?;
            rows.insert(word.to_string(), row);
        }
        Ok(Self { width, rows })
    }
}

/// The lines of a file of vectors.
struct VectorReader {
    /// The first line, if it is not a header.
    first: Option<NumberedLine>,
    lines: NumberedLines,
    width: usize,
}

impl VectorReader {
    fn open(path: &Path) -> Result<Self> {
        let file = Utf8File::open(path, Some("utf-8".parse::<Encoding>()?))?;
        let mut lines = NumberedLines::new(&file);
        let nothing = || Error::file(path, "holds no vectors; expected a word and its numbers on each line");
        let first = lines.next().ok_or_else(nothing)??;
        let fields: Vec<&str> = first.text.split_whitespace().collect();
        let header = match fields.as_slice() {
            [words, width] => words.parse::<u64>().ok().and(width.parse::<usize>().ok()),
            _ => None,
        };
        let (width, first) = match header {
            Some(width) => (width, None),
            None => (fields.len().saturating_sub(1), Some(first)),
        };
        match width {
            0 => Err(nothing()),
            _ => Ok(Self { first, lines, width }),
        }
    }
}

/// Split a line into the word and the `width` texts behind it; `None` if there are fewer texts, or more and the word
/// with blanks would end in a number.
fn split(line: &str, width: usize) -> Option<(&str, Vec<&str>)> {
    let line = line.trim_end();
    let mut rest = line;
    let mut numbers = Vec::with_capacity(width);
    for _ in 0..width {
        let (before, number) = rest.rsplit_once(char::is_whitespace)?;
        numbers.push(number);
        rest = before.trim_end();
    }
    numbers.reverse();
    let last = rest.rsplit(char::is_whitespace).next().unwrap_or_default();
    let has_more = rest.contains(char::is_whitespace) && number_of(last).is_some();
    (!rest.is_empty() && !has_more).then_some((rest, numbers))
}

fn number_of(text: &str) -> Option<f32> {
    text.parse::<f32>().ok().filter(|number| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vectors> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("v.txt");
        std::fs::write(&path, text).unwrap();
        Vectors::read(&path, |word| word != "unwanted")
    }

    #[test]
    fn both_formats_are_read() {
        let rows = "the 0.5 -1\nunwanted 1 1\n. . . 2 3e-1\nthe 9 9\n1999 4 5\n";
        for text in
            [rows.to_string(), format!("5 2\n{rows}"), format!("5 2 \r\n{}", rows.replace('\n', " \r\n"))]
        {
            let Vectors { width, rows } = read(&text).unwrap();
            assert_eq!((width, rows.len()), (2, 3), "{text}");
            assert_eq!((rows["the"].as_slice(), rows[". . ."].as_slice()), (&[0.5, -1.][..], &[2., 0.3][..]));
            assert_eq!(rows["1999"], [4., 5.]);
        }
    }

    #[test]
    fn bad_lines_are_errors_with_their_number() {
        for (text, expected) in [
            ("a 1 2\nb 1\n", "line 2: 1 numbers after the word, expected 2"),
            ("a 1 2\nb 1 2 3\n", "line 2: 3 numbers after the word, expected 2"),
            ("3 2\na 1 2\nb x 2\n", "line 3: not all of the 2 values"),
            ("a 1 2\nb NaN 2\n", "line 2: not all of the 2 values"),
            ("word\n", "holds no vectors"),
            ("5 0\n", "holds no vectors"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
