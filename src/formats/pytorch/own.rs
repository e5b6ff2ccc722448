//! A file that this program exported: its metadata has the configuration, which no shape shows.

use std::path::Path;

use rnn_zoo_models::{ModelConfig, Nonlinearity, Readout, RecurrentConfig};

use crate::bundle::Config;
use crate::error::json_problem;
use crate::formats::format::{ImportOptions, Imported};
use crate::formats::vocabulary;
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// Return the network of the configuration `text`, with the parameters of the file at `path`.
///
/// # Errors
/// If the configuration is damaged, the tokenizer is missing, or an option contradicts the configuration.
pub(super) fn import(
    path: &Path,
    text: &str,
    mut parameters: NamedTensors,
    options: &ImportOptions,
) -> Result<Imported> {
    let config: Config = serde_json::from_str(text).map_err(|error| {
        let problem = json_problem(&error);
        Error::file(path, format!("has no valid configuration in its metadata: {problem}; export it again"))
    })?;
    check_options(&config, options)?;
    if let ModelConfig::Rnnlm(network) = &config.network
        && network.tied
    {
        parameters.remove("decoder.weight"); // the embedding under its second name
    }
    let mut notes = vec![];
    let tokenizer = match (&config.tokenizer, config.network.vocabulary_size()) {
        (Some(_), Some(rows)) => Some(vocabulary::tokenizer(path, options, rows, &mut notes)?),
        _ => None,
    };
    let Config { task, network, mut labels, mut schema, text_column, .. } = config;
    if options.labels.is_some() {
        labels = vocabulary::labels(options, labels.len())?;
        schema = task.schema_of_texts(&labels);
    }
    Ok(Imported { task, network, parameters, tokenizer, labels, schema, text_column, stored: None, notes })
}

/// Refuse options that contradict the configuration.
fn check_options(config: &Config, options: &ImportOptions) -> Result<()> {
    let readout = match &config.network {
        ModelConfig::Predictor(network) => Some(network.readout),
        _ => None,
    };
    let is_relu = match config.network.rnn() {
        RecurrentConfig::SimpleRnn(config) => config.cell.nonlinearity == Nonlinearity::Relu,
        _ => false,
    };
    let problem = "the file, an export of this program, tells it; leave it out";
    let refused = [
        (!options.names.is_empty(), Error::invalid("names", problem)),
        (options.task.is_some_and(|task| task.name() != config.task.name()), Error::invalid("task", problem)),
        (
            options.readout != Readout::Last && Some(options.readout) != readout,
            Error::invalid("readout", problem),
        ),
        (options.nonlinearity == Nonlinearity::Relu && !is_relu, Error::invalid("nonlinearity", problem)),
        (options.labels.is_some() && config.labels.is_empty(), Error::invalid("labels", problem)),
    ];
    match refused.into_iter().find(|(is_refused, _)| *is_refused) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}
