//! The prompts, from the command line, a file or standard input.

use anyhow::Result;
use rnn_zoo::Error;

use super::args::Args;
use crate::cli::flags::usage;

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
            false => std::fs::read_to_string(path)
                .map_err(|error| Error::file(path, format!("cannot be read as text: {error}")))?,
        };
        if text.is_empty() {
            let problem = format!("{} is empty; expected a prompt a line", path.display());
            return Err(usage("--prompts", problem));
        }
        // Some editors put a byte-order mark in front.
        Ok(text.trim_start_matches('\u{feff}').lines().map(str::to_string).collect())
    }
}

/// Reads standard input to its end; `flag` is for the error.
fn standard_input(flag: &str) -> Result<String> {
    std::io::read_to_string(std::io::stdin())
        .map_err(|error| usage(flag, format!("standard input cannot be read as text: {error}")))
}
