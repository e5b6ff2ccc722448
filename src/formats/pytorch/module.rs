//! The Python file that defines a network as a PyTorch module and loads its parameters.

use std::fmt::Write;

use rnn_zoo_models::{Merge, ModelConfig, Nonlinearity, Readout, RecurrentConfig, Reset};

use crate::bundle::Config;
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// Return a Python file whose `model` is the network with the parameters of the file called `name` beside it.
///
/// # Errors
/// If the network has parts that PyTorch's layers do not have.
pub(super) fn module(config: &Config, parameters: &NamedTensors, name: &str) -> Result<String> {
    let rnn = config.network.rnn();
    check(rnn)?;
    let parts = parts(config, parameters)?;
    let name = serde_json::to_string(name).map_err(|error| Error::Message(error.to_string()))?;
    let Parts { layers, arguments, forward } = parts;
    let layers: String = layers.iter().map(|line| format!("        {line}\n")).collect();
    let forward: String = forward.iter().map(|line| format!("        {line}\n")).collect();
    let task = config.task;
    let version = env!("CARGO_PKG_VERSION");
    let mut python = format!("\"\"\"{} ({task}), exported by rnn-zoo {version}.", config.model);
    // Writing to a String cannot fail.
    let _ = write!(
        python,
        " `model` has its parameters.\"\"\"\n\n\
         from pathlib import Path\n\n\
         import torch\n\
         from safetensors.torch import load_file\n\n\n\
         class Model(torch.nn.Module):\n    \
             def __init__(self):\n        \
                 super().__init__()\n\
                 {layers}\n    \
             def forward(self, {arguments}):\n\
                 {forward}\n\n\
         model = Model().eval()\n\
         model.load_state_dict(load_file(Path(__file__).parent / {name}))\n"
    );
    if !config.labels.is_empty() {
        let labels =
            serde_json::to_string(&config.labels).map_err(|error| Error::Message(error.to_string()))?;
        let _ = writeln!(python, "labels = {labels}");
    }
    Ok(python)
}

/// Refuse a stack with parts that PyTorch's layers do not have.
fn check(rnn: &RecurrentConfig) -> Result<()> {
    let stack = rnn.stack();
    let before = matches!(rnn, RecurrentConfig::Gru(config) if config.cell.reset == Reset::Before);
    let found = [
        (stack.layer_norm, "layer normalisation"),
        (stack.zoneout > 0., "zoneout, which mixes states outside training, too"),
        (before, "a reset gate before the product"),
        (
            stack.bidirectional.is_some_and(|merge| merge != Merge::Concat),
            "a merge of directions that is not a concatenation",
        ),
    ];
    match found.into_iter().find(|(found, _)| *found) {
        None => Ok(()),
        Some((_, part)) => Err(refused(&format!("the recurrent stack has {part}"))),
    }
}

fn refused(part: &str) -> Error {
    Error::Message(format!("{part}, which the layers of PyTorch do not have; train a model without it"))
}

/// The lines of a module that differ between networks.
struct Parts {
    layers: Vec<String>,
    arguments: &'static str,
    forward: Vec<String>,
}

fn parts(config: &Config, parameters: &NamedTensors) -> Result<Parts> {
    let sizes = |name: &str| parameters.get(name).map_or(&[][..], candle_core::Tensor::dims);
    let matrix = |name: &str| match sizes(name) {
        &[rows, columns] => Ok((rows, columns)),
        _ => Err(Error::Message(format!("the network has no matrix {name}; copy the bundle again"))),
    };
    let (tokens, features) = match config.network.vocabulary_size() {
        Some(_) => matrix("encoder.weight")?,
        None => {
            let problem = "the network reads numbers; only networks that read tokens are exported to PyTorch, this one \
                           to ONNX";
            return Err(Error::Message(problem.into()));
        }
    };
    let rnn = recurrent(config.network.rnn());
    let mut layers =
        vec![format!("self.encoder = torch.nn.Embedding({tokens}, {features})"), format!("self.rnn = {rnn}")];
    let linear = |layers: &mut Vec<String>| -> Result<()> {
        let (outputs, width) = matrix("decoder.weight")?;
        layers.push(format!("self.decoder = torch.nn.Linear({width}, {outputs})"));
        Ok(())
    };
    match &config.network {
        ModelConfig::Rnnlm(network) => {
            let mut hidden = "ys";
            if let &[embedding, output] = sizes("projection.weight") {
                layers.push(format!("self.projection = torch.nn.Linear({output}, {embedding}, bias=False)"));
                hidden = "self.projection(ys)";
            }
            match network.tied {
                true => {
                    layers.push(format!("self.decoder = torch.nn.Linear({features}, {tokens})"));
                    layers.push("self.decoder.weight = self.encoder.weight".to_string());
                }
                false => linear(&mut layers)?,
            }
            let forward = vec![
                "ys, state = self.rnn(self.encoder(tokens), state)  # (batch, time, output)".to_string(),
                format!("return self.decoder({hidden}), state  # scores of the next token"),
            ];
            Ok(Parts { layers, arguments: "tokens, state=None", forward })
        }
        ModelConfig::Predictor(network) => {
            linear(&mut layers)?;
            let forward = readout(network.readout, config.network.rnn())?;
            let arguments = if network.readout == Readout::Every { "tokens" } else { "tokens, lengths" };
            Ok(Parts { layers, arguments, forward })
        }
        ModelConfig::Tagger(network) => {
            if network.characters.is_some() || !network.columns.is_empty() {
                return Err(refused("the tagger reads characters or further columns"));
            }
            linear(&mut layers)?;
            if network.crf {
                layers.push("self.crf = torch.nn.ParameterDict()  # scores of sequences of tags".to_string());
                let tags = network.outputs;
                for (name, shape) in [
                    ("start_transitions", tags.to_string()),
                    ("transitions", format!("{tags}, {tags}")),
                    ("end_transitions", tags.to_string()),
                ] {
                    layers.push(format!("self.crf[\"{name}\"] = torch.zeros({shape})"));
                }
            }
            Ok(Parts { layers, arguments: "tokens, lengths", forward: steps() })
        }
        ModelConfig::Translator(_) | ModelConfig::Forecaster(_) => Err(Error::Message(format!(
            "the network is that of {}, which is not exported to PyTorch",
            config.task
        ))),
    }
}

