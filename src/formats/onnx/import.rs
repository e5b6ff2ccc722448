//! ONNX files that this program wrote, as a configuration and parameters.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{Device, Tensor};
use prost::Message;
use rnn_zoo_models::{ModelConfig, RecurrentConfig};

use super::export::CONFIG;
use super::proto::{Element, Model, Tensor as Stored};
use super::stack::{gates, reorder, suffixes};
use crate::bundle::Config;
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// A model of an ONNX file.
#[derive(Debug)]
pub struct Decoded {
    /// The configuration of the bundle that was exported.
    pub config: Config,
    /// The parameters under their names of PyTorch, in f32.
    pub parameters: NamedTensors,
}

/// Decode a model that [`encode`](super::encode) has written. `path` is for errors.
///
/// # Errors
/// If the bytes are not such a model: cut short, of another program, or with tensors that are missing, named twice,
/// stored in another file, not finite, or whose size disagrees with their shape.
pub fn decode(path: &Path, bytes: &[u8]) -> Result<Decoded> {
    let file = |problem: String| Error::file(path, problem);
    let model = Model::decode(bytes)
        .map_err(|error| file(format!("is cut short or not an ONNX file: {error}; export it again")))?;
    let text = model.metadata().get(CONFIG).map(ToString::to_string);
    let text = text.ok_or_else(|| {
        let name = model.producer_name();
        file(format!("was written by {name:?}; expected a file that this program exported"))
    })?;
    let config: Config = serde_json::from_str(&text).map_err(|error| {
        file(format!("has no valid configuration in its metadata: {error}; export it again"))
    })?;
    let mut tensors = BTreeMap::new();
    for stored in model.graph.unwrap_or_default().initializer {
        if stored.data_type() != Element::Float || stored.name().contains('/') {
            continue; // a number of the graph, not a parameter
        }
        let name = stored.name().to_string();
        let tensor = tensor(&stored).map_err(|problem| file(format!("tensor {name} {problem}")))?;
        if tensors.insert(name.clone(), tensor).is_some() {
            return Err(file(format!("has two tensors of the name {name}; expected one; export it again")));
        }
    }
    for (name, rnn) in stacks(&config.network) {
        unpack(&mut tensors, &name, rnn).map_err(|error| file(error.to_string()))?;
    }
    Ok(Decoded { config, parameters: tensors })
}

/// Return the recurrent stacks of a network with the prefixes of their parameters.
fn stacks(network: &ModelConfig) -> Vec<(String, &RecurrentConfig)> {
    let mut stacks = vec![("rnn".to_string(), network.rnn())];
    if let ModelConfig::Tagger(config) = network
        && let Some(characters) = &config.characters
    {
        stacks.push(("characters.rnn".to_string(), &characters.rnn));
    }
    stacks
}

/// Replace the tensors W, R and B of a stack by its parameters.
fn unpack(tensors: &mut NamedTensors, name: &str, config: &RecurrentConfig) -> Result<()> {
    let order = gates(config);
    // The place of each of our gates in the order of ONNX.
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &gate)| back[gate] = place);
    for layer in 0..config.stack().num_layers {
        let mut take = |kind: &str, rank: usize| {
            let key = format!("{name}.{kind}_l{layer}");
            let tensor = tensors.remove(&key).filter(|tensor| tensor.rank() == rank);
            tensor
                .ok_or_else(|| Error::Message(format!("has no tensor {key} of rank {rank}; export it again")))
        };
        let mut found = vec![("weight_ih", take("W", 3)?), ("weight_hh", take("R", 3)?)];
        if config.stack().bias {
            let halves = take("B", 2)?.chunk(2, 1)?;
            found.extend(["bias_ih", "bias_hh"].into_iter().zip(halves));
        }
        for (direction, suffix) in suffixes(config, layer).into_iter().enumerate() {
            for (kind, tensor) in &found {
                let rows = tensor.get(direction)?.chunk(back.len(), 0)?.len();
                if rows != back.len() {
                    let problem =
                        format!("has {rows} gates in {name}, layer {layer}; expected {}", back.len());
                    return Err(Error::Message(problem));
                }
                let tensor = reorder(&tensor.get(direction)?, &back)?.contiguous()?;
                tensors.insert(format!("{name}.{kind}_{suffix}"), tensor);
            }
        }
    }
    Ok(())
}

/// Return the elements of a stored tensor. The error is the problem alone.
fn tensor(stored: &Stored) -> Result<Tensor, String> {
    if stored.data_location() != 0 {
        return Err("is in another file; expected its elements in this one".to_string());
    }
    let sizes = stored.dims.iter().map(|&size| usize::try_from(size).ok());
    let dims = sizes.collect::<Option<Vec<_>>>();
    let elements =
        dims.as_ref().and_then(|dims| dims.iter().try_fold(4_usize, |n, &size| n.checked_mul(size)));
    let (Some(dims), Some(bytes)) = (dims, elements) else {
        return Err(format!("has the shape {:?}; expected sizes from 0", stored.dims));
    };
    let raw = stored.raw_data();
    if raw.len() != bytes {
        return Err(format!("has {} bytes; its shape {dims:?} needs {bytes}; export it again", raw.len()));
    }
    let (words, _) = raw.as_chunks::<4>();
    let elements: Vec<f32> = words.iter().map(|&word| f32::from_le_bytes(word)).collect();
    if elements.iter().any(|element| !element.is_finite()) {
        return Err("holds NaN or infinity; expected finite numbers".to_string());
    }
    Tensor::from_vec(elements, dims, &Device::Cpu).map_err(|error| error.to_string())
}
