//! A file that this program exported: its configuration, which the file holds, as a network.

use std::path::Path;

use super::format::{ImportOptions, Imported};
use super::vocabulary;
use crate::Result;
use crate::bundle::Config;
use crate::parameters::NamedTensors;

/// Return the network of `config` with the parameters of the file at `path`. A network that reads text has the tokens
/// that the options name.
///
/// # Errors
/// If the tokens are missing or cannot be read.
pub(super) fn imported(
    path: &Path,
    config: Config,
    parameters: NamedTensors,
    options: &ImportOptions,
) -> Result<Imported> {
    let mut notes = vec![];
    let tokenizer = match (&config.tokenizer, config.network.vocabulary_size()) {
        (Some(_), Some(rows)) => Some(vocabulary::tokenizer(path, options, rows, &mut notes)?),
        _ => None,
    };
    let Config { task, network, labels, schema, text_column, stored, .. } = config;
    Ok(Imported { task, network, parameters, tokenizer, labels, schema, text_column, stored, notes })
}
