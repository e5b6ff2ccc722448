//! The records of a delimited table, byte by byte.
//!
//! The grammar is that of RFC 4180, read leniently: any of `\n`, `\r\n` and `\r` ends a record; empty lines are
//! skipped; a quote inside an unquoted field is a character like any other, and so is text after the closing quote of a
//! field on the same line. A quoted field that runs over several lines must end at a delimiter or at the end of a line:
//! a quote too many would otherwise swallow records.

use std::io::{self, BufRead};

use super::records::LONGEST_RECORD;

/// A reader of records.
#[derive(Debug)]
pub(super) struct CsvReader<R> {
    reader: R,
    delimiter: u8,
    /// Bytes read so far, and the byte before them.
    byte: u64,
    previous: u8,
    line: u64,
}

/// A record.
#[derive(Debug, Default)]
pub(super) struct CsvRecord {
    bytes: Vec<u8>,
    /// The end of each field in `bytes`.
    ends: Vec<usize>,
    /// The line on which the record begins, counted from 1.
    line: u64,
    /// The first and last line of its last quoted field of several lines.
    long_quote: Option<(u64, u64)>,
}

/// An error of a table.
#[derive(Debug)]
pub(super) enum CsvError {
    /// The table cannot be read.
    Io(io::Error),
    /// A quote is not closed.
    Unclosed {
        /// The line of the quote.
        opened: u64,
    },
    /// A record is larger than [`LONGEST_RECORD`].
    TooLong {
        /// The first line of the record.
        line: u64,
    },
    /// Text follows the closing quote of a field of several lines.
    TextAfterQuote {
        /// The line of the opening quote.
        opened: u64,
        /// The line of the closing quote.
        closed: u64,
    },
}

/// The position within a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordPosition {
    FieldStart,
    Unquoted,
    /// Inside quotes, which were opened on this line.
    Quoted(u64),
    /// After a quote inside quotes: the closing one, or the first of two that stand for one.
    AfterQuote(u64),
    /// In the blanks after the closing quote of a field of several lines.
    Padding(u64),
    RecordEnd,
}

impl CsvRecord {
    /// The number of fields.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The line on which the record begins.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// The bytes of a field. `index` must be below [`CsvRecord::len`].
    pub fn field(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..self.ends[index]]
    }

    /// The first and last line of its last quoted field of several lines.
    pub fn long_quote(&self) -> Option<(u64, u64)> {
        self.long_quote
    }

    /// The bytes that the record takes in memory.
    fn size(&self) -> usize {
        self.bytes.len() + size_of::<usize>() * self.ends.len()
    }

    fn is_blank(&self) -> bool {
        self.bytes.is_empty() && self.ends.is_empty()
    }

    fn end_field(&mut self) {
        self.ends.push(self.bytes.len());
    }
}

impl<R: BufRead> CsvReader<R> {
    /// A reader of records, of which the first begins at byte `byte` in line `line` of its file.
    pub fn new(reader: R, delimiter: u8, byte: u64, line: u64) -> Self {
        Self { reader, delimiter, byte, previous: 0, line }
    }

    /// The place in the file of the next byte.
    pub fn byte(&self) -> u64 {
        self.byte
    }

    /// The line of the next byte.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Read the next record; return `false` after the last.
    ///
    /// # Errors
    /// If the table cannot be read or a quote is not closed.
    pub fn read(&mut self, record: &mut CsvRecord) -> Result<bool, CsvError> {
        record.bytes.clear();
        record.ends.clear();
        record.long_quote = None;
        record.line = self.line;
        let mut state = RecordPosition::FieldStart;
        while state != RecordPosition::RecordEnd {
            let buffer = self.reader.fill_buf().map_err(CsvError::Io)?;
            if buffer.is_empty() {
                return Self::finish(state, record);
            }
            let mut used = 0;
            for &byte in buffer {
                used += 1;
                state = step(state, byte, self.delimiter, self.line, record)?;
                // The second byte of "\r\n" ends no line of its own.
                if byte == b'\r' || (byte == b'\n' && self.previous != b'\r') {
                    self.line += 1;
                }
                self.previous = byte;
                if state == RecordPosition::FieldStart && record.is_blank() {
                    record.line = self.line;
                }
                if state == RecordPosition::RecordEnd {
                    break;
                }
            }
            self.reader.consume(used);
            self.byte += used as u64;
            if record.size() > LONGEST_RECORD {
                return Err(match state {
                    RecordPosition::Quoted(opened) => CsvError::Unclosed { opened },
                    _ => CsvError::TooLong { line: record.line },
                });
            }
        }
        self.skip_newline()?;
        Ok(true)
    }

    /// Skip the second byte of "\r\n".
    fn skip_newline(&mut self) -> Result<(), CsvError> {
        if self.previous == b'\r' && self.reader.fill_buf().map_err(CsvError::Io)?.first() == Some(&b'\n') {
            self.reader.consume(1);
            self.byte += 1;
            self.previous = b'\n';
        }
        Ok(())
    }

    /// End the last record, which has no line end.
    fn finish(state: RecordPosition, record: &mut CsvRecord) -> Result<bool, CsvError> {
        match state {
            RecordPosition::Quoted(opened) => Err(CsvError::Unclosed { opened }),
            RecordPosition::FieldStart if record.is_blank() => Ok(false),
            _ => {
                record.end_field();
                Ok(true)
            }
        }
    }
}

