//! ONNX files that this program wrote, as a configuration and parameters.

use std::path::Path;

use candle_core::{D, Tensor};
use prost::bytes::Bytes;
use rnn_zoo_models::{ModelConfig, RecurrentConfig};

use super::decode::model;
use super::export::CONFIG;
use super::graph::scales_name;
use super::proto::{Graph, Model};
use super::stack::{ours, suffixes};
use super::tensor::{Elements, Folder};
use crate::bundle::Config;
use crate::error::json_problem;
use crate::formats::compare::is_finite;
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
/// If the bytes are not such a model: cut short, of another program, or with tensors that are missing, named twice, not
/// finite, or whose size disagrees with their shape.
pub fn decode(path: &Path, bytes: &[u8]) -> Result<Decoded> {
    let model = model(Bytes::copy_from_slice(bytes)).map_err(|problem| Error::file(path, problem))?;
    own(path, &model)?.ok_or_else(|| {
        let name = model.producer_name();
        Error::file(path, format!("was written by {name:?}; expected a file that this program exported"))
    })
}

/// Return what a model holds that this program wrote; `None` for one of another program.
///
/// # Errors
/// As [`decode`].
pub(super) fn own(path: &Path, model: &Model) -> Result<Option<Decoded>> {
    let file = |problem: String| Error::file(path, problem);
    let Some(text) = model.metadata().get(CONFIG).map(ToString::to_string) else { return Ok(None) };
    let config: Config = serde_json::from_str(&text).map_err(|error| {
        let problem = json_problem(&error);
        file(format!("has no valid configuration in its metadata: {problem}; export it again"))
    })?;
    let mut parameters =
        model.graph.as_ref().map_or(Ok(NamedTensors::new()), |graph| tensors(path, graph)).map_err(file)?;
    for (name, rnn) in stacks(&config.network) {
        unpack(&mut parameters, &name, rnn).map_err(|error| file(error.to_string()))?;
    }
    Ok(Some(Decoded { config, parameters }))
}

/// Return the parameters in f32, those of layers as the operators have them.
fn tensors(path: &Path, graph: &Graph) -> Result<NamedTensors, String> {
    let folder = Folder::of(path);
    let mut tensors = NamedTensors::new();
    let mut integers = NamedTensors::new();
    for stored in graph.initializer.iter().filter(|stored| !stored.name().contains('/')) {
        let name = stored.name();
        let of_tensor = |problem: &str| format!("tensor {name} {problem}");
        let (named, tensor) = match folder.elements(stored).map_err(|problem| of_tensor(&problem))? {
            Elements::Floats(tensor) => (&mut tensors, tensor),
            Elements::Quantised(tensor) => (&mut integers, tensor),
            Elements::Integers(..) => return Err(of_tensor("has whole numbers; expected floats or int8")),
        };
        if !is_finite(&tensor).map_err(|error| Error::from(error).to_string())? {
            return Err(of_tensor("holds NaN or infinity; expected finite numbers"));
        }
        if named.insert(name.to_string(), tensor).is_some() {
            return Err(format!("has two tensors of the name {name}; expected one; export it again"));
        }
    }
    for (name, tensor) in integers {
        let scales = tensors.remove(&scales_name(&name));
        let scales =
            scales.filter(|scales| tensor.rank() > 0 && scales.dims() == &tensor.dims()[..tensor.rank() - 1]);
        let scales =
            scales.ok_or_else(|| format!("has no scales for the rows of tensor {name}; export it again"))?;
        let floats = scales.unsqueeze(D::Minus1).and_then(|scales| tensor.broadcast_mul(&scales));
        tensors.insert(name, floats.map_err(|error| Error::from(error).to_string())?);
    }
    Ok(tensors)
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

/// Replace the tensors W, R and B of a stack by its parameters. Those of int8 have the rows of both directions one
/// after another.
fn unpack(tensors: &mut NamedTensors, name: &str, config: &RecurrentConfig) -> Result<()> {
    let directions = config.stack().directions();
    for layer in 0..config.stack().num_layers {
        let mut take = |kind: &str, rank: usize| {
            let key = format!("{name}.{kind}_l{layer}");
            let tensor = match tensors.remove(&key) {
                Some(tensor) if tensor.rank() + 1 == rank && kind != "B" => {
                    Tensor::stack(&tensor.chunk(directions, 0)?, 0)?
                }
                Some(tensor) if tensor.rank() == rank => tensor,
                _ => {
                    return Err(Error::Message(format!(
                        "has no tensor {key} of rank {rank}; export it again"
                    )));
                }
            };
            match tensor.dim(0)? {
                found if found == directions => Ok(tensor),
                found => {
                    let problem =
                        format!("has {found} directions in {key}; expected {directions}; export it again");
                    Err(Error::Message(problem))
                }
            }
        };
        let (w, r) = (take("W", 3)?, take("R", 3)?);
        let b = config.stack().bias.then(|| take("B", 2)).transpose()?;
        let directions = ours(config, &w, &r, b.as_ref()).map_err(|error| match error {
            Error::Message(problem) => Error::Message(format!("{problem} in {name}, layer {layer}")),
            error => error,
        })?;
        for (suffix, parameters) in suffixes(config, layer).into_iter().zip(directions) {
            for (kind, tensor) in parameters {
                tensors.insert(format!("{name}.{kind}_{suffix}"), tensor);
            }
        }
    }
    Ok(())
}
