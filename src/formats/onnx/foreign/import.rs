//! A graph of another program as a network.

use std::path::Path;

use prost::bytes::Bytes;
use rnn_zoo_models::{Nonlinearity, Readout};

use super::interpret::Interpreter;
use super::network::{ImportedNetwork, network as network_of, scores};
use super::recurrent::RecurrentLayer;
use super::value::Scores;
use crate::formats::ends::{Ends, TextNetwork, check_effect, task};
use crate::formats::format::{ImportOptions, Imported};
use crate::formats::onnx::decode::model;
use crate::formats::onnx::proto::{Graph, Model};
use crate::tasks::{Classify, Lm, Tag, Task};
use crate::{Error, Result};

/// Read the network of a model of another program. `path` is that of its file.
///
/// # Errors
/// If the graph has operators that no network of this program has, tensors are damaged, or an option is missing or has
/// no effect.
pub(in super::super) fn import(path: &Path, model: &Model, options: &ImportOptions) -> Result<Imported> {
    check_options(options)?;
    let file = |problem: String| Error::file(path, problem);
    let graph = model.graph.as_ref().ok_or_else(|| file("has no graph; export it again".to_string()))?;
    let mut interpreter = Interpreter::run(path, model, graph).map_err(file)?;
    let scores = results(&mut interpreter, graph).map_err(file)?;
    let ImportedNetwork { rnn, readout, vocabulary: rows, outputs, tied, mut parameters, notes } =
        network_of(&interpreter, &scores)?;
    let bidirectional = rnn.stack().bidirectional.is_some();
    let ends = Ends { vocabulary: rows, outputs, tied, crf: false };
    let task = match readout {
        Some(readout) => classifier(options, readout)?,
        None => of_steps(options, &ends, bidirectional)?,
    };
    check_effect(options, task)?;
    // Only a language model is stored with one matrix for both.
    if tied && task.name() != Lm.name() {
        let matrix = parameters["encoder.weight"].clone();
        parameters.insert("decoder.weight".to_string(), matrix);
    }
    let readout = readout.unwrap_or(Readout::Every);
    TextNetwork { task, ends, rnn, readout, parameters, notes }.imported(path, options)
}

/// Return the recurrent layers of a model, in the order of its operators. `path` is that of its file.
///
/// # Errors
/// If the bytes are no ONNX model, or a recurrent layer has parts that our cells do not have.
pub fn recurrent_layers(path: &Path, bytes: &[u8]) -> Result<Vec<RecurrentLayer>> {
    let file = |problem: String| Error::file(path, problem);
    let model = model(Bytes::copy_from_slice(bytes)).map_err(file)?;
    let graph = model.graph.as_ref().ok_or_else(|| file("has no graph; export it again".to_string()))?;
    let mut interpreter = Interpreter::run(path, &model, graph).map_err(file)?;
    for output in &graph.output {
        interpreter.understood(output.name()).map_err(file)?;
    }
    Ok(interpreter.layers.into_iter().map(|layer| layer.layer).collect())
}

fn results<'g>(interpreter: &mut Interpreter<'g>, graph: &'g Graph) -> Result<std::rc::Rc<Scores>, String> {
    scores(interpreter, graph.output.iter().map(|output| output.name()))
}

/// Refuse options for what a graph shows by itself.
fn check_options(options: &ImportOptions) -> Result<()> {
    let problem = "the ONNX graph defines it; leave it out";
    let refused = [
        (!options.names.is_empty(), Error::invalid("names", problem)),
        (options.nonlinearity != Nonlinearity::Tanh, Error::invalid("nonlinearity", problem)),
        (options.readout != Readout::Last, Error::invalid("readout", problem)),
    ];
    match refused.into_iter().find(|(given, _)| *given) {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// Return the task of a network with one vector of outputs for a text.
fn classifier(options: &ImportOptions, readout: Readout) -> Result<&'static dyn Task> {
    match options.task {
        Some(task) if task.name() != Classify.name() => {
            let (name, readout) = (task.name(), format!("{readout:?}").to_lowercase());
            let problem = format!(
                "{name} networks have outputs for every word; this one has one vector for a text ({readout}), as \
                 classifiers have"
            );
            Err(Error::invalid("task", problem))
        }
        _ => Ok(&Classify),
    }
}

/// Return the task of a network with outputs for every step.
fn of_steps(options: &ImportOptions, ends: &Ends, bidirectional: bool) -> Result<&'static dyn Task> {
    match options.task {
        Some(task) if task.name() == Classify.name() => {
            let problem =
                "classifiers have one vector of outputs for a text; this network has outputs for every word";
            Err(Error::invalid("task", problem))
        }
        None if ends.outputs != ends.vocabulary || bidirectional => Ok(&Tag),
        Some(task_given) if task_given.name() == Tag.name() => Ok(&Tag),
        _ => task(options, &Ends { ..*ends }, bidirectional),
    }
}
