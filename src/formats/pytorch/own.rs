//! A file that this program exported: its metadata has the configuration, which no shape shows.

use std::path::Path;

use rnn_zoo_models::{ModelConfig, Nonlinearity, Readout, RecurrentConfig};

use crate::bundle::Config;
use crate::error::json_problem;
use crate::formats::compare::are_same;
use crate::formats::format::{ImportOptions, Imported};
use crate::formats::{own_config, vocabulary};
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
    let mut config: Config = serde_json::from_str(text).map_err(|error| {
        let problem = json_problem(&error);
        Error::file(path, format!("has no valid configuration in its metadata: {problem}; export it again"))
    })?;
    check_options(&config, options)?;
    if let ModelConfig::Rnnlm(network) = &config.network
        && network.tied
    {
        // The embedding under its second name.
        let second = parameters.remove("decoder.weight");
        if let (Some(second), Some(embedding)) = (second, parameters.get("encoder.weight"))
            && !are_same(&second, embedding)?
        {
            let problem = "has a decoder.weight that is not encoder.weight, but the network has tied weights; make them equal";
            return Err(Error::file(path, problem));
        }
    }
    if options.labels.is_some() {
        config.labels = vocabulary::labels(options, config.labels.len())?;
        config.schema = config.task.schema_of_texts(&config.labels);
    }
    config.stored = None; // the file holds floats
    own_config::imported(path, config, parameters, options)
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
    let problem = "the file, an export of this program, stores it; leave it out";
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
