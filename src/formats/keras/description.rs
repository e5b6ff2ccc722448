//! A network as the layers of a `Sequential` model, with the arrays of each.

use candle_core::Tensor;
use rnn_zoo_models::{Merge, ModelConfig, Nonlinearity, Readout, RecurrentConfig, Reset};
use serde_json::{Value, json};

use super::archive::Group;
use super::gates;
use super::layer::Cell;
use crate::bundle::Config;
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// A model in Keras's terms.
pub(super) struct Description {
    /// The layers of its configuration.
    pub(super) layers: Vec<Value>,
    pub(super) groups: Vec<Group>,
}

/// Describe a network.
///
/// # Errors
/// If the network has parts that Keras's layers do not have.
pub(super) fn describe(config: &Config, parameters: &NamedTensors) -> Result<Description> {
    let rnn = config.network.rnn();
    check(rnn)?;
    let mut writer = Writer { parameters, layers: vec![], groups: vec![] };
    writer.inputs(&config.network)?;
    let readout = match &config.network {
        ModelConfig::Rnnlm(_) => Readout::Every,
        ModelConfig::Predictor(network) => network.readout,
        ModelConfig::Tagger(network) => {
            if network.characters.is_some() || !network.columns.is_empty() {
                return Err(refused("the tagger reads characters or further columns"));
            }
            if network.crf {
                return Err(refused("the tagger has a conditional random field"));
            }
            Readout::Every
        }
        ModelConfig::Translator(_) | ModelConfig::Forecaster(_) => {
            return Err(Error::Message(format!(
                "the network is that of {}, which is not exported to Keras",
                config.task
            )));
        }
    };
    writer.stack(rnn, readout != Readout::Last)?;
    match readout {
        Readout::Every | Readout::Last => {}
        Readout::Mean => writer.plain("GlobalAveragePooling1D", "mean"),
        Readout::Max => writer.plain("GlobalMaxPooling1D", "max"),
        Readout::Attention => return Err(refused("the classifier has attention")),
    }
    writer.outputs()?;
    Ok(Description { layers: writer.layers, groups: writer.groups })
}

/// Refuse a stack with parts that Keras's layers do not have.
fn check(rnn: &RecurrentConfig) -> Result<()> {
    let stack = rnn.stack();
    let projects = matches!(rnn, RecurrentConfig::Lstm(config) if config.cell.projection.is_some());
    let found = [
        (stack.layer_norm, "layer normalisation"),
        (stack.zoneout > 0., "zoneout, which mixes states outside training, too"),
        (projects, "a projection"),
    ];
    match found.into_iter().find(|(found, _)| *found) {
        None => Ok(()),
        Some((_, part)) => Err(refused(&format!("the recurrent stack has {part}"))),
    }
}

fn refused(part: &str) -> Error {
    Error::Message(format!("{part}, which the layers of Keras do not have; train a model without it"))
}

struct Writer<'p> {
    parameters: &'p NamedTensors,
    layers: Vec<Value>,
    groups: Vec<Group>,
}

