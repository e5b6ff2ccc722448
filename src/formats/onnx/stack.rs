//! Recurrent stacks as the operators RNN, LSTM and GRU, one for each layer with both directions.
//!
//! | ours, PyTorch's | ONNX |
//! |---|---|
//! | (batch, time, features) | (time, batch, features) |
//! | LSTM gates i, f, g, o | i, o, f, c |
//! | GRU gates r, z, n | z, r, h |
//! | GRU reset after the product | `linear_before_reset = 1` |
//! | `bias_ih`, `bias_hh` | one `B` with both, one after the other |

use candle_core::Tensor;
use rnn_zoo_models::{Merge, Nonlinearity, RecurrentConfig, Reset};

use super::graph::{Graph, Value, int, ints, word, words};
use super::proto::Attribute;
use crate::{Error, Result};

/// The gates of an LSTM in the order of ONNX, as indices into ours.
pub(super) const LSTM_GATES: [usize; 4] = [0, 3, 1, 2];

/// The gates of a GRU in the order of ONNX, as indices into ours.
pub(super) const GRU_GATES: [usize; 3] = [1, 0, 2];

/// The input of a stack.
pub(super) struct Input {
    /// (batch, time, features).
    pub(super) xs: Value,
    /// The steps of each sequence, (batch) in i32; all if `None`.
    pub(super) lengths: Option<Value>,
    /// The state before the first step; zero if `None`.
    pub(super) state: Option<States>,
}

/// The state of a stack.
pub(super) struct States {
    /// (layers * directions, batch, hidden).
    pub(super) h: Value,
    /// The same, for an LSTM.
    pub(super) c: Option<Value>,
}

/// The results of a stack.
pub(super) struct Output {
    /// (batch, time, output), zero past a sequence's length.
    pub(super) ys: Value,
    /// The last output of each direction, (batch, output).
    pub(super) last: Value,
    /// The state after each sequence's own last step.
    pub(super) state: States,
}

/// Refuse a stack with parts that no operator of ONNX has.
///
/// # Errors
/// If the stack has layer normalisation, zoneout or a projection.
pub(super) fn check(config: &RecurrentConfig) -> Result<()> {
    let stack = config.stack();
    let projection = matches!(config, RecurrentConfig::Lstm(config) if config.cell.projection.is_some());
    let found = [
        (stack.layer_norm, "layer normalisation"),
        (stack.zoneout > 0., "zoneout, which mixes states outside training, too"),
        (projection, "a projection of its hidden state"),
    ];
    match found.into_iter().find(|(found, _)| *found) {
        None => Ok(()),
        Some((_, part)) => Err(Error::Message(format!(
            "the recurrent stack has {part}, which the operators RNN, LSTM and GRU of ONNX do not have; train a model \
             without it"
        ))),
    }
}

/// Add the stack `name` to a graph.
///
/// # Errors
/// As [`check`], and if a parameter is missing.
pub(super) fn stack(
    graph: &mut Graph<'_>,
    name: &str,
    config: &RecurrentConfig,
    input: Input,
) -> Result<Output> {
    check(config)?;
    let options = config.stack();
    let directions = options.directions();
    let lengths = input.lengths.unwrap_or(Value::none());
    let mut xs = graph.transpose(&input.xs, &[1, 0, 2]); // (time, batch, features)
    let mut last = xs.clone();
    let (mut hidden, mut cells) = (vec![], vec![]);
    for layer in 0..options.num_layers {
        let [w, r, b] = weights(graph, name, config, layer)?;
        let rows = (layer * directions, (layer + 1) * directions);
        let initial = |graph: &mut Graph<'_>, state: Option<&Value>| match state {
            Some(state) => graph.slice(state, 0, rows), // (directions, batch, hidden)
            None => Value::none(),
        };
        let h = initial(graph, input.state.as_ref().map(|state| &state.h));
        let c = initial(graph, input.state.as_ref().and_then(|state| state.c.as_ref()));
        let attributes = attributes(config);
        let [ys, h] = match config {
            RecurrentConfig::SimpleRnn(_) => graph.ops("RNN", &[&xs, &w, &r, &b, &lengths, &h], attributes),
            RecurrentConfig::Gru(_) => graph.ops("GRU", &[&xs, &w, &r, &b, &lengths, &h], attributes),
            RecurrentConfig::Lstm(_) => {
                let inputs = [&xs, &w, &r, &b, &lengths, &h, &c];
                let [ys, h, c] = graph.ops("LSTM", &inputs, attributes);
                cells.push(c);
                [ys, h]
            }
        };
        xs = merge_steps(graph, options.bidirectional, options.hidden_size, &ys); // (time, batch, output)
        last = merge_last(graph, options.bidirectional, options.hidden_size, &h); // (batch, output)
        hidden.push(h);
    }
    let c = (!cells.is_empty()).then(|| graph.concat(&cells, 0));
    let state = States { h: graph.concat(&hidden, 0), c };
    Ok(Output { ys: graph.transpose(&xs, &[1, 0, 2]), last, state })
}

fn attributes(config: &RecurrentConfig) -> Vec<Attribute> {
    let stack = config.stack();
    let direction = if stack.bidirectional.is_some() { "bidirectional" } else { "forward" };
    let mut attributes = vec![int("hidden_size", stack.hidden_size as i64), word("direction", direction)];
    match config {
        RecurrentConfig::SimpleRnn(config) => {
            let name = if config.cell.nonlinearity == Nonlinearity::Relu { "Relu" } else { "Tanh" };
            attributes.push(words("activations", &vec![name; stack.directions()]));
        }
        RecurrentConfig::Gru(config) => {
            attributes.push(int("linear_before_reset", i64::from(config.cell.reset == Reset::After)));
        }
        RecurrentConfig::Lstm(_) => {}
    }
    attributes
}

