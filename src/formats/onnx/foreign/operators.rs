//! The operators that are understood.

use std::rc::Rc;

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::Merge;

use super::call::{Call, Outcome, at, shortened};
use super::constant::{dequantised, is_zero, number, reason};
use super::interpret::{Interpreter, is_control, is_standard};
use super::linear::{biased, gemm, matmul, normalised};
use super::pick::Range;
use super::shaping::{concat, reshape, slice, split, squeeze, transpose, unsqueeze};
use super::size::Size;
use super::value::{Content, Flow, Kind, Value};
use crate::formats::onnx::proto::Element;
use crate::formats::onnx::tensor::MOST_INTEGERS;

impl Interpreter<'_> {
    /// Return the results of an operator. The error is the problem alone, as a sentence about the operator.
    pub(super) fn apply(&mut self, call: &Call<'_>) -> Result<Vec<Value>, String> {
        let node = call.node;
        if !is_standard(node.domain()) {
            return Err("is of no ONNX standard, and is not converted".to_string());
        }
        let value = match node.op_type() {
            "RNN" | "LSTM" | "GRU" => return self.recurrent(call),
            "Split" => return split(call),
            "Constant" => self.constant(call),
            "Gather" => self.gather(call),
            "Identity" => call.input(0).cloned(),
            "Dropout" => dropout(call),
            "Cast" => cast(call),
            "Shape" => shape(call),
            "ConstantOfShape" => constant_of_shape(call),
            "Expand" => expand(call),
            "Transpose" => transpose(call),
            "Squeeze" => squeeze(call),
            "Unsqueeze" => unsqueeze(call),
            "Reshape" | "Flatten" => reshape(call),
            "Slice" => slice(call),
            "Concat" => concat(call),
            "ReduceMean" | "ReduceMax" | "ReduceSum" | "ReduceProd" => reduce(call),
            "GlobalMaxPool" | "GlobalAveragePool" => pool(call),
            "DequantizeLinear" => dequantize(call),
            "MatMul" => matmul(call),
            "Gemm" => gemm(call),
            "Softmax" | "LogSoftmax" | "Sigmoid" => normalised(call),
            "Add" | "Sub" | "Mul" | "Div" => arithmetic(call),
            _ if is_control(node) => {
                Err("runs operators in a loop or a branch; expected recurrent layers as RNN, LSTM or GRU"
                    .to_string())
            }
            _ => Err("is not converted".to_string()),
        };
        Ok(vec![value?])
    }

    fn constant(&mut self, call: &Call<'_>) -> Outcome {
        let tensor = |values: Vec<f32>, dims: &[usize]| {
            let tensor = Tensor::from_vec(values, dims, &Device::Cpu);
            tensor.map(Value::Constant).map_err(reason)
        };
        match call.node.attribute.first() {
            Some(attribute) => match (attribute.name(), &attribute.t) {
                ("value", Some(stored)) => Ok(self.read(stored)),
                ("value_int", _) => Ok(Value::Integers(vec![Size::fixed(attribute.i())], 0)),
                ("value_ints", _) if attribute.ints.len() <= MOST_INTEGERS => {
                    Ok(Value::Integers(attribute.ints.iter().map(|&size| Size::fixed(size)).collect(), 1))
                }
                ("value_float", _) => tensor(vec![attribute.f()], &[]),
                (name, _) => Err(format!("has the attribute {}; expected a tensor", shortened(name))),
            },
            None => Err("has no value".to_string()),
        }
    }
}

/// Dropout changes nothing outside training.
fn dropout(call: &Call<'_>) -> Outcome {
    match call.optional(2) {
        None => call.input(0).cloned(),
        Some(Value::Quantised(trains)) if is_zero(trains) => call.input(0).cloned(),
        Some(_) => {
            Err("is in training mode; set the module to evaluation (model.eval()) and export it again"
                .to_string())
        }
    }
}

