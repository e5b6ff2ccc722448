//! A file of another framework as a bundle.

use std::path::Path;

use candle_core::DType;
use rnn_zoo_models::{ModelConfig, RecurrentConfig};

use super::compare::is_finite;
use super::format::{Format, ImportOptions, Imported};
use super::registry::recognised;
use crate::bundle::{BundleWriter, Config, Contents, ConvertedFrom, FORMAT};
use crate::parameter_shapes::ParameterShapes;
use crate::parameters::NamedTensors;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// The result of a conversion.
#[derive(Debug)]
pub struct Converted {
    /// The format of the file.
    pub format: &'static dyn Format,
    /// The configuration of the bundle.
    pub config: Config,
    /// The number of scalars in all parameters together.
    pub parameters: u64,
    /// Remarks for the user, one line each.
    pub notes: Vec<String>,
}

/// Convert a file of any format to a bundle at `out`. `command` is the command line that asks for it, for
/// `config.json`. An existing bundle is replaced with `force` alone.
///
/// # Errors
/// If the file is of no known format, damaged, or describes no network of this program; a value is NaN or infinite; an
/// option is missing; or the bundle exists or cannot be written.
pub fn convert(
    path: &Path,
    out: &Path,
    options: &ImportOptions,
    command: &str,
    force: bool,
) -> Result<Converted> {
    let format = recognised(path)?;
    let mut writer = BundleWriter::create_for(out, force, false)?; // before the tensors are read
    let found = format.import(path, options).map_err(|error| match error {
        Error::Message(problem) => Error::file(path, problem),
        error => error,
    })?;
    check(&found.network, &found.parameters).map_err(|problem| Error::file(path, problem))?;
    let file = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
    let converted_from = ConvertedFrom { format: format.name().to_string(), file };
    let Imported { task, network, parameters, tokenizer, labels, schema, text_column, stored, notes } = found;
    let config = Config {
        format: FORMAT,
        model: cell(network.rnn()).to_string(),
        task,
        network,
        tokenizer: tokenizer.as_ref().map(Tokenizer::scheme),
        labels,
        text_column,
        schema,
        data: None,
        converted_from: Some(converted_from),
        stored,
        dtype: DType::F32,
        zoo_version: env!("CARGO_PKG_VERSION").to_string(),
        created_with: command.to_string(),
    };
    writer.save(&Contents {
        config: &config,
        weights: &parameters,
        tokenizer: tokenizer.as_ref().map(Tokenizer::to_json).transpose()?.as_deref(),
        readme: &card(&config, format),
        curve: None,
        training: None,
    })?;
    let parameters = parameters.values().map(|tensor| tensor.elem_count() as u64).sum();
    Ok(Converted { format, config, parameters, notes })
}

/// Return the problem with the parameters of a network: names, shapes, dtypes and values.
fn check(network: &ModelConfig, parameters: &NamedTensors) -> Result<(), String> {
    let shapes = ParameterShapes::of(network).map_err(|error| error.to_string())?;
    let found = parameters.iter().map(|(name, tensor)| (name.as_str(), (tensor.dims(), tensor.dtype())));
    shapes.check(&found.collect())?;
    let broken = parameters.iter().find(|(_, tensor)| !is_finite(tensor).unwrap_or(false));
    broken.map_or(Ok(()), |(name, _)| {
        Err(format!(
            "tensor {name} holds NaN or infinity; use a checkpoint from before the training diverged"
        ))
    })
}

/// Return the name of a kind of cell, which is the name of a model of one network around it.
fn cell(rnn: &RecurrentConfig) -> &'static str {
    match rnn {
        RecurrentConfig::SimpleRnn(_) => "simple-rnn",
        RecurrentConfig::Lstm(_) => "lstm",
        RecurrentConfig::Gru(_) => "gru",
    }
}

/// Return the model card.
fn card(config: &Config, format: &dyn Format) -> String {
    let Config { model, task, zoo_version, created_with, converted_from, .. } = config;
    let file = converted_from.as_ref().map_or("", |from| &from.file);
    let summary = format.summary();
    format!(
        "# {model} ({task})\n\nConverted by rnn-zoo {zoo_version} from `{file}` ({summary}) with\n\n    {created_with}\n"
    )
}
