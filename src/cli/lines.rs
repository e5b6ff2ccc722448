//! Lines of a file or of standard input, as they arrive.

use std::io::{BufRead, BufReader, Read};

use rnn_zoo::Error;

use super::input::CONVERT;

/// The largest number of lines in a batch.
pub(super) const LINES: usize = 64;

/// The size of the input buffer, in bytes.
const BUFFER: usize = 1 << 16;

/// The longest line, in bytes.
const LONGEST: usize = 64 << 20;

/// The lines of a file or of standard input. A line ends with `\n`, `\r\n` or `\r`.
pub(super) struct InputLines {
    reader: BufReader<Box<dyn Read>>,
    /// The file, for errors.
    name: String,
    /// The number of lines read.
    count: usize,
    /// Whether the last line ended with the `\r` at the end of the buffer, so that a `\n` may belong to its end.
    after_return: bool,
}

impl InputLines {
    /// The lines that `reader` gives; `name` is its file, for errors.
    pub(super) fn new(name: &str, reader: Box<dyn Read>) -> Self {
        let reader = BufReader::with_capacity(BUFFER, reader);
        Self { reader, name: name.into(), count: 0, after_return: false }
    }

    /// Read at least one line, and as many as are available without waiting, so that a program that writes a line and
    /// waits for the answer gets it. Returns whether more lines may follow. Lines before an error are returned too.
    pub(super) fn available(&mut self) -> (Vec<String>, Result<bool, Error>) {
        let mut lines = vec![];
        while lines.is_empty() || (lines.len() < LINES && self.has_line()) {
            match self.next() {
                Ok(Some(line)) => lines.push(line),
                Ok(None) => return (lines, Ok(false)),
                Err(error) => return (lines, Err(error)),
            }
        }
        (lines, Ok(true))
    }

    /// Whether a whole line is in the buffer.
    fn has_line(&self) -> bool {
        let buffer = self.reader.buffer();
        let rest = buffer.strip_prefix(b"\n").filter(|_| self.after_return).unwrap_or(buffer);
        rest.iter().any(is_line_end)
    }

    /// Read the next line, without its end.
    fn next(&mut self) -> Result<Option<String>, Error> {
        let mut line = vec![];
        let has_end = self.read_line(&mut line)?;
        if line.is_empty() && !has_end {
            return Ok(None);
        }
        self.count += 1;
        let mut text = line.as_slice();
        if self.count == 1 {
            text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text); // a byte-order mark
        }
        match std::str::from_utf8(text) {
            Ok(text) => Ok(Some(text.to_string())),
            Err(_) => {
                let problem = format!("line {} is not UTF-8; {CONVERT}", self.count);
                Err(Error::file(&self.name, problem))
            }
        }
    }

    /// Append the bytes of the next line to `line`. Returns whether a line end follows them.
    fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, Error> {
        loop {
            let buffer = self.reader.fill_buf().map_err(|error| Error::file(&self.name, error))?;
            if buffer.is_empty() {
                return Ok(false);
            }
            if std::mem::take(&mut self.after_return) && buffer[0] == b'\n' {
                self.reader.consume(1);
                continue;
            }
            let end = buffer.iter().position(is_line_end);
            line.extend_from_slice(&buffer[..end.unwrap_or(buffer.len())]);
            let used = match end {
                None => buffer.len(),
                Some(at) if buffer[at..].starts_with(b"\r\n") => at + 2,
                Some(at) => {
                    self.after_return = buffer[at..] == *b"\r";
                    at + 1
                }
            };
            self.reader.consume(used);
            if line.len() > LONGEST {
                let problem = format!("line {} is longer than {LONGEST} bytes", self.count + 1);
                return Err(Error::file(&self.name, problem));
            }
            if end.is_some() {
                return Ok(true);
            }
        }
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a few bytes at a time.
    struct Slow(Vec<u8>, usize);

    impl Read for Slow {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let count = self.1.min(self.0.len()).min(buffer.len());
            buffer[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            Ok(count)
        }
    }

    #[test]
    fn every_line_end_ends_a_line_wherever_the_buffer_ends() {
        for (text, expected) in [
            ("a\nbc\n\nd", vec!["a", "bc", "", "d"]),
            ("a\r\nbc\r\n\r\nd", vec!["a", "bc", "", "d"]),
            ("a\rbc\r\rd\r", vec!["a", "bc", "", "d"]),
            ("", vec![]),
            ("\n", vec![""]),
        ] {
            for size in 1..6 {
                let mut lines = InputLines::new("test", Box::new(Slow(text.into(), size)));
                let mut found = vec![];
                while let Some(line) = lines.next().unwrap() {
                    found.push(line);
                }
                assert_eq!(found, expected, "{text:?} by {size} bytes");
            }
        }
    }
}
