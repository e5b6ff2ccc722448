//! Forecasters as graphs.

use rnn_zoo_models::ForecasterConfig;

use super::graph::Dim::{Fixed, Free};
use super::graph::{Graph, Value, int};
use super::proto::Element;
use super::stack::{Input, States, stack};
use crate::Result;

/// Add a forecaster to an empty graph, with its inputs and outputs.
///
/// # Errors
/// If the stack has parts that no operator of ONNX has, or a parameter is missing.
pub(super) fn forecaster(graph: &mut Graph<'_>, config: &ForecasterConfig) -> Result<()> {
    let batch = Free("batch");
    let dims = [batch, Fixed(config.window), Fixed(config.channels)];
    let past = graph.input("past", Element::Float, &dims, "scaled value and features of each step");
    let known = [batch, Fixed(config.horizon), Fixed(config.known)];
    let future = (config.known > 0).then(|| {
        graph.input("future", Element::Float, &known, "features that are known for the steps of the forecast")
    });
    let vectors = match config.segment {
        Some(steps) => segments(graph, config, steps, (&past, future.as_ref()))?,
        None => direct(graph, config, (&past, future.as_ref()))?,
    }; // (batch, spans, features)
    let (outputs, locations) = (config.head.outputs(), config.head.locations());
    let decoded = graph.linear("decoder", &vectors)?;
    let decoded = graph.reshape(&decoded, &[0, -1, outputs as i64]);
    let mut found = graph.slice(&decoded, 1, (0, config.horizon));
    if config.linear {
        let share = linear(graph, &past)?; // (batch, horizon, 1)
        let located = graph.slice(&found, 2, (0, locations));
        let mut parts = vec![graph.op("Add", &[&located, &share])];
        if outputs > locations {
            parts.push(graph.slice(&found, 2, (locations, outputs)));
        }
        found = graph.concat(&parts, 2);
    }
    let dims = [batch, Fixed(config.horizon), Fixed(outputs)];
    graph.output("outputs", &found, &dims, "numbers of the head for each step, for scaled values");
    Ok(())
}

/// Compute the linear layer's share of each step from the values of the window, (batch, horizon, 1).
fn linear(graph: &mut Graph<'_>, past: &Value) -> Result<Value> {
    let values = graph.slice(past, 2, (0, 1));
    let values = graph.squeeze(&values, 2); // (batch, window)
    let share = graph.linear("linear", &values)?;
    Ok(graph.unsqueeze(&share, 2))
}

/// Compute the decoder's input from the whole window, (batch, 1, features).
fn direct(
    graph: &mut Graph<'_>,
    config: &ForecasterConfig,
    (past, future): (&Value, Option<&Value>),
) -> Result<Value> {
    let input = Input { xs: past.clone(), lengths: None, state: None };
    let mut parts = vec![stack(graph, "rnn", &config.rnn, input)?.last];
    if let Some(future) = future {
        parts.push(graph.op_with("Flatten", &[future], vec![int("axis", 1)]));
    }
    let vector = graph.concat(&parts, 1);
    Ok(graph.unsqueeze(&vector, 1))
}

/// Compute the decoder's input for each segment of the forecast, (batch, segments, features).
fn segments(
    graph: &mut Graph<'_>,
    config: &ForecasterConfig,
    steps: usize,
    (past, future): (&Value, Option<&Value>),
) -> Result<Value> {
    let options = config.rnn.stack();
    let [input, hidden] = [options.input_size, options.hidden_size].map(|size| size as i64);
    let count = config.horizon.div_ceil(steps);
    let cut = graph.reshape(past, &[0, (config.window / steps) as i64, (steps * config.channels) as i64]);
    let read = graph.linear("embedding", &cut)?;
    let xs = graph.op("Relu", &[&read]);
    let read = stack(graph, "rnn", &config.rnn, Input { xs, lengths: None, state: None })?;
    let queries = queries(graph, config, (steps, count), (past, future))?; // (batch, segments, input)
    let queries = graph.reshape(&queries, &[-1, 1, input]); // (batch * segments, 1, input)
    let mut repeat = |state: &Value| {
        let wide = graph.unsqueeze(state, 2);
        let shape = graph.integers(&[1, 1, count as i64, 1]);
        let wide = graph.op("Expand", &[&wide, &shape]);
        graph.reshape(&wide, &[0, -1, hidden]) // (layers, batch * segments, hidden)
    };
    let h = repeat(&read.state.h);
    let c = read.state.c.as_ref().map(repeat);
    let input = Input { xs: queries, lengths: None, state: Some(States { h, c }) };
    let found = stack(graph, "rnn", &config.rnn, input)?.last; // (batch * segments, output)
    Ok(graph.reshape(&found, &[-1, count as i64, hidden]))
}

/// Compute the input of the stack for each segment of the forecast, (batch, segments, input).
fn queries(
    graph: &mut Graph<'_>,
    config: &ForecasterConfig,
    (steps, count): (usize, usize),
    (past, future): (&Value, Option<&Value>),
) -> Result<Value> {
    let batch = graph.op_with("Shape", &[past], vec![int("start", 0), int("end", 1)]);
    let ones = graph.integers(&[1, 1]);
    let shape = graph.concat(&[batch, ones], 0);
    let position = graph.parameter("position.weight")?;
    let position = graph.unsqueeze(&position, 0);
    let mut parts = vec![graph.op("Expand", &[&position, &shape])]; // (batch, segments, features)
    if graph.has("series.weight") {
        let ids = graph.input("series", Element::Int64, &[Free("batch")], "series by index");
        let own = graph.embedding("series.weight", &ids)?;
        let own = graph.unsqueeze(&own, 1);
        let shape = graph.integers(&[1, count as i64, 1]);
        parts.push(graph.op("Expand", &[&own, &shape]));
    }
    let queries = graph.concat(&parts, 2);
    let Some(future) = future else { return Ok(queries) };
    let missing = steps * count - config.horizon;
    let pads = graph.integers(&[0, 0, 0, 0, missing as i64, 0]);
    let future = graph.op("Pad", &[future, &pads]);
    let future = graph.reshape(&future, &[0, count as i64, (steps * config.known) as i64]);
    let known = graph.linear("known", &future)?;
    Ok(graph.op("Add", &[&queries, &known]))
}
