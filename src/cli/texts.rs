//! Texts of a file or of standard input, one a line or one a record.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::Path;

use rnn_zoo::Error;
use rnn_zoo::data::{Encoding, Pieces, open_utf8};

use super::flags::{translated, usage};
use super::lines::{InputLines, LINES};
use super::read_args::ReadArgs;
use crate::cli::note::note;

/// Texts of a file or of standard input, as they arrive.
pub(super) enum Texts {
    /// Each line is a text.
    Lines(InputLines),
    /// The text of each record.
    Records(Pieces),
    /// Texts that have been read.
    Read(std::vec::IntoIter<String>),
}

/// The name of standard input in errors.
pub(super) const STANDARD_INPUT: &str = "standard input";

impl Texts {
    /// The noun for a text.
    pub(super) fn unit(&self) -> &'static str {
        match self {
            Self::Records(_) => "record",
            Self::Lines(_) | Self::Read(_) => "line",
        }
    }

    /// Read at least one text, if there is one, and return whether more may follow.
    pub(super) fn available(&mut self) -> (Vec<String>, Result<bool, Error>) {
        match self {
            Self::Lines(lines) => lines.available(),
            Self::Records(pieces) => {
                let mut texts = vec![];
                for piece in pieces.by_ref().take(LINES) {
                    match piece {
                        Ok(piece) => texts.push(piece.text),
                        Err(error) => return (texts, Err(error)),
                    }
                }
                let more = texts.len() == LINES;
                (texts, Ok(more))
            }
            Self::Read(read) => {
                let texts: Vec<String> = read.by_ref().take(LINES).collect();
                let more = texts.len() == LINES;
                (texts, Ok(more))
            }
        }
    }
}

/// Open the lines of a file, or of standard input if it is `-`.
pub(super) fn open_lines(file: &str, read: &ReadArgs) -> anyhow::Result<InputLines> {
    let encoding = read.encoding;
    if let Some(flag) = read.given().filter(|flag| *flag != "--encoding") {
        return Err(usage(flag, format!("{file} has no columns; expected a .csv, .tsv or .jsonl file")));
    }
    if file == "-" && encoding.is_some() {
        return Err(encoding_of_standard_input());
    }
    Ok(match file {
        "-" => InputLines::new(STANDARD_INPUT, Box::new(std::io::stdin())),
        path => InputLines::new(path, open_text(Path::new(path), encoding, LINES_FORM)?),
    })
}

/// The error about an encoding of standard input.
pub(super) fn encoding_of_standard_input() -> anyhow::Error {
    usage("--encoding", "standard input is always read as UTF-8; leave it out, or name a file")
}

/// The files that [`open_lines`] expects.
const LINES_FORM: &str = "a file of lines, a .csv, .tsv or .jsonl file, or - for standard input";

/// Open the text of a file as UTF-8. `expected` describes the file in errors.
pub(super) fn open_text(
    path: &Path,
    encoding: Option<Encoding>,
    expected: &str,
) -> Result<Box<dyn Read>, Error> {
    let problem = |error: std::io::Error| match error.kind() {
        ErrorKind::NotFound => Error::file(path, format!("no such file; expected {expected}")),
        _ => Error::file(path, error),
    };
    let about = std::fs::metadata(path).map_err(problem)?;
    if about.is_dir() {
        return Err(Error::file(path, format!("is a folder; expected {expected}")));
    }
    // Pipes are read as they are written.
    if !about.is_file() || about.len() == 0 {
        return Ok(Box::new(File::open(path).map_err(problem)?));
    }
    let (reader, note) = open_utf8(path, encoding)?;
    note.into_iter().for_each(|note| note!("{}", translated(&note)));
    Ok(reader)
}