fn cast(call: &Call<'_>) -> Outcome {
    let to = call.int("to", 0);
    let dtype = match to {
        to if to == Element::Float as i64 => Some(DType::F32),
        to if to == Element::Float16 as i64 => Some(DType::F16),
        to if to == Element::Bfloat16 as i64 => Some(DType::BF16),
        to if to == Element::Double as i64 => Some(DType::F64),
        _ => None,
    };
    match (call.input(0)?, dtype) {
        (Value::Constant(tensor) | Value::Quantised(tensor), Some(dtype)) => {
            tensor.to_dtype(dtype).map(Value::Constant).map_err(reason)
        }
        // Floats of another width, or token numbers of another type.
        (value @ Value::Flow(flow), dtype) if dtype.is_some() || matches!(flow.content, Content::Input) => {
            Ok(value.clone())
        }
        (value @ Value::Zeros(_), _) | (value @ Value::Integers(..), None) => Ok(value.clone()),
        _ => Err("makes floats of whole numbers, or whole numbers of floats".to_string()),
    }
}

fn shape(call: &Call<'_>) -> Outcome {
    let sizes = match call.input(0)? {
        Value::Flow(flow) if !flow.is_state() => flow.sizes()?,
        Value::Constant(tensor) | Value::Quantised(tensor) => {
            tensor.dims().iter().map(|&size| Size::fixed(size as i64)).collect()
        }
        _ => return Err("reads the shape of a tensor whose shape is not known".to_string()),
    };
    let end = call.attribute("end").map(|end| Size::fixed(end.i()));
    let range = Range { start: Size::fixed(call.int("start", 0)), end };
    let (start, length) = range.bounds(sizes.len())?;
    Ok(Value::Integers(sizes[start..start + length].to_vec(), 1))
}

fn constant_of_shape(call: &Call<'_>) -> Outcome {
    let zeros = Value::Zeros(last_size(call, 0));
    match call.attribute("value").and_then(|value| value.t.as_ref()) {
        None => Ok(zeros),
        Some(value) => {
            let raw = value.raw_data.iter().flat_map(|raw| raw.iter()).all(|&byte| byte == 0);
            let floats =
                value.float_data.iter().all(|&x| x == 0.) && value.double_data.iter().all(|&x| x == 0.);
            let integers =
                value.int32_data.iter().all(|&x| x == 0) && value.int64_data.iter().all(|&x| x == 0);
            match raw && floats && integers && value.data_location.is_none_or(|place| place == 0) {
                true => Ok(zeros),
                false => Err("makes a tensor of numbers that are not zero".to_string()),
            }
        }
    }
}

/// Return the last of the sizes that the input at `place` holds, if it is the same in every call.
fn last_size(call: &Call<'_>, place: usize) -> Option<i64> {
    match call.optional(place) {
        Some(Value::Integers(sizes, 1)) => sizes.last().and_then(Size::number),
        _ => None,
    }
}

fn expand(call: &Call<'_>) -> Outcome {
    match call.input(0)? {
        // A size that is repeated to is at least 1.
        Value::Zeros(_) => Ok(Value::Zeros(last_size(call, 1).filter(|&size| size > 1))),
        Value::Constant(tensor) if is_zero(tensor) => {
            let own = tensor.dims().last().map(|&size| size as i64);
            let size = last_size(call, 1).max(own);
            Ok(Value::Zeros(size.filter(|&size| size > 1)))
        }
        _ => Err("repeats a tensor that is not zero".to_string()),
    }
}

fn reduce(call: &Call<'_>) -> Outcome {
    let flow = call.flow(0)?;
    let places = call.axes("axes", 1, flow.axes.len())?.filter(|places| !places.is_empty());
    let places = places.ok_or("reduces all dimensions")?;
    let reduced =
        places.iter().try_fold(flow.clone(), |flow, &place| flow.reduced(call.node.op_type(), place))?;
    Ok(Value::Flow(match call.int("keepdims", 1) {
        0 => reduced.squeezed(Some(&places))?,
        _ => reduced,
    }))
}

