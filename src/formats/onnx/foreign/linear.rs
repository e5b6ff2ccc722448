//! Linear layers, and the functions after the last one.

use std::rc::Rc;

use candle_core::{D, Tensor};

use super::call::{Call, at};
use super::constant::reason;
use super::value::{Axis, Content, Flow, Linear, Scores, Value};

/// The version of the operators in which Softmax normalises one dimension, not all from one on.
const ONE_DIMENSION: i64 = 13;

/// MatMul of a tensor of the network and a matrix (input, output).
pub(super) fn matmul(call: &Call<'_>) -> Result<Value, String> {
    let matrix = match call.input(1)? {
        Value::Constant(tensor) if tensor.rank() == 2 => tensor,
        _ => return Err("multiplies by something else than a constant matrix".to_string()),
    };
    let weight = matrix.t().map_err(reason)?;
    linear(call.flow(0)?, Linear { weight, bias: None })
}

/// Gemm of a tensor of the network and a matrix, with a bias.
pub(super) fn gemm(call: &Call<'_>) -> Result<Value, String> {
    let scale = |name| call.attribute(name).map_or(1., |value| value.f());
    let bias = call.constant(2)?;
    if scale("alpha") != 1. || (bias.is_some() && scale("beta") != 1.) || call.int("transA", 0) != 0 {
        return Err("scales or transposes what it reads".to_string());
    }
    let matrix = call.constant(1)?.filter(|matrix| matrix.rank() == 2);
    let matrix = matrix.ok_or("multiplies by something else than a constant matrix")?;
    let weight = match call.int("transB", 0) {
        0 => matrix.t().map_err(reason)?,
        _ => matrix.clone(),
    };
    let bias = bias.map(|bias| fitting(bias, &weight)).transpose()?;
    linear(call.flow(0)?, Linear { weight, bias })
}

/// Apply a linear layer to the last dimension of a tensor.
fn linear(flow: &Flow, layer: Linear) -> Result<Value, String> {
    let (outputs, inputs) = layer.weight.dims2().map_err(reason)?;
    let scores = match &flow.content {
        Content::Hidden(hidden) if hidden.cells.len() == 1 => {
            Scores { hidden: hidden.clone(), linears: vec![layer], sigmoid: false, normalised: false }
        }
        Content::Scores(scores) if !scores.normalised => {
            let linears = [&scores.linears[..], &[layer]].concat();
            if linears.len() > 2 {
                return Err(
                    "is a third linear layer; expected at most two, a projection and the output layer"
                        .to_string(),
                );
            }
            Scores { linears, ..(**scores).clone() }
        }
        _ => {
            return Err("is no output layer, as it does not read the outputs of recurrent layers".to_string());
        }
    };
    if flow.features() != Some(inputs) {
        return Err(format!(
            "multiplies by a matrix of {inputs} rows, which are not the features of its input"
        ));
    }
    let mut axes = flow.axes.clone();
    if let Some(last) = axes.last_mut() {
        *last = Axis::Features(outputs);
    }
    Ok(Value::Flow(Flow { content: Content::Scores(Rc::new(scores)), axes }))
}

/// Add a bias to the last linear layer.
pub(super) fn biased(scores: &Scores, bias: &Tensor) -> Result<Scores, String> {
    let mut scores = scores.clone();
    let last = scores.linears.last_mut().filter(|last| last.bias.is_none() && !scores.normalised);
    let last = last.ok_or("adds a constant to the results of the network")?;
    last.bias = Some(fitting(bias, &last.weight)?);
    Ok(scores)
}

/// Return a bias as a vector with an element for each output of `weight`.
fn fitting(bias: &Tensor, weight: &Tensor) -> Result<Tensor, String> {
    let outputs = weight.dim(0).unwrap_or_default();
    let is_row = bias.dims().iter().rev().skip(1).all(|&size| size == 1);
    match is_row && bias.elem_count() == outputs {
        true => bias.flatten_all().map_err(reason),
        false => Err(format!("adds a bias of shape {:?} to {outputs} outputs", bias.dims())),
    }
}

/// Return the number of results.
fn outputs(scores: &Scores) -> Option<usize> {
    scores.linears.last().and_then(|last| last.weight.dim(D::Minus2).ok())
}

/// Softmax, its logarithm or a sigmoid over the results, which networks of this program apply by themselves.
pub(super) fn normalised(call: &Call<'_>) -> Result<Value, String> {
    let mut flow = call.flow(0)?.clone();
    let Content::Scores(scores) = &mut flow.content else {
        return Err("is applied to another tensor than the results of the network".to_string());
    };
    if scores.normalised {
        return Err("normalises probabilities once more; expected a single softmax or sigmoid".to_string());
    }
    let rank = flow.axes.len();
    let sigmoid = call.node.op_type() == "Sigmoid";
    if sigmoid {
        if outputs(scores) != Some(1) {
            return Err("gives each output a probability of its own; expected a softmax over all".to_string());
        }
    } else if flow.axes.last() != Some(&Axis::Features(outputs(scores).unwrap_or_default()))
        || at(call.int("axis", if call.opset < ONE_DIMENSION { 1 } else { -1 }), rank)? + 1 != rank
    {
        return Err("normalises another dimension than the last one".to_string());
    }
    *scores = Rc::new(Scores { sigmoid, normalised: true, ..(**scores).clone() });
    Ok(Value::Flow(flow))
}