/// Return the Python expression of a stack.
fn recurrent(rnn: &RecurrentConfig) -> String {
    let (class, further) = match rnn {
        RecurrentConfig::SimpleRnn(config) if config.cell.nonlinearity == Nonlinearity::Relu => {
            ("RNN", ", nonlinearity=\"relu\"".to_string())
        }
        RecurrentConfig::SimpleRnn(_) => ("RNN", String::new()),
        RecurrentConfig::Gru(_) => ("GRU", String::new()),
        RecurrentConfig::Lstm(config) => {
            ("LSTM", config.cell.projection.map_or(String::new(), |size| format!(", proj_size={size}")))
        }
    };
    let stack = rnn.stack();
    let mut arguments =
        format!("{}, {}, num_layers={}", stack.input_size, stack.hidden_size, stack.num_layers);
    if !stack.bias {
        arguments.push_str(", bias=False");
    }
    if stack.bidirectional.is_some() {
        arguments.push_str(", bidirectional=True");
    }
    format!("torch.nn.{class}({arguments}{further}, batch_first=True)")
}

/// Return the lines that run the stack over sequences of the given lengths, whose padding the backward direction must
/// not read, into `ys` and `state`.
fn run() -> Vec<String> {
    [
        "xs = torch.nn.utils.rnn.pack_padded_sequence(",
        "    self.encoder(tokens), lengths, batch_first=True, enforce_sorted=False",
        ")",
        "ys, state = self.rnn(xs)",
    ]
    .map(String::from)
    .to_vec()
}

/// Return the lines of `forward` with scores of every step.
fn steps() -> Vec<String> {
    let mut lines = run();
    lines.push("ys, _ = torch.nn.utils.rnn.pad_packed_sequence(ys, batch_first=True)".to_string());
    lines.push("return self.decoder(ys)  # (batch, time, outputs)".to_string());
    lines
}

/// Return the lines of `forward` with scores of what a readout reads.
fn readout(readout: Readout, rnn: &RecurrentConfig) -> Result<Vec<String>> {
    const UNPACK: &str = "ys, lengths = torch.nn.utils.rnn.pad_packed_sequence(ys, batch_first=True)";
    const INSIDE: &str = "inside = (torch.arange(ys.shape[1]) < lengths[:, None])[:, :, None]  # not padding";
    let lines: &[&str] = match readout {
        Readout::Every => {
            return Ok(["ys, _ = self.rnn(self.encoder(tokens))", "return self.decoder(ys)"]
                .map(String::from)
                .to_vec());
        }
        Readout::Last => {
            let state = if matches!(rnn, RecurrentConfig::Lstm(_)) { "state[0]" } else { "state" };
            let last = match rnn.stack().bidirectional {
                Some(_) => format!("last = torch.cat([{state}[-2], {state}[-1]], 1)"),
                None => format!("last = {state}[-1]"),
            };
            let mut lines = run();
            lines.extend([last, "return self.decoder(last)  # (batch, outputs)".to_string()]);
            return Ok(lines);
        }
        Readout::Mean => &[UNPACK, INSIDE, "return self.decoder((ys * inside).sum(1) / lengths[:, None])"],
        Readout::Max => &[UNPACK, INSIDE, "return self.decoder(ys.masked_fill(~inside, -torch.inf).amax(1))"],
        Readout::Attention => return Err(refused("the classifier has attention")),
    };
    let mut all = run();
    all.extend(lines.iter().map(|line| (*line).to_string()));
    Ok(all)
}
