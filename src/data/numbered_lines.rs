//! The lines of a file with their numbers, for formats in which a line is a row or a sentence.

use std::io::BufReader;
use std::path::{Path, PathBuf};

use super::file_reader::FileReader;
use super::line_end::{read_line, without_end};
use super::utf8_file::Utf8File;
use crate::{Error, Result};

/// The longest line in bytes, if the format has no other limit. A file without line ends must not be read into memory.
const LONGEST_LINE: usize = 1 << 20;

/// A line without its line end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct NumberedLine {
    /// The number, counted from 1.
    pub number: u64,
    /// The text.
    pub text: String,
}

/// The lines of a file. After an error there are no more.
#[derive(Debug)]
pub(super) struct NumberedLines {
    reader: BufReader<FileReader>,
    path: PathBuf,
    number: u64,
    longest: usize,
    done: bool,
}

impl NumberedLines {
    /// The lines of a file.
    pub fn new(file: &Utf8File) -> Self {
        let reader = BufReader::with_capacity(1 << 16, file.reader(file.range()));
        Self { reader, path: file.path().to_path_buf(), number: 0, longest: LONGEST_LINE, done: false }
    }

    /// Read lines of up to `longest` bytes, a number of MiB.
    pub fn longest(self, longest: usize) -> Self {
        Self { longest, ..self }
    }

    /// The path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Read the next line; `None` after the last.
    fn read(&mut self) -> Result<Option<NumberedLine>> {
        let mut bytes = vec![];
        read_line(&mut self.reader, self.longest + 1, &mut bytes)
            .map_err(|error| Error::file(&self.path, error))?;
        if bytes.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if bytes.len() > self.longest {
            let most = self.longest >> 20;
            return Err(self.problem(&format!("has more than {most} MiB; expected shorter lines")));
        }
        bytes.truncate(without_end(&bytes).len());
        if bytes.contains(&0) {
            return Err(self.problem("holds a NUL byte; expected text"));
        }
        let text = String::from_utf8(bytes).map_err(|_| {
            self.problem("is not UTF-8 text; expected text, or another encoding that option `encoding` names")
        })?;
        Ok(Some(NumberedLine { number: self.number, text }))
    }

    fn problem(&self, problem: &str) -> Error {
        Error::file(&self.path, format!("line {} {problem}", self.number))
    }
}

impl Iterator for NumberedLines {
    type Item = Result<NumberedLine>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let line = self.read().transpose();
        self.done = !matches!(line, Some(Ok(_)));
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines_of(content: &[u8]) -> Vec<Result<NumberedLine>> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        std::fs::write(&path, content).unwrap();
        NumberedLines::new(&Utf8File::open(&path, Some("utf-8".parse().unwrap())).unwrap()).collect()
    }

    #[test]
    fn line_ends_of_every_system_are_removed() {
        let lines: Vec<NumberedLine> =
            lines_of("\u{feff}a\r\n\nb \rc".as_bytes()).into_iter().collect::<Result<_>>().unwrap();
        let line = |number, text: &str| NumberedLine { number, text: text.into() };
        assert_eq!(lines, [line(1, "a"), line(2, ""), line(3, "b "), line(4, "c")]);
    }

    #[test]
    fn bad_line_is_an_error_with_its_number_and_the_last_one() {
        let long = [b"a\n".to_vec(), vec![b'x'; LONGEST_LINE + 1]].concat();
        let cases = [(long, "1 MiB"), (b"a\nb\0\nc\n".to_vec(), "NUL"), (b"a\n\xff\nc\n".to_vec(), "UTF-8")];
        for (content, word) in cases {
            let lines = lines_of(&content);
            assert_eq!(lines.len(), 2);
            let message = lines[1].as_ref().unwrap_err().to_string();
            assert!(message.contains("a.txt: line 2 ") && message.contains(word), "{message}");
        }
        assert!(lines_of(&vec![b'x'; LONGEST_LINE]).iter().all(Result::is_ok));
    }
}