/// Return the gates of a kind of cell in the order of ONNX.
pub(super) fn gates(config: &RecurrentConfig) -> &'static [usize] {
    match config {
        RecurrentConfig::SimpleRnn(_) => &[0],
        RecurrentConfig::Lstm(_) => &LSTM_GATES,
        RecurrentConfig::Gru(_) => &GRU_GATES,
    }
}

/// Return the suffix of a layer's parameters in each of its directions.
pub(super) fn suffixes(config: &RecurrentConfig, layer: usize) -> Vec<String> {
    let suffixes = [format!("l{layer}"), format!("l{layer}_reverse")];
    suffixes.into_iter().take(config.stack().directions()).collect()
}

/// Put the blocks of rows of each gate in another order, `order[i]` at place `i`.
pub(super) fn reorder(tensor: &Tensor, order: &[usize]) -> Result<Tensor> {
    let blocks = tensor.chunk(order.len(), 0)?;
    let blocks: Vec<&Tensor> = order.iter().map(|&gate| &blocks[gate]).collect();
    Ok(Tensor::cat(&blocks, 0)?)
}

/// Return the parameters of each direction of a layer, under our names without their suffix. W is (directions, gates *
/// hidden, input), R (directions, gates * hidden, hidden), B (directions, 2 * gates * hidden).
///
/// # Errors
/// If the rows are not those of the cell's gates.
pub(super) fn ours(
    config: &RecurrentConfig,
    w: &Tensor,
    r: &Tensor,
    b: Option<&Tensor>,
) -> Result<Vec<Vec<(&'static str, Tensor)>>> {
    let order = gates(config);
    // The place of each of our gates in the order of ONNX.
    let mut back = vec![0; order.len()];
    order.iter().enumerate().for_each(|(place, &gate)| back[gate] = place);
    let mut found = vec![("weight_ih", w.clone()), ("weight_hh", r.clone())];
    if let Some(b) = b {
        found.extend(["bias_ih", "bias_hh"].into_iter().zip(b.chunk(2, 1)?));
    }
    let of_direction = |direction: usize| {
        let parts = found.iter().map(|(kind, tensor)| {
            let tensor = tensor.get(direction)?;
            let rows = tensor.chunk(back.len(), 0)?.len();
            if rows != back.len() {
                return Err(Error::Message(format!("has {rows} gates; expected {}", back.len())));
            }
            Ok((*kind, reorder(&tensor, &back)?.contiguous()?))
        });
        parts.collect::<Result<Vec<_>>>()
    };
    (0..w.dim(0)?).map(of_direction).collect()
}

/// Add W (directions, gates * hidden, input), R (directions, gates * hidden, hidden) and B (directions, 2 * gates *
/// hidden) of a layer.
fn weights(graph: &mut Graph<'_>, name: &str, config: &RecurrentConfig, layer: usize) -> Result<[Value; 3]> {
    let suffixes = suffixes(config, layer);
    let of_kind = |graph: &Graph<'_>, kind: &str| -> Result<Tensor> {
        let parts = suffixes
            .iter()
            .map(|suffix| reorder(&graph.tensor(&format!("{name}.{kind}_{suffix}"))?, gates(config)));
        Ok(Tensor::stack(&parts.collect::<Result<Vec<_>>>()?, 0)?)
    };
    let [w, r] = [of_kind(graph, "weight_ih")?, of_kind(graph, "weight_hh")?];
    let w = graph.matrix(&format!("{name}.W_l{layer}"), &w)?;
    let r = graph.matrix(&format!("{name}.R_l{layer}"), &r)?;
    if !config.stack().bias {
        return Ok([w, r, Value::none()]);
    }
    let both = Tensor::cat(&[of_kind(graph, "bias_ih")?, of_kind(graph, "bias_hh")?], 1)?;
    Ok([w, r, graph.constant(&format!("{name}.B_l{layer}"), &both)?])
}

/// Merge the directions of (time, directions, batch, hidden).
fn merge_steps(graph: &mut Graph<'_>, merge: Option<Merge>, hidden: usize, ys: &Value) -> Value {
    match merge {
        Some(Merge::Concat) => {
            let ys = graph.transpose(ys, &[0, 2, 1, 3]); // (time, batch, directions, hidden)
            graph.reshape(&ys, &[0, 0, 2 * hidden as i64])
        }
        _ => merge_directions(graph, merge, ys, 1),
    }
}

/// Merge the directions of (directions, batch, hidden).
fn merge_last(graph: &mut Graph<'_>, merge: Option<Merge>, hidden: usize, h: &Value) -> Value {
    match merge {
        Some(Merge::Concat) => {
            let h = graph.transpose(h, &[1, 0, 2]); // (batch, directions, hidden)
            graph.reshape(&h, &[0, 2 * hidden as i64])
        }
        _ => merge_directions(graph, merge, h, 0),
    }
}

/// Reduce the axis of the directions.
fn merge_directions(graph: &mut Graph<'_>, merge: Option<Merge>, value: &Value, axis: i64) -> Value {
    let kept = || vec![ints("axes", &[axis]), int("keepdims", 0)];
    match merge {
        None | Some(Merge::Concat) => graph.squeeze(value, axis),
        Some(Merge::Sum) => {
            let axes = graph.integers(&[axis]); // an input since opset 13, unlike those of the others
            graph.op_with("ReduceSum", &[value, &axes], vec![int("keepdims", 0)])
        }
        Some(Merge::Mul) => graph.op_with("ReduceProd", &[value], kept()),
        Some(Merge::Ave) => graph.op_with("ReduceMean", &[value], kept()),
    }
}
