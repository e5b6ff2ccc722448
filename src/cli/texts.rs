//! Texts of a file or of standard input, one a line or one a record.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use rnn_zoo::Error;
use rnn_zoo::data::{Pieces, open_utf8};

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

impl Texts {
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
    let about = std::fs::metadata(file);
    let (name, reader): (_, Box<dyn Read>) = match (file, about) {
        ("-", _) if encoding.is_some() => {
            return Err(usage("--encoding", "standard input is UTF-8; expected a file"));
        }
        ("-", _) => ("standard input", Box::new(std::io::stdin())),
        (path, Ok(about)) if about.is_dir() => {
            let problem = "is a folder; expected a file of lines, or - for standard input";
            return Err(Error::file(path, problem).into());
        }
        // Pipes are read as they are written.
        (path, Ok(about)) if about.is_file() && about.len() > 0 => {
            let (reader, note) = open_utf8(Path::new(path), encoding)?;
            note.into_iter().for_each(|note| note!("{}", translated(&note)));
            (path, reader)
        }
        (path, _) => (path, Box::new(File::open(path).map_err(|error| Error::file(path, error))?)),
    };
    Ok(InputLines::new(name, reader))
}