/// Pooling reduces all dimensions after the first two.
fn pool(call: &Call<'_>) -> Outcome {
    let flow = call.flow(0)?;
    let operator = if call.node.op_type() == "GlobalMaxPool" { "ReduceMax" } else { "ReduceMean" };
    let places = 2..flow.axes.len();
    places.into_iter().try_fold(flow.clone(), |flow, place| flow.reduced(operator, place)).map(Value::Flow)
}

fn dequantize(call: &Call<'_>) -> Outcome {
    let as_tensor = |value: &Value| match value {
        Value::Quantised(tensor) | Value::Constant(tensor) => Ok(tensor.clone()),
        Value::Integers(sizes, rank) => {
            let numbers: Option<Vec<f32>> =
                sizes.iter().map(|size| size.number().map(|size| size as f32)).collect();
            let numbers = numbers.ok_or("reads numbers that differ from call to call")?;
            let dims = if *rank == 0 { vec![] } else { vec![numbers.len()] };
            Tensor::from_vec(numbers, dims, &Device::Cpu).map_err(reason)
        }
        _ => Err("quantises activations; expected weights alone".to_string()),
    };
    let integers = as_tensor(call.input(0)?)?;
    let scale = call.constant(1)?.ok_or("has no scale")?;
    let zero_point = call.optional(2).map(as_tensor).transpose()?;
    let axis = if integers.rank() == 0 {
        0
    } else {
        at(call.int("axis", 1), integers.rank())
            .or_else(|problem| if scale.elem_count() == 1 { Ok(0) } else { Err(problem) })?
    };
    dequantised(&integers, scale, zero_point.as_ref(), axis).map(Value::Constant)
}

fn arithmetic(call: &Call<'_>) -> Outcome {
    let operator = call.node.op_type();
    match (call.input(0)?, call.input(1)?) {
        (Value::Integers(one, rank), Value::Integers(other, _))
            if one.len() == other.len() || other.len() == 1 =>
        {
            let pairs = one.iter().zip(other.iter().cycle());
            let found = pairs.map(|(one, other)| match operator {
                "Mul" => one.times(other),
                "Div" => one.divided_by(other),
                "Sub" => other.number().and_then(i64::checked_neg).and_then(|number| one.plus(number)),
                _ => match (one.number(), other.number()) {
                    (_, Some(number)) => one.plus(number),
                    (Some(number), None) => other.plus(number),
                    _ => None,
                },
            });
            let found =
                found.collect::<Option<Vec<_>>>().ok_or("computes sizes in a way that is not understood")?;
            Ok(Value::Integers(found, *rank))
        }
        (Value::Flow(one), Value::Flow(other)) if matches!(operator, "Add" | "Mul") => {
            let merge = if operator == "Add" { Merge::Sum } else { Merge::Mul };
            one.merged(other, merge).map(Value::Flow)
        }
        (Value::Flow(flow), Value::Constant(tensor)) => with_constant(operator, flow, tensor),
        (Value::Constant(tensor), Value::Flow(flow)) if operator != "Div" && operator != "Sub" => {
            with_constant(operator, flow, tensor)
        }
        _ => Err("computes with tensors in a way that is not converted".to_string()),
    }
}

/// A bias after a linear layer, or half of a sum of two directions.
fn with_constant(operator: &str, flow: &Flow, tensor: &Tensor) -> Outcome {
    let half = match operator {
        "Mul" => Some(0.5),
        "Div" => Some(2.),
        _ => None,
    };
    let mut flow = flow.clone();
    match &mut flow.content {
        Content::Scores(scores) if operator == "Add" => {
            *scores = Rc::new(biased(scores, tensor)?);
        }
        Content::Hidden(hidden) if half.is_some() && number(tensor) == half && hidden.kind != Kind::Cell => {
            for cell in &mut hidden.cells {
                if (cell.merge, cell.parts.len()) != (Merge::Sum, 2) {
                    return Err("scales outputs of a recurrent layer".to_string());
                }
                cell.merge = Merge::Ave;
            }
        }
        _ => {
            return Err(
                "computes with a tensor of the network and a constant, which is not converted".to_string()
            );
        }
    }
    Ok(Value::Flow(flow))
}
