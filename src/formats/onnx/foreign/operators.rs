//! The operators that are understood.

use std::rc::Rc;

use candle_core::{DType, Tensor};
use rnn_zoo_models::Merge;

use super::call::{Call, at};
use super::constant::{dequantised, is_zero, narrowed, number, reason};
use super::interpret::{Interpreter, is_control, is_standard};
use super::pick::Range;
use super::size::Size;
use super::value::{Axis, Content, Flow, Kind, Value};
use crate::formats::onnx::proto::Element;

type Outcome = Result<Value, String>;

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
            "MatMul" => super::linear::matmul(call),
            "Gemm" => super::linear::gemm(call),
            "Softmax" | "LogSoftmax" | "Sigmoid" => super::linear::normalised(call),
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
            let tensor = Tensor::from_vec(values, dims, &candle_core::Device::Cpu);
            tensor.map(Value::Constant).map_err(reason)
        };
        match call.node.attribute.first() {
            Some(attribute) => match (attribute.name(), &attribute.t) {
                ("value", Some(stored)) => Ok(self.read(stored)),
                ("value_int", _) => Ok(Value::Integers(vec![Size::fixed(attribute.i())], 0)),
                ("value_ints", _) => {
                    Ok(Value::Integers(attribute.ints.iter().map(|&size| Size::fixed(size)).collect(), 1))
                }
                ("value_float", _) => tensor(vec![attribute.f()], &[]),
                (name, _) => Err(format!("has the attribute {name}; expected a tensor")),
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
        Some(_) => Err("acts, as in training; export the network in evaluation".to_string()),
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
        (value @ (Value::Flow(_) | Value::Zeros), _) | (value @ Value::Integers(..), None) => {
            Ok(value.clone())
        }
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
    match call.attribute("value").and_then(|value| value.t.as_ref()) {
        None => Ok(Value::Zeros),
        Some(value) => {
            let raw = value.raw_data.iter().flat_map(|raw| raw.iter()).all(|&byte| byte == 0);
            let others =
                value.float_data.iter().all(|&x| x == 0.) && value.int64_data.iter().all(|&x| x == 0);
            match raw && others {
                true => Ok(Value::Zeros),
                false => Err("makes a tensor of numbers that are not zero".to_string()),
            }
        }
    }
}

fn expand(call: &Call<'_>) -> Outcome {
    match call.input(0)? {
        Value::Zeros => Ok(Value::Zeros),
        Value::Constant(tensor) if is_zero(tensor) => Ok(Value::Zeros),
        _ => Err("repeats a tensor that is not zero".to_string()),
    }
}

fn transpose(call: &Call<'_>) -> Outcome {
    let order = |rank: usize| match call.attribute("perm") {
        None => Ok((0..rank).rev().collect()),
        Some(perm) => {
            let order: Result<Vec<_>, _> = perm.ints.iter().map(|&axis| at(axis, rank)).collect();
            let order = order?;
            match order.len() == rank && (0..rank).all(|place| order.contains(&place)) {
                true => Ok(order),
                false => Err(format!("has the order {:?} for a tensor of {rank} dimensions", perm.ints)),
            }
        }
    };
    each(
        call,
        |tensor| {
            let order: Vec<usize> = order(tensor.rank())?;
            tensor.permute(order).map_err(reason)
        },
        |flow| Ok(flow.transposed(&order(flow.axes.len())?)),
    )
}

fn squeeze(call: &Call<'_>) -> Outcome {
    if let Value::Integers(sizes, 1) = call.input(0)? {
        return match &sizes[..] {
            [_] => Ok(Value::Integers(sizes.clone(), 0)),
            _ => Err("removes a dimension whose size is not 1".to_string()),
        };
    }
    each(
        call,
        |tensor| {
            let dims = tensor.dims();
            let places = match call.axes("axes", 1, dims.len())? {
                Some(places) => places,
                None => (0..dims.len()).filter(|&place| dims[place] == 1).collect(),
            };
            if places.iter().any(|&place| dims[place] != 1) {
                return Err("removes a dimension whose size is not 1".to_string());
            }
            let kept = (0..dims.len()).filter(|place| !places.contains(place));
            tensor.reshape(kept.map(|place| dims[place]).collect::<Vec<_>>()).map_err(reason)
        },
        |flow| flow.squeezed(call.axes("axes", 1, flow.axes.len())?.as_deref()),
    )
}

fn unsqueeze(call: &Call<'_>) -> Outcome {
    let Some(count) = call.numbers("axes", 1)?.map(|axes| axes.len()) else {
        return Err("has no axes".to_string());
    };
    let places = |rank: usize| Ok::<_, String>(call.axes("axes", 1, rank + count)?.unwrap_or_default());
    if let Value::Integers(sizes, 0) = call.input(0)? {
        return Ok(Value::Integers(sizes.clone(), 1));
    }
    each(
        call,
        |tensor| {
            let places = places(tensor.rank())?;
            let mut old = tensor.dims().iter();
            let dims = (0..tensor.rank() + count)
                .filter_map(|place| if places.contains(&place) { Some(1) } else { old.next().copied() });
            tensor.reshape(dims.collect::<Vec<_>>()).map_err(reason)
        },
        |flow| Ok(flow.unsqueezed(&places(flow.axes.len())?)),
    )
}

fn reshape(call: &Call<'_>) -> Outcome {
    let target = match call.node.op_type() {
        "Flatten" => None,
        _ => Some(call.numbers("shape", 1)?.ok_or("has no shape")?),
    };
    let zero_copies = call.int("allowzero", 0) == 0;
    let target = |before: &[Size]| match &target {
        Some(target) => Ok(target.clone()),
        None => {
            let axis = at(call.int("axis", 1), before.len() + 1)?;
            let rows = before[..axis].iter().try_fold(Size::fixed(1), |product, size| product.times(size));
            Ok::<_, String>(vec![rows.ok_or("makes a tensor that is too large")?, Size::fixed(-1)])
        }
    };
    if let Value::Integers(sizes, _) = call.input(0)? {
        return Ok(Value::Integers(sizes.clone(), target(&[Size::fixed(sizes.len() as i64)])?.len().min(1)));
    }
    each(
        call,
        |tensor| {
            let before: Vec<Size> = tensor.dims().iter().map(|&size| Size::fixed(size as i64)).collect();
            let after = super::size::requested(&before, &target(&before)?, zero_copies);
            let numbers = |sizes: Vec<Size>| {
                let numbers = sizes.iter().map(|size| usize::try_from(size.number()?).ok());
                numbers.collect::<Option<Vec<usize>>>()
            };
            let dims = after.and_then(numbers).ok_or("has a shape that does not fit")?;
            tensor.reshape(dims).map_err(reason)
        },
        |flow| flow.reshaped(&target(&flow.sizes()?)?, zero_copies),
    )
}

fn slice(call: &Call<'_>) -> Outcome {
    let [starts, ends] = [("starts", 1), ("ends", 2)].map(|(name, place)| call.numbers(name, place));
    let (starts, ends) = (starts?.ok_or("has no starts")?, ends?.ok_or("has no ends")?);
    let steps = call.sizes(4)?.map_or(vec![], <[Size]>::to_vec);
    if steps.iter().any(|step| step.number() != Some(1)) {
        return Err("takes every other step, or steps from the end".to_string());
    }
    if starts.len() != ends.len() {
        return Err("has other numbers of starts and ends".to_string());
    }
    let ranges = |rank: usize| {
        let places = call.axes("axes", 3, rank)?.unwrap_or((0..starts.len().min(rank)).collect());
        match places.len() == starts.len() {
            true => Ok::<_, String>(places),
            false => Err("has other numbers of starts and axes".to_string()),
        }
    };
    let range = |at: usize| Range { start: starts[at].clone(), end: Some(ends[at].clone()) };
    if let Value::Integers(sizes, 1) = call.input(0)? {
        ranges(1)?;
        let (start, length) = range(0).bounds(sizes.len())?;
        return Ok(Value::Integers(sizes[start..start + length].to_vec(), 1));
    }
    each(
        call,
        |tensor| {
            let places = ranges(tensor.rank())?;
            places
                .iter()
                .enumerate()
                .try_fold(tensor.clone(), |tensor, (at, &place)| narrowed(&tensor, place, &range(at)))
        },
        |flow| {
            let places = ranges(flow.axes.len())?;
            places.iter().enumerate().try_fold(flow.clone(), |flow, (at, &place)| match flow.is_state() {
                true => Ok(flow),
                false => flow.narrowed(place, &range(at)),
            })
        },
    )
}

/// Apply an operator to its first input: a constant, or a tensor of the network.
fn each(
    call: &Call<'_>,
    constant: impl Fn(&Tensor) -> Result<Tensor, String>,
    flow: impl Fn(&Flow) -> Result<Flow, String>,
) -> Outcome {
    Ok(match call.input(0)? {
        Value::Constant(tensor) => Value::Constant(constant(tensor)?),
        Value::Quantised(tensor) => Value::Quantised(constant(tensor)?),
        Value::Zeros => Value::Zeros,
        Value::Flow(found) if found.is_state() => Value::Flow(found.clone()),
        Value::Flow(found) => Value::Flow(flow(found)?),
        Value::Integers(..) | Value::Unknown(_) => {
            return Err("changes the shape of whole numbers in a way that is not understood".to_string());
        }
    })
}

fn split(call: &Call<'_>) -> Result<Vec<Value>, String> {
    let count = call.node.output.len();
    let pieces = |rank: usize, size: &dyn Fn(usize) -> Option<i64>| {
        let place = call.axis(0, rank)?;
        let sizes = match call.numbers("split", 1)? {
            Some(sizes) => sizes.iter().map(Size::number).collect::<Option<Vec<_>>>(),
            None => size(place).map(|size| {
                let each = size.max(0).unsigned_abs().div_ceil(count.max(1) as u64) as i64;
                (0..count as i64).map(|at| each.min(size - at * each).max(0)).collect()
            }),
        };
        let sizes = sizes.filter(|sizes| sizes.len() == count).ok_or("has parts of unknown sizes")?;
        let mut start = 0_i64;
        let ranges = sizes.into_iter().map(|size| {
            let from = start;
            start = start.saturating_add(size);
            Range { start: Size::fixed(from), end: Some(Size::fixed(start)) }
        });
        Ok::<_, String>((place, ranges.collect::<Vec<_>>()))
    };
    match call.input(0)? {
        Value::Constant(tensor) => {
            let (place, ranges) = pieces(tensor.rank(), &|place| Some(tensor.dims()[place] as i64))?;
            ranges.iter().map(|range| narrowed(tensor, place, range).map(Value::Constant)).collect()
        }
        Value::Flow(flow) if flow.is_state() || matches!(flow.content, Content::Input) => {
            let state = Flow { content: Content::State, axes: vec![] };
            Ok(vec![Value::Flow(state); count])
        }
        Value::Flow(flow) => {
            let size = |place: usize| flow.axes[place].size().and_then(|size| size.number());
            let (place, ranges) = pieces(flow.axes.len(), &size)?;
            ranges.iter().map(|range| flow.narrowed(place, range).map(Value::Flow)).collect()
        }
        Value::Zeros => Ok(vec![Value::Zeros; count]),
        _ => Err("splits whole numbers".to_string()),
    }
}

fn concat(call: &Call<'_>) -> Outcome {
    let inputs: Vec<&Value> =
        (0..call.inputs.len()).map(|place| call.input(place)).collect::<Result<_, _>>()?;
    let mut integers = vec![];
    let (mut constants, mut flows, mut zeros) = (vec![], vec![], 0);
    for value in &inputs {
        match value {
            Value::Integers(sizes, 1) => integers.extend(sizes.clone()),
            Value::Constant(tensor) => constants.push(tensor),
            Value::Flow(flow) => flows.push(flow),
            Value::Zeros => zeros += 1,
            _ => return Err("joins values that are not understood".to_string()),
        }
    }
    match inputs.len() {
        0 => Err("has no inputs".to_string()),
        count if zeros == count => Ok(Value::Zeros),
        count if flows.len() == count => {
            let state = |flow: &&Flow| matches!(flow.content, Content::State | Content::Input);
            let place = if flows.iter().all(state) { 0 } else { call.axis(0, flows[0].axes.len())? };
            Flow::together(&flows, place).map(Value::Flow)
        }
        count if constants.len() == count => {
            let place = call.axis(0, constants[0].rank())?;
            Tensor::cat(&constants, place).map(Value::Constant).map_err(reason)
        }
        _ if constants.is_empty() && flows.is_empty() && zeros == 0 => Ok(Value::Integers(integers, 1)),
        _ => Err("joins outputs with other values".to_string()),
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

/// Pooling reduces all dimensions behind the first two.
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
            Tensor::from_vec(numbers, dims, &candle_core::Device::Cpu).map_err(reason)
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
    let half = if operator == "Div" { 2. } else { 0.5 };
    let mut flow = flow.clone();
    match &mut flow.content {
        Content::Scores(scores) if operator == "Add" => {
            *scores = Rc::new(super::linear::biased(scores, tensor)?);
        }
        Content::Hidden(hidden)
            if operator != "Add" && number(tensor) == Some(half) && hidden.kind != Kind::Cell =>
        {
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

/// Return the features of the last dimension.
pub(super) fn features(flow: &Flow) -> Option<usize> {
    match flow.axes.last() {
        Some(Axis::Features(size)) => Some(*size),
        _ => None,
    }
}