/// Read one byte of a record. `line` is that of the byte.
fn step(
    state: RecordPosition,
    byte: u8,
    delimiter: u8,
    line: u64,
    record: &mut CsvRecord,
) -> Result<RecordPosition, CsvError> {
    let plain = |record: &mut CsvRecord, next: RecordPosition| {
        record.bytes.push(byte);
        Ok(next)
    };
    match (state, byte) {
        (RecordPosition::FieldStart, b'"') => Ok(RecordPosition::Quoted(line)),
        (RecordPosition::FieldStart, b'\n' | b'\r') if record.is_blank() => Ok(RecordPosition::FieldStart),
        (RecordPosition::AfterQuote(opened), b'"') => plain(record, RecordPosition::Quoted(opened)),
        (RecordPosition::Quoted(opened), b'"') => {
            if line > opened {
                record.long_quote = Some((opened, line));
            }
            Ok(RecordPosition::AfterQuote(opened))
        }
        (RecordPosition::Quoted(opened), _) => plain(record, RecordPosition::Quoted(opened)),
        (_, byte) if byte == delimiter => {
            record.end_field();
            Ok(RecordPosition::FieldStart)
        }
        (_, b'\n' | b'\r') => {
            record.end_field();
            Ok(RecordPosition::RecordEnd)
        }
        (RecordPosition::AfterQuote(opened) | RecordPosition::Padding(opened), b' ' | b'\t')
            if line > opened =>
        {
            plain(record, RecordPosition::Padding(opened))
        }
        (RecordPosition::AfterQuote(opened) | RecordPosition::Padding(opened), _) if line > opened => {
            Err(CsvError::TextAfterQuote { opened, closed: line })
        }
        _ => plain(record, RecordPosition::Unquoted),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All records with their lines; the reader gets `chunk` bytes at a time.
    fn records(table: &str, chunk: usize) -> Result<Vec<(u64, Vec<String>)>, CsvError> {
        let mut reader = CsvReader::new(io::BufReader::with_capacity(chunk, table.as_bytes()), b',', 0, 1);
        let mut record = CsvRecord::default();
        let mut found = vec![];
        while reader.read(&mut record)? {
            let field = |index| String::from_utf8(record.field(index).to_vec()).unwrap();
            found.push((record.line(), (0..record.len()).map(field).collect()));
        }
        assert_eq!(reader.byte(), table.len() as u64);
        Ok(found)
    }

    #[test]
    fn records_are_read_with_their_lines() {
        let table = "a,b\r\n\r\n\"x\ny\",\"say \"\"hi\"\"\"\n,\n\"\"\rlast \"q\",";
        let expected = [
            (1, vec!["a", "b"]),
            (3, vec!["x\ny", "say \"hi\""]),
            (5, vec!["", ""]),
            (6, vec![""]),
            (7, vec!["last \"q\"", ""]),
        ];
        for chunk in [1, 2, 3, 7, 4096] {
            let found = records(table, chunk).unwrap();
            assert_eq!(found.len(), expected.len());
            for (found, expected) in found.iter().zip(&expected) {
                assert_eq!(
                    (found.0, &found.1),
                    (expected.0, &expected.1.iter().map(|s| s.to_string()).collect())
                );
            }
        }
    }

    #[test]
    fn quotes_are_lenient_within_a_line_alone() {
        let found = records("\"a\"b,\"c\" ,d\"e\",\"f\" \"g\"\n\"h\ni\" ,j,k,l\n", 64).unwrap();
        assert_eq!(found[0].1, ["ab", "c ", "d\"e\"", "f \"g\""]);
        assert_eq!(found[1].1, ["h\ni ", "j", "k", "l"]);
        for chunk in [1, 64] {
            let problem = records("x,y\na,\"b\nc,d\n", chunk).unwrap_err();
            assert!(matches!(problem, CsvError::Unclosed { opened: 2 }), "{problem:?}");
            let problem = records("x,y\na,\"b\r\nc,\"d\"\r\n", chunk).unwrap_err();
            assert!(matches!(problem, CsvError::TextAfterQuote { opened: 2, closed: 3 }), "{problem:?}");
        }
    }

    #[test]
    fn places_lead_back_to_the_record() {
        let table = "a\r\n\"b\nb\"\r\n\nc\n";
        let mut reader = CsvReader::new(table.as_bytes(), b',', 0, 1);
        let mut record = CsvRecord::default();
        while {
            let (byte, line) = (reader.byte(), reader.line());
            let mut again = CsvReader::new(&table.as_bytes()[byte as usize..], b',', byte, line);
            let found = reader.read(&mut record).unwrap();
            let mut other = CsvRecord::default();
            assert_eq!(again.read(&mut other).unwrap(), found);
            assert!(!found || (other.line(), other.field(0)) == (record.line(), record.field(0)));
            found
        } {}
    }

    proptest! {
        #[test]
        fn quoted_fields_round_trip(
            rows in prop::collection::vec(prop::collection::vec("[a\", \n\r한]{0,6}", 2..4), 1..6),
        ) {
            let quoted = |field: &String| format!("\"{}\"", field.replace('"', "\"\""));
            let line = |row: &Vec<String>| row.iter().map(quoted).collect::<Vec<_>>().join(",");
            let table: String = rows.iter().map(|row| line(row) + "\r\n").collect();
            let found = records(&table, 5).unwrap();
            prop_assert_eq!(found.into_iter().map(|(_, fields)| fields).collect::<Vec<_>>(), rows);
        }
    }
}
