//! A network as safetensors under the names of a PyTorch module, with that module in a Python file beside them.

use std::collections::HashMap;
use std::path::Path;

use rnn_zoo_models::ModelConfig;

use super::module::module;
use super::tensors::CONFIG;
use crate::bundle::{Config, encode_with};
use crate::formats::format::NewFile;
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// Encode a network as `out`, which is named `STEM.safetensors` and has the configuration in its metadata, and
/// `STEM.py`.
///
/// # Errors
/// If `out` has another extension, or the network has parts that PyTorch's layers do not have.
pub(super) fn export(config: &Config, parameters: &NamedTensors, out: &Path) -> Result<Vec<NewFile>> {
    if out.extension().is_none_or(|extension| extension != "safetensors") {
        let problem = format!("is {}; expected a name that ends with .safetensors", out.display());
        return Err(Error::invalid("out", problem));
    }
    let name = out.file_name().unwrap_or_default().to_string_lossy();
    let python = module(config, parameters, &name)?;
    let mut parameters = parameters.clone();
    if let ModelConfig::Rnnlm(network) = &config.network
        && network.tied
    {
        // A state dict has the matrix under both names.
        let embedding = parameters.get("encoder.weight").cloned();
        parameters.extend(embedding.map(|matrix| ("decoder.weight".to_string(), matrix)));
    }
    let json = serde_json::to_string(config).map_err(|error| Error::Message(error.to_string()))?;
    let metadata = HashMap::from([(CONFIG.to_string(), json)]);
    let bytes = encode_with(&parameters, Some(metadata))?;
    Ok(vec![
        NewFile { path: out.to_path_buf(), bytes },
        NewFile { path: out.with_extension("py"), bytes: python.into_bytes() },
    ])
}
