//! Whole networks as graphs.

use rnn_zoo_models::{ModelConfig, PredictorConfig, Readout, RecurrentConfig, RnnlmConfig, TaggerConfig};

use super::forecaster::forecaster;
use super::graph::Dim::{Fixed, Free};
use super::graph::{Graph, Value};
use super::proto::Element;
use super::readout::readout;
use super::stack::{Input, States, stack};
use crate::{Error, Result};

/// Add a network to an empty graph, with its inputs and outputs.
///
/// # Errors
/// If the network is a translator, the stack has parts that no operator of ONNX has, or a parameter is missing.
pub(super) fn network(graph: &mut Graph<'_>, config: &ModelConfig) -> Result<()> {
    match config {
        ModelConfig::Rnnlm(config) => rnnlm(graph, config),
        ModelConfig::Predictor(config) => predictor(graph, config),
        ModelConfig::Tagger(config) => tagger(graph, config),
        ModelConfig::Forecaster(config) => forecaster(graph, config),
        ModelConfig::Translator(_) => Err(Error::Message(
            "a translator has no ONNX graph in this version; expected a language model, classifier, tagger or \
             forecaster"
                .to_string(),
        )),
    }
}

fn rnnlm(graph: &mut Graph<'_>, config: &RnnlmConfig) -> Result<()> {
    let tokens = tokens(graph);
    let xs = graph.embedding("encoder.weight", &tokens)?;
    let input = input(graph, xs, &config.rnn);
    let output = stack(graph, "rnn", &config.rnn, input)?;
    let hidden = match graph.has("projection.weight") {
        true => graph.linear("projection", &output.ys)?,
        false => output.ys,
    };
    let weight = if config.tied { "encoder.weight" } else { "decoder.weight" };
    let logits = graph.linear_of(&hidden, weight, "decoder.bias")?;
    let dims = [Free("batch"), Free("time"), Fixed(config.vocabulary_size)];
    graph.output("logits", &logits, &dims, "scores of the next token, before softmax");
    output_state(graph, &config.rnn, &output.state);
    Ok(())
}

fn predictor(graph: &mut Graph<'_>, config: &PredictorConfig) -> Result<()> {
    let xs = match config.vocabulary_size {
        Some(_) => {
            let tokens = tokens(graph);
            graph.embedding("encoder.weight", &tokens)?
        }
        None => {
            let dims = [Free("batch"), Free("time"), Fixed(config.rnn.stack().input_size)];
            graph.input("features", Element::Float, &dims, "numbers of each step, scaled as in training")
        }
    };
    let input = input(graph, xs, &config.rnn);
    let lengths = input.lengths.clone().unwrap_or(Value::none());
    let output = stack(graph, "rnn", &config.rnn, input)?;
    let hidden = readout(graph, config.readout, &output, &lengths)?;
    let logits = graph.linear("decoder", &hidden)?;
    let dims = [Free("batch"), Free("time"), Fixed(config.outputs)];
    let dims = if config.readout == Readout::Every { &dims[..] } else { &[dims[0], dims[2]] };
    graph.output("logits", &logits, dims, "scores of the classes, before softmax");
    output_state(graph, &config.rnn, &output.state);
    Ok(())
}

fn tagger(graph: &mut Graph<'_>, config: &TaggerConfig) -> Result<()> {
    let steps = [Free("batch"), Free("time")];
    let tokens = tokens(graph);
    let mut features = vec![graph.embedding("encoder.weight", &tokens)?];
    if let Some(characters) = &config.characters {
        features.push(spellings(graph, &characters.rnn)?);
    }
    for column in 0..config.columns.len() {
        let name = format!("columns.{column}");
        let values = graph.input(&name, Element::Int64, &steps, "values of a further column, by index");
        features.push(graph.embedding(&format!("{name}.weight"), &values)?);
    }
    let xs = graph.concat(&features, 2); // (batch, time, features)
    let input = input(graph, xs, &config.rnn);
    let output = stack(graph, "rnn", &config.rnn, input)?;
    let logits = graph.linear("decoder", &output.ys)?;
    let tags = Fixed(config.outputs);
    graph.output("logits", &logits, &[steps[0], steps[1], tags], "scores of the tags, before softmax or CRF");
    if config.crf {
        for (name, dims) in
            [("start_transitions", &[tags][..]), ("transitions", &[tags, tags]), ("end_transitions", &[tags])]
        {
            let value = graph.parameter(&format!("crf.{name}"))?;
            graph.output(name, &value, dims, "scores of the conditional random field");
        }
    }
    output_state(graph, &config.rnn, &output.state);
    Ok(())
}

/// Compute the features of each word from its characters, (batch, time, output).
fn spellings(graph: &mut Graph<'_>, config: &RecurrentConfig) -> Result<Value> {
    let (rows, int64) = (Free("spellings"), Element::Int64);
    let steps = [Free("batch"), Free("time")];
    let spellings = graph.input("spellings", int64, &steps, "row of `characters` that spells each word");
    let characters = graph.input("characters", int64, &[rows, Free("characters")], "characters by index");
    let counts = graph.input("character_counts", Element::Int32, &[rows], "characters of each spelling");
    let xs = graph.embedding("characters.encoder.weight", &characters)?;
    let input = Input { xs, lengths: Some(counts), state: None };
    let output = stack(graph, "characters.rnn", config, input)?;
    Ok(graph.op("Gather", &[&output.last, &spellings]))
}

/// Declare the tokens.
fn tokens(graph: &mut Graph<'_>) -> Value {
    graph.input("tokens", Element::Int64, &[Free("batch"), Free("time")], "tokens by index")
}

/// Declare the lengths and, for a stack of one direction, the state.
fn input(graph: &mut Graph<'_>, xs: Value, config: &RecurrentConfig) -> Input {
    let lengths = graph.input("lengths", Element::Int32, &[Free("batch")], "steps of each sequence");
    let stack = config.stack();
    if stack.bidirectional.is_some() {
        return Input { xs, lengths: Some(lengths), state: None };
    }
    let dims = [Fixed(stack.num_layers), Free("batch"), Fixed(stack.hidden_size)];
    let mut declare =
        |name: &str| graph.input(name, Element::Float, &dims, "state before the first step; zeros at first");
    let h = declare("h0");
    let c = matches!(config, RecurrentConfig::Lstm(_)).then(|| declare("c0"));
    Input { xs, lengths: Some(lengths), state: Some(States { h, c }) }
}

/// Declare the state after the last step, for a stack of one direction.
fn output_state(graph: &mut Graph<'_>, config: &RecurrentConfig, state: &States) {
    let stack = config.stack();
    if stack.bidirectional.is_some() {
        return;
    }
    let dims = [Fixed(stack.num_layers), Free("batch"), Fixed(stack.hidden_size)];
    let description = "state after the last step of each sequence";
    graph.output("hn", &state.h, &dims, description);
    if let Some(c) = &state.c {
        graph.output("cn", c, &dims, description);
    }
}
