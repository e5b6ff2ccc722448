//! A bundle's network as an ONNX file.

use prost::Message;

use super::graph::Graph;
use super::network::network;
use super::proto::{IR_VERSION, Model, OPSET, OperatorSet, Property};
use crate::bundle::{Config, Quantisation};
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// The largest size of a message of protocol buffers, in bytes.
const LARGEST: usize = 1 << 31;

/// The key of `config.json` in the metadata.
pub(super) const CONFIG: &str = "rnn_zoo.config";

/// Encode a network as an ONNX model: its graph, its parameters in f32 or, if the bundle stores
/// them so, in int8, and `config.json` in the metadata.
///
/// # Errors
/// If the network has parts that ONNX does not have, a parameter is missing, or all are larger than 2 GiB.
pub fn encode(config: &Config, parameters: &NamedTensors) -> Result<Vec<u8>> {
    let mut graph = Graph::new(&config.model, parameters, config.stored == Some(Quantisation::Int8));
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
