//! The prompts, from the command line, a file or standard input.

use anyhow::Result;
use rnn_zoo::Error;
use rnn_zoo::tokenizer::fold_line_ends;

use super::args::Args;
use crate::cli::flags::usage;
use crate::cli::input;
use crate::cli::texts::{STANDARD_INPUT, open_text};

/// The most bytes of prompts.
const LARGEST: u64 = 64 << 20;

impl Args {
    /// The prompts as typed, at least one.
    pub(super) fn prompts(&self) -> Result<Vec<String>> {
        let Some(path) = &self.prompts else {
            return Ok(vec![match self.prompt.as_str() {
                "-" => {
                    let text = standard_input("--prompt -")?;
                    let text = fold_line_ends(&text);
                    // The end of the last line, which most programs write.
                    text.strip_suffix('\n').unwrap_or(&text).to_string()
                }
                text => text.to_string(),
            }]);
        };
        let text = match path.as_os_str() == "-" {
            true => standard_input("--prompts -")?,
            false => input::text_of(open_text(path, self.encoding, "a file with a prompt a line")?, LARGEST)
                .map_err(|error| Error::file(path, format!("cannot be read as text: {error}")))?,
        };
        if text.is_empty() {
            let name =
                if path.as_os_str() == "-" { STANDARD_INPUT.into() } else { path.display().to_string() };
            return Err(usage("--prompts", format!("{name} is empty; expected a prompt a line")));
        }
        // Some editors put a byte-order mark in front.
        let text = fold_line_ends(text.trim_start_matches('\u{feff}'));
        Ok(text.lines().map(str::to_string).collect())
    }
}

/// Read standard input to its end; `flag` is for the error.
fn standard_input(flag: &str) -> Result<String> {
    input::text_of(std::io::stdin(), LARGEST)
        .map_err(|error| usage(flag, format!("standard input cannot be read as text: {error}")))
}
