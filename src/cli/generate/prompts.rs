//! The prompts, from the command line, a file or standard input.

use std::fs::File;
use std::io::Read;

use anyhow::Result;
use rnn_zoo::Error;
use rnn_zoo::tokenizer::fold_line_ends;

use super::args::Args;
use crate::cli::flags::usage;

/// The most bytes of prompts.
const LARGEST: u64 = 64 << 20;

impl Args {
    /// The prompts as typed, at least one.
    pub(super) fn prompts(&self) -> Result<Vec<String>> {
        let Some(path) = &self.prompts else {
            return Ok(vec![match self.prompt.as_str() {
                "-" => standard_input("--prompt -")?,
                text => text.to_string(),
            }]);
        };
        let text = match path.as_os_str() == "-" {
            true => standard_input("--prompts -")?,
            false => File::open(path)
                .and_then(text_of)
                .map_err(|error| Error::file(path, format!("cannot be read as text: {error}")))?,
        };
        if text.is_empty() {
            let name =
                if path.as_os_str() == "-" { "standard input".into() } else { path.display().to_string() };
            return Err(usage("--prompts", format!("{name} is empty; expected a prompt a line")));
        }
        // Some editors put a byte-order mark in front.
        let text = fold_line_ends(text.trim_start_matches('\u{feff}'));
        Ok(text.lines().map(str::to_string).collect())
    }
}

/// Read standard input to its end; `flag` is for the error.
fn standard_input(flag: &str) -> Result<String> {
    text_of(std::io::stdin())
        .map_err(|error| usage(flag, format!("standard input cannot be read as text: {error}")))
}

/// Read text of at most [`LARGEST`] bytes. The input may be a pipe, or a device without an end.
fn text_of(input: impl Read) -> std::io::Result<String> {
    let mut bytes = vec![];
    input.take(LARGEST + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > LARGEST {
        return Err(std::io::Error::other(format!("it has more than {LARGEST} bytes")));
    }
    String::from_utf8(bytes)
        .map_err(|error| std::io::Error::other(format!("not UTF-8: {}", error.utf8_error())))
}
