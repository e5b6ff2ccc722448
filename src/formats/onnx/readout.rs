//! Readouts of a classifier: one vector of all steps.

use rnn_zoo_models::Readout;

use super::graph::{Graph, Value, int, ints};
use super::proto::Element;
use super::stack::Output;
use crate::Result;

/// Compute the vectors that the decoder reads: (batch, time, output) for [`Readout::Every`], else (batch, output).
/// `lengths` is (batch) in i32.
///
/// # Errors
/// If a parameter is missing.
pub(super) fn readout(
    graph: &mut Graph<'_>,
    readout: Readout,
    output: &Output,
    lengths: &Value,
) -> Result<Value> {
    let ys = &output.ys;
    Ok(match readout {
        Readout::Every => ys.clone(),
        Readout::Last => output.last.clone(),
        Readout::Mean => {
            let axes = graph.integers(&[1]);
            let sum = graph.op_with("ReduceSum", &[ys, &axes], vec![int("keepdims", 0)]);
            let steps = at_least_one(graph, lengths); // (batch)
            let steps = graph.op_with("Cast", &[&steps], vec![int("to", Element::Float as i64)]);
            let steps = graph.unsqueeze(&steps, 1);
            graph.op("Div", &[&sum, &steps])
        }
        Readout::Max => {
            let padding = graph.number(f32::NEG_INFINITY);
            let inside = inside(graph, ys, lengths);
            let inside = graph.unsqueeze(&inside, 2); // (batch, time, 1)
            let masked = graph.op("Where", &[&inside, ys, &padding]);
            graph.op_with("ReduceMax", &[&masked], vec![ints("axes", &[1]), int("keepdims", 0)])
        }
        Readout::Attention => attention(graph, ys, lengths)?,
    })
}

/// Compute the mean over the steps, weighted by additive attention.
fn attention(graph: &mut Graph<'_>, ys: &Value, lengths: &Value) -> Result<Value> {
    let keys = graph.linear("attention", ys)?;
    let keys = graph.op("Tanh", &[&keys]); // (batch, time, output)
    let vector = graph.parameter("attention.vector")?;
    let scores = graph.op("MatMul", &[&keys, &vector]); // (batch, time)
    let padding = graph.number(f32::NEG_INFINITY);
    let inside = inside(graph, ys, lengths);
    let scores = graph.op("Where", &[&inside, &scores, &padding]);
    let weights = graph.op_with("Softmax", &[&scores], vec![int("axis", 1)]);
    let weights = graph.unsqueeze(&weights, 1); // (batch, 1, time)
    let mean = graph.op("MatMul", &[&weights, ys]);
    Ok(graph.squeeze(&mean, 1))
}

/// Return whether a step belongs to its sequence, (batch, time). Sequences of length 0 keep their first step, whose
/// output is zero.
fn inside(graph: &mut Graph<'_>, ys: &Value, lengths: &Value) -> Value {
    let time = graph.op_with("Shape", &[ys], vec![int("start", 1), int("end", 2)]);
    let time = graph.squeeze(&time, 0);
    let (zero, one) = (graph.integer(0), graph.integer(1));
    let steps = graph.op("Range", &[&zero, &time, &one]); // (time)
    let lengths = at_least_one(graph, lengths);
    let lengths = graph.unsqueeze(&lengths, 1); // (batch, 1)
    graph.op("Less", &[&steps, &lengths])
}

/// Return the lengths in i64, those of 0 as 1.
fn at_least_one(graph: &mut Graph<'_>, lengths: &Value) -> Value {
    let lengths = graph.op_with("Cast", &[lengths], vec![int("to", Element::Int64 as i64)]);
    let one = graph.integer(1);
    graph.op("Max", &[&lengths, &one])
}
