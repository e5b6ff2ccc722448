//! The network of a graph: the layers between its outputs and its embedding.

use std::rc::Rc;

use candle_core::{D, DType, Device, Tensor};
use rnn_zoo_models::{Merge, Nonlinearity, Readout, RecurrentConfig};

use super::interpret::{Interpreter, Layer, Source};
use super::recurrent::Direction;
use super::value::{Content, Joined, Kind, Linear, Part, Scores, Value};
use crate::formats::compare::are_same;
use crate::formats::ends::{TWO_CLASSES, with_first_class};
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// A network whose layers are known.
pub(super) struct ImportedNetwork {
    pub(super) rnn: RecurrentConfig,
    /// The vectors that the output layer reads; `None` for every step.
    pub(super) readout: Option<Readout>,
    /// Rows of the embedding.
    pub(super) vocabulary: usize,
    /// Rows of the output layer.
    pub(super) outputs: usize,
    /// Whether the output layer uses the embedding.
    pub(super) tied: bool,
    pub(super) parameters: NamedTensors,
    /// Remarks for the user.
    pub(super) notes: Vec<String>,
}

/// Return the results that the outputs of a graph are. The error is the problem alone.
///
/// # Errors
/// If an output is not understood, or none or several are results of linear layers.
pub(super) fn scores<'g>(
    interpreter: &mut Interpreter<'g>,
    outputs: impl Iterator<Item = &'g str>,
) -> Result<Rc<Scores>, String> {
    let mut found: Option<Rc<Scores>> = None;
    for name in outputs {
        let flow = match interpreter.output(name) {
            Value::Unknown(problem) => return Err(problem_of(&problem)),
            Value::Flow(flow) => flow,
            _ => continue, // a constant
        };
        let Content::Scores(scores) = flow.content else { continue };
        let same = |other: &Scores| {
            let ids =
                |scores: &Scores| scores.linears.iter().map(|linear| linear.weight.id()).collect::<Vec<_>>();
            ids(other) == ids(&scores)
        };
        match &found {
            // Probabilities beside their scores.
            Some(other) if same(other) => {
                found = Some(if scores.sigmoid { scores } else { Rc::clone(other) });
            }
            Some(_) => {
                return Err(format!(
                    "has several results, {name:?} among them; networks with one output layer are converted"
                ));
            }
            None => found = Some(scores),
        }
    }
    found.ok_or_else(|| match interpreter.layers.is_empty() {
        true => "has no recurrent layer; expected the operators RNN, LSTM or GRU".to_string(),
        false => "has no output layer, a linear layer that reads the outputs of recurrent layers".to_string(),
    })
}

/// Begin a problem as a sentence about the file.
fn problem_of(problem: &str) -> String {
    match problem.starts_with("the operator") || problem.starts_with("tensor") {
        true => format!("has outputs that are not understood: {problem}"),
        false => problem.to_string(),
    }
}

/// Return the network of these results.
///
/// # Errors
/// If the layers below are no stack that this program has.
pub(super) fn network(interpreter: &Interpreter<'_>, scores: &Scores) -> Result<ImportedNetwork> {
    let Scores { hidden, linears, sigmoid, .. } = scores;
    let message = |problem: &str| Error::Message(problem.to_string());
    let readout = match hidden.kind {
        Kind::Steps => None,
        Kind::Read(readout) => Some(readout),
        Kind::Cell => return Err(message("has an output layer that reads cell states; expected outputs")),
        Kind::Step(_) => {
            return Err(message(
                "has an output layer that reads a direction at a step that is not its last; the backward direction ends \
                 at the first step",
            ));
        }
    };
    let top = hidden.cells.first().ok_or_else(|| message("has an output layer without inputs"))?;
    let mut notes = vec![];
    let (rnn, embedding, mut parameters) = stack(interpreter, top)?;
    let (tied, linear) = ends(&embedding, linears, &mut parameters)?;
    let (mut weight, mut bias) = (linear.weight.clone(), linear.bias.clone());
    if *sigmoid || weight.dim(0)? == 1 {
        weight = with_first_class(&weight)?;
        bias = bias.map(|bias| with_first_class(&bias)).transpose()?;
        let of_sigmoid =
            "the output with a sigmoid is made two classes; the first is that of probabilities near 0";
        notes.push(if *sigmoid { of_sigmoid } else { TWO_CLASSES }.to_string());
    }
    let outputs = weight.dim(0)?;
    if let [first, second] = top.parts[..]
        && top.merge == Merge::Concat
        && first.reverse
        && !second.reverse
    {
        // The backward direction is the second one here.
        weight = Tensor::cat(&weight.chunk(2, D::Minus1)?.into_iter().rev().collect::<Vec<_>>(), D::Minus1)?;
    }
    let bias = match bias {
        Some(bias) => bias,
        None => {
            notes.push("the output layer has no bias; one of zeros is added".to_string());
            Tensor::zeros(outputs, weight.dtype(), &Device::Cpu)?
        }
    };
    if !tied {
        parameters.insert("decoder.weight".to_string(), weight.contiguous()?);
    }
    parameters.insert("decoder.bias".to_string(), bias.contiguous()?);
    let vocabulary = embedding.dim(0)?;
    parameters.insert("encoder.weight".to_string(), embedding.contiguous()?);
    Ok(ImportedNetwork { rnn, readout, vocabulary, outputs, tied, parameters, notes })
}

