//! A bundle as an ONNX file, with its tokenizer beside it.

use std::path::{Path, PathBuf};

use candle_core::Device;
use prost::Message;

use super::graph::Graph;
use super::network::network;
use super::proto::{IR_VERSION, Model, OPSET, OperatorSet, Property};
use crate::bundle::{Config, load};
use crate::parameters::NamedTensors;
use crate::{Error, Result, atomic};

/// The largest size of a message of protocol buffers, in bytes.
const LARGEST: usize = 1 << 31;

/// The key of `config.json` in the metadata.
pub(super) const CONFIG: &str = "rnn_zoo.config";

/// Write the bundle at `path` as an ONNX file, and its tokenizer, if it has one, as `STEM.tokenizer.json` in the same
/// folder. Returns the files. Existing ones are replaced with `force` alone.
///
/// # Errors
/// If the bundle cannot be loaded, its network has parts that ONNX does not have, or a file exists or cannot be
/// written.
pub fn export(path: &Path, out: &Path, force: bool) -> Result<Vec<PathBuf>> {
    let loaded = load(path)?;
    let tokenizer = loaded.tokenizer_bytes()?;
    let mut files = vec![out.to_path_buf()];
    files.extend(tokenizer.is_some().then(|| out.with_extension("tokenizer.json")));
    if let Some(existing) = files.iter().find(|file| file.exists() && (!force || file.is_dir())) {
        let remedy = if existing.is_dir() {
            "is a folder; choose another option `out`"
        } else {
            "exists; set option `force` to replace it, or choose another option `out`"
        };
        return Err(Error::file(existing, remedy));
    }
    let parameters = loaded.read(&Device::Cpu)?.parameters;
    let bytes = encode(&loaded.config, &parameters).map_err(|error| Error::file(path, error))?;
    let contents = [Some(bytes), tokenizer].into_iter().flatten();
    for (file, bytes) in files.iter().zip(contents) {
        let written = atomic::write(file, &bytes);
        written.map_err(|error| Error::file(file, format!("cannot be written: {error}")))?;
    }
    Ok(files)
}

/// Encode a network as an ONNX model: its graph, its parameters in f32, and `config.json` in the metadata.
///
/// # Errors
/// If the network has parts that ONNX does not have, a parameter is missing, or all are larger than 2 GiB.
pub fn encode(config: &Config, parameters: &NamedTensors) -> Result<Vec<u8>> {
    let config = &Config { stored: None, ..config.clone() }; // the graph has them in f32, also those of int8
    let mut graph = Graph::new(&config.model, parameters);
    network(&mut graph, &config.network)?;
    let json = |value: serde_json::Result<String>| {
        value.map_err(|error| Error::Message(format!("the configuration is not JSON: {error}")))
    };
    let properties = [
        ("task", config.task.name().to_string()),
        ("labels", json(serde_json::to_string(&config.labels))?),
        (CONFIG, json(serde_json::to_string(config))?), // last: a file that is cut short has none
    ];
    let property = |(key, value): (&str, String)| Property { key: Some(key.to_string()), value: Some(value) };
    let model = Model {
        ir_version: Some(IR_VERSION),
        producer_name: Some("rnn-zoo".to_string()),
        producer_version: Some(env!("CARGO_PKG_VERSION").to_string()),
        graph: Some(graph.finish()),
        opset_import: vec![OperatorSet { domain: Some(String::new()), version: Some(OPSET) }],
        metadata_props: properties.into_iter().map(property).collect(),
    };
    let size = model.encoded_len();
    if size >= LARGEST {
        return Err(Error::Message(format!(
            "the network needs {size} bytes, but an ONNX file holds less than {LARGEST}; train a smaller model"
        )));
    }
    Ok(model.encode_to_vec())
}