impl Writer<'_> {
    fn parameter(&self, name: &str) -> Result<&Tensor> {
        let found = self.parameters.get(name);
        found.ok_or_else(|| Error::Message(format!("the network has no {name}; copy the bundle again")))
    }

    /// Add a layer without arrays.
    fn plain(&mut self, class: &str, name: &str) {
        self.layers.push(layer(class, &json!({ "name": name })));
    }

    fn group(&mut self, path: String, name: &str, arrays: Vec<Tensor>) {
        self.groups.push(Group { path, name: name.to_string(), arrays });
    }

    /// Add the input and the embedding.
    fn inputs(&mut self, network: &ModelConfig) -> Result<()> {
        let input = |shape: Value, dtype: &str, name: &str| {
            layer("InputLayer", &json!({ "batch_shape": shape, "dtype": dtype, "name": name }))
        };
        if network.vocabulary_size().is_none() {
            let features = network.rnn().stack().input_size;
            self.layers.push(input(json!([null, null, features]), "float32", "features"));
            return Ok(());
        }
        let matrix = self.parameter("encoder.weight")?.clone();
        let (rows, width) = matrix.dims2()?;
        self.layers.push(input(json!([null, null]), "int32", "tokens"));
        let options =
            json!({ "name": "embedding", "input_dim": rows, "output_dim": width, "mask_zero": false });
        self.layers.push(layer("Embedding", &options));
        self.group("layers/embedding".to_string(), "embedding", vec![matrix]);
        Ok(())
    }

    /// Add the recurrent layers, the last of which returns all outputs with `sequences`.
    fn stack(&mut self, rnn: &RecurrentConfig, sequences: bool) -> Result<()> {
        let stack = rnn.stack();
        let (class, group, cell) = kind(rnn);
        for number in 0..stack.num_layers {
            let name = match number {
                0 => group.to_string(),
                number => format!("{group}_{number}"),
            };
            let mut options = json!({
                "name": name,
                "units": stack.hidden_size,
                "use_bias": stack.bias,
                "return_sequences": sequences || number + 1 < stack.num_layers,
                "activation": "tanh",
            });
            match cell {
                Cell::Simple(Nonlinearity::Relu) => options["activation"] = json!("relu"),
                Cell::Simple(Nonlinearity::Tanh) => {}
                Cell::Lstm => options["recurrent_activation"] = json!("sigmoid"),
                Cell::Gru(reset) => {
                    options["recurrent_activation"] = json!("sigmoid");
                    options["reset_after"] = json!(reset == Reset::After);
                }
            }
            let Some(merge) = stack.bidirectional else {
                self.layers.push(layer(class, &options));
                let arrays = self.direction(number, "", stack.bias, cell)?;
                self.group(format!("layers/{name}/cell"), &format!("{group}_cell"), arrays);
                continue;
            };
            let both = match number {
                0 => "bidirectional".to_string(),
                number => format!("bidirectional_{number}"),
            };
            let merge = match merge {
                Merge::Concat => "concat",
                Merge::Sum => "sum",
                Merge::Mul => "mul",
                Merge::Ave => "ave",
            };
            let options = json!({ "name": both, "merge_mode": merge, "layer": layer(class, &options) });
            self.layers.push(layer("Bidirectional", &options));
            for (part, suffix) in [("forward_layer", ""), ("backward_layer", "_reverse")] {
                let arrays = self.direction(number, suffix, stack.bias, cell)?;
                self.group(format!("layers/{both}/{part}/cell"), &format!("{group}_cell"), arrays);
            }
        }
        Ok(())
    }

    /// Return the arrays of a layer in one direction.
    fn direction(&self, number: usize, suffix: &str, bias: bool, cell: Cell) -> Result<Vec<Tensor>> {
        let parameter = |name: &str| self.parameter(&format!("rnn.{name}_l{number}{suffix}"));
        let mut arrays = vec![
            gates::kernel(parameter("weight_ih")?, cell)?,
            gates::kernel(parameter("weight_hh")?, cell)?,
        ];
        if bias {
            arrays.push(gates::bias(parameter("bias_ih")?, parameter("bias_hh")?, cell)?);
        }
        Ok(arrays)
    }

    /// Add the output layer, and the projection before it.
    fn outputs(&mut self) -> Result<()> {
        let mut group = "dense";
        if let Some(projection) = self.parameters.get("projection.weight") {
            let kernel = projection.t()?.contiguous()?;
            self.dense(group, "projection", vec![kernel])?;
            group = "dense_1";
        }
        // A language model with tied ends has one matrix.
        let weight = self.parameters.get("decoder.weight");
        let weight = weight.map_or_else(|| self.parameter("encoder.weight"), Ok)?;
        let arrays = vec![weight.t()?.contiguous()?, self.parameter("decoder.bias")?.clone()];
        self.dense(group, "outputs", arrays)
    }

    fn dense(&mut self, group: &str, name: &str, arrays: Vec<Tensor>) -> Result<()> {
        let units = arrays[0].dim(1)?;
        let options =
            json!({ "name": name, "units": units, "use_bias": arrays.len() > 1, "activation": "linear" });
        self.layers.push(layer("Dense", &options));
        self.group(format!("layers/{group}"), name, arrays);
        Ok(())
    }
}

/// Return the class of a stack's layers, the name of its group in a file of weights, and its cell.
fn kind(rnn: &RecurrentConfig) -> (&'static str, &'static str, Cell) {
    match rnn {
        RecurrentConfig::SimpleRnn(config) => {
            ("SimpleRNN", "simple_rnn", Cell::Simple(config.cell.nonlinearity))
        }
        RecurrentConfig::Lstm(_) => ("LSTM", "lstm", Cell::Lstm),
        RecurrentConfig::Gru(config) => ("GRU", "gru", Cell::Gru(config.cell.reset)),
    }
}

/// Return the configuration of a layer.
fn layer(class: &str, options: &Value) -> Value {
    json!({ "module": "keras.layers", "class_name": class, "config": options, "registered_name": null })
}