/// Return whether the output layer is the embedding, after a projection if there is one, and the layer itself.
fn ends<'l>(
    embedding: &Tensor,
    linears: &'l [Linear],
    parameters: &mut NamedTensors,
) -> Result<(bool, &'l Linear)> {
    match linears {
        [linear] => Ok((are_same(&linear.weight, embedding)?, linear)),
        [projection, linear] if projection.bias.is_none() && are_same(&linear.weight, embedding)? => {
            parameters.insert("projection.weight".to_string(), projection.weight.contiguous()?);
            Ok((true, linear))
        }
        _ => Err(Error::Message(
            "has two linear layers after its recurrent ones; networks with one are converted".to_string(),
        )),
    }
}

/// One layer of a stack.
struct Level<'n> {
    /// The layers of its directions, forward first, with the direction's place in each.
    cells: Vec<(&'n Layer, Part)>,
    merge: Merge,
}

/// Return the stack whose outputs are `top`: its configuration, the embedding that it reads, and its parameters.
fn stack(interpreter: &Interpreter<'_>, top: &Joined) -> Result<(RecurrentConfig, Tensor, NamedTensors)> {
    let mut levels = vec![];
    let mut outputs = top.clone();
    let embedding = loop {
        let level = level(interpreter, &outputs, levels.is_empty())?;
        let source = level.cells[0].0.source.clone();
        levels.push(level);
        match source {
            Source::Outputs(below) => outputs = below,
            Source::Embedding(number) => break interpreter.embeddings[number].clone(),
            Source::Numbers => {
                let problem = "has no embedding: its recurrent layer reads numbers, and such networks are not converted";
                return Err(Error::Message(problem.to_string()));
            }
        }
    };
    levels.reverse();
    let mut config = levels[0].cells[0].0.layer.config.clone();
    let first = kind(&config);
    let bias =
        levels.iter().any(|level| level.cells.iter().any(|(layer, _)| layer.layer.config.stack().bias));
    let both = levels[0].cells.len() > 1;
    {
        let options = config.stack_mut();
        options.num_layers = levels.len();
        options.bidirectional = both.then_some(levels[0].merge);
        options.bias = bias;
    }
    let mut parameters = NamedTensors::new();
    for (number, level) in levels.iter().enumerate() {
        let name = &level.cells[0].0.name;
        let is_alike = level.cells.iter().all(|(layer, _)| kind(&layer.layer.config) == first);
        if !is_alike || level.cells.len() != levels[0].cells.len() || (both && level.merge != levels[0].merge)
        {
            return Err(Error::Message(format!(
                "has recurrent layers of different kinds, sizes or directions, {name} among them; stacks of one kind \
                 are converted"
            )));
        }
        for ((layer, part), end) in level.cells.iter().zip(["", "_reverse"]) {
            parameters.extend(of_direction(layer, *part, &format!("l{number}{end}"), bias)?);
        }
    }
    Ok((config, embedding, parameters))
}

/// Return the kind of cell, its size and its options, which all layers of a stack share.
fn kind(config: &RecurrentConfig) -> (&'static str, usize, String) {
    let size = config.stack().hidden_size;
    match config {
        RecurrentConfig::SimpleRnn(config) if config.cell.nonlinearity == Nonlinearity::Relu => {
            ("relu", size, String::new())
        }
        RecurrentConfig::SimpleRnn(_) => ("tanh", size, String::new()),
        RecurrentConfig::Lstm(_) => ("lstm", size, String::new()),
        RecurrentConfig::Gru(config) => ("gru", size, format!("{:?}", config.cell.reset)),
    }
}

/// Return the layers whose directions are joined. The top of a stack may have the backward direction first.
fn level<'n>(interpreter: &'n Interpreter<'_>, joined: &Joined, is_top: bool) -> Result<Level<'n>> {
    let mut parts = joined.parts.clone();
    if joined.merge != Merge::Concat || is_top {
        parts.sort_by_key(|part| part.reverse);
    }
    let cells: Vec<(&Layer, Part)> =
        parts.iter().map(|part| (&interpreter.layers[part.layer], *part)).collect();
    let directions: Vec<bool> = parts.iter().map(|part| part.reverse).collect();
    let name = cells.first().map_or("", |(layer, _)| &layer.name);
    let problem = match (&directions[..], &cells[..]) {
        ([false], _) => None,
        ([false, true], [(one, _), (other, _)]) if one.source == other.source => None,
        ([true], _) => Some("reads from the last step alone; expected the forward direction too"),
        _ => Some("is joined with others that are not its two directions"),
    };
    match problem {
        None => Ok(Level { cells, merge: joined.merge }),
        Some(problem) => {
            Err(Error::Message(format!("has recurrent layers that are no stack: {name} {problem}")))
        }
    }
}

/// Return the parameters of one direction of a layer, which end with `suffix`. If the stack has biases, so has each.
fn of_direction(layer: &Layer, part: Part, suffix: &str, bias: bool) -> Result<NamedTensors> {
    let parameters = &layer.layer.parameters;
    let end = match (layer.layer.direction, part.direction) {
        (Direction::Both, 1) => "l0_reverse",
        _ => "l0",
    };
    let mut found = NamedTensors::new();
    for kind in ["weight_ih", "weight_hh", "bias_ih", "bias_hh"] {
        let tensor = match parameters.get(&format!("{kind}_{end}")) {
            Some(tensor) => tensor.clone(),
            None if bias => {
                let rows = parameters.values().next().map_or(Ok(0), |weight| weight.dim(0))?;
                Tensor::zeros(rows, DType::F32, &Device::Cpu)?
            }
            None => continue,
        };
        found.insert(format!("rnn.{kind}_{suffix}"), tensor);
    }
    Ok(found)
}
