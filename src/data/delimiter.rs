//! The delimiter of a table, given or found from its first records.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::csv_reader::{CsvReader, CsvRecord};
use crate::{Error, Result};

/// The delimiters that are looked for.
const CANDIDATES: [Delimiter; 4] = [Delimiter(b','), Delimiter(b';'), Delimiter::TAB, Delimiter(b'|')];

/// The number of records, beside the header, that a delimiter must divide alike.
const RECORDS: usize = 100;

/// The character between the fields of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Delimiter(u8);

impl Delimiter {
    /// The comma of `.csv` files.
    pub const COMMA: Self = Self(b',');

    /// The tab of `.tsv` files.
    pub const TAB: Self = Self(b'\t');

    /// The character.
    pub fn byte(self) -> u8 {
        self.0
    }

    /// Find the delimiter in the beginning of a table. `usual` is that of the file's extension; it is kept unless
    /// another divides the header and the records into more than one field, and all into as many. `complete` tells
    /// whether `head` is the whole file.
    pub(super) fn find(head: &[u8], complete: bool, usual: Self) -> Self {
        if fields(head, complete, usual).is_some() {
            return usual;
        }
        let others = CANDIDATES.into_iter().filter_map(|other| Some((fields(head, complete, other)?, other)));
        // The first of several that divide into as many fields.
        others.rev().max_by_key(|(fields, _)| *fields).map_or(usual, |(_, delimiter)| delimiter)
    }
}

/// The number of fields of the header and of each record; `None` if there is only one, or if they differ.
fn fields(head: &[u8], complete: bool, delimiter: Delimiter) -> Option<usize> {
    let mut reader = CsvReader::new(head, delimiter.byte(), 0, 1);
    let mut record = CsvRecord::default();
    let mut found = None;
    for number in 0..=RECORDS {
        // The last record may be cut off.
        match reader.read(&mut record) {
            Ok(true) if complete || reader.byte() < head.len() as u64 => {}
            Ok(_) => break,
            Err(_) => return found.filter(|_| number > 1),
        }
        match found {
            None if record.len() > 1 => found = Some(record.len()),
            Some(fields) if record.len() == fields => {}
            _ => return None,
        }
    }
    found
}

impl FromStr for Delimiter {
    type Err = Error;

    /// Parse a character or its name: `comma`, `semicolon`, `tab`, `pipe`.
    ///
    /// # Errors
    /// If the text is neither, or the character is a letter, a digit, a quote, a blank or beyond ASCII.
    fn from_str(text: &str) -> Result<Self> {
        let byte = match (text, text.as_bytes()) {
            ("comma", _) => b',',
            ("semicolon", _) => b';',
            ("tab" | "\\t" | "\t", _) => b'\t',
            ("pipe", _) => b'|',
            (_, [byte]) if byte.is_ascii_punctuation() && *byte != b'"' => *byte,
            _ => {
                let problem = format!("`{text}` is no delimiter; expected one of `,` `;` `|` or `tab`");
                return Err(Error::invalid("delimiter", problem));
            }
        };
        Ok(Self(byte))
    }
}

impl fmt::Display for Delimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            b'\t' => f.pad("tab"),
            byte => f.pad((byte as char).encode_utf8(&mut [0; 4])),
        }
    }
}

impl TryFrom<String> for Delimiter {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        text.parse()
    }
}

impl From<Delimiter> for String {
    fn from(delimiter: Delimiter) -> Self {
        delimiter.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delimiter_is_found_from_header_and_records() {
        let find = |table: &str| Delimiter::find(table.as_bytes(), true, Delimiter::COMMA).to_string();
        for (table, expected) in [
            ("text,label\na b,x\n", ","),
            ("text;label\na, b;x\nc, d, e;y\n", ";"),
            ("text\tlabel\na, b\tx\n", "tab"),
            ("text|label\na|x", "|"),
            // Delimiters inside quotes do not count.
            ("text;label\n\"a;b\nc\";x\n", ";"),
            ("\"a;b\",\"c;d\"\n\"x;y\",\"z\"\n", ","),
            // One column, and records of different lengths.
            ("text\none; two\nthree\n", ","),
            ("text,label\na,x,y\nb\n", ","),
            ("a,b;c\n1,2;3\n4;5\n", ";"),
            ("title; subtitle\na\nb\n", ","),
            // The most fields.
            ("a;b|c|d\n1;2|3|4\n", "|"),
        ] {
            assert_eq!(find(table), expected, "{table}");
        }
        assert_eq!(Delimiter::find(b"a,b\n1,2\n", true, Delimiter::TAB), Delimiter::COMMA);
        assert_eq!(Delimiter::find(b"a;b\n1;2\n3", false, Delimiter::COMMA).to_string(), ";");
    }

    #[test]
    fn names_and_characters_are_parsed() {
        for (text, expected) in [("tab", b'\t'), ("\\t", b'\t'), (";", b';'), ("pipe", b'|'), ("comma", b',')]
        {
            let delimiter: Delimiter = text.parse().unwrap();
            assert_eq!(delimiter.byte(), expected);
            let json = serde_json::to_string(&delimiter).unwrap();
            assert_eq!(serde_json::from_str::<Delimiter>(&json).unwrap(), delimiter);
        }
        for wrong in ["", "a", "1", "\"", ",,", "é", "\n"] {
            let problem = wrong.parse::<Delimiter>().unwrap_err().to_string();
            assert!(problem.starts_with("delimiter: "), "{problem}");
        }
    }
}
