//! Operators that change shapes, take parts and join, of constants, whole numbers and tensors of the network.

use candle_core::Tensor;

use super::call::{Call, Outcome, TOO_LARGE, at};
use super::constant::{narrowed, reason};
use super::pick::Range;
use super::size::{Size, requested};
use super::value::{Content, Flow, Value};

/// Transpose.
pub(super) fn transpose(call: &Call<'_>) -> Outcome {
    let order = |rank: usize| match call.attribute("perm") {
        None => Ok((0..rank).rev().collect()),
        Some(perm) => {
            let order: Result<Vec<_>, _> = perm.ints.iter().map(|&axis| at(axis, rank)).collect();
            let order = order?;
            match order.len() == rank && (0..rank).all(|place| order.contains(&place)) {
                true => Ok(order),
                false => Err(format!("orders {} dimensions of a tensor of {rank}", order.len())),
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

/// Squeeze.
pub(super) fn squeeze(call: &Call<'_>) -> Outcome {
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

/// Unsqueeze.
pub(super) fn unsqueeze(call: &Call<'_>) -> Outcome {
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

/// Reshape and Flatten.
pub(super) fn reshape(call: &Call<'_>) -> Outcome {
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
            let after = requested(&before, &target(&before)?, zero_copies);
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

/// Slice.
pub(super) fn slice(call: &Call<'_>) -> Outcome {
    let [starts, ends] = [("starts", 1), ("ends", 2)].map(|(name, place)| call.numbers(name, place));
    let (starts, ends) = (starts?.ok_or("has no starts")?, ends?.ok_or("has no ends")?);
    let steps = call.sizes(4)?.map_or(vec![], <[Size]>::to_vec);
    if steps.iter().any(|step| step.number() != Some(1)) {
        return Err("has a step other than 1; expected 1".to_string());
    }
    if starts.is_empty() || starts.len() != ends.len() {
        return Err(format!(
            "has {} starts and {} ends; expected equal numbers, at least 1",
            starts.len(),
            ends.len()
        ));
    }
    let ranges = |rank: usize| {
        let places = call.axes("axes", 3, rank)?.unwrap_or((0..starts.len().min(rank)).collect());
        match places.len() == starts.len() {
            true => Ok::<_, String>(places),
            false => {
                Err(format!("has {} starts and {} axes; expected equal numbers", starts.len(), places.len()))
            }
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
        Value::Zeros(last) => Value::Zeros(last.filter(|_| keeps_last(call))),
        Value::Flow(found) if found.is_state() => Value::Flow(found.clone()),
        Value::Flow(found) => Value::Flow(flow(found)?),
        Value::Integers(..) | Value::Unknown(_) => {
            return Err("changes the shape of whole numbers in a way that is not understood".to_string());
        }
    })
}

/// Whether an operator leaves the last dimension of a state, of which it takes some layers.
fn keeps_last(call: &Call<'_>) -> bool {
    let axes = || call.numbers("axes", 3).ok().flatten();
    call.node.op_type() == "Slice"
        && axes().is_some_and(|axes| axes.iter().all(|axis| axis.number() == Some(0)))
}

/// Split.
pub(super) fn split(call: &Call<'_>) -> Result<Vec<Value>, String> {
    let count = call.node.output.len();
    let pieces = |rank: usize, size: &dyn Fn(usize) -> Option<i64>| {
        let place = call.axis(0, rank)?;
        let sizes = match call.numbers("split", 1)? {
            Some(sizes) => sizes.iter().map(Size::number).collect::<Option<Vec<_>>>(),
            None => size(place).map(|size| {
                let each = size.max(0).unsigned_abs().div_ceil(count.max(1) as u64) as i64;
                (0..count as i64)
                    .map(|at| each.min(size.saturating_sub(each.saturating_mul(at))).max(0))
                    .collect()
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
        Value::Zeros(_) => Ok(vec![Value::Zeros(None); count]),
        _ => Err("splits whole numbers".to_string()),
    }
}

/// Concat.
pub(super) fn concat(call: &Call<'_>) -> Outcome {
    let inputs: Vec<&Value> =
        (0..call.inputs.len()).map(|place| call.input(place)).collect::<Result<_, _>>()?;
    let mut integers = vec![];
    let (mut constants, mut flows, mut zeros) = (vec![], vec![], 0);
    for value in &inputs {
        match value {
            Value::Integers(sizes, 1) => integers.extend(sizes.clone()),
            Value::Constant(tensor) => constants.push(tensor),
            Value::Flow(flow) => flows.push(flow),
            Value::Zeros(_) => zeros += 1,
            _ => return Err("joins values that are not understood".to_string()),
        }
    }
    match inputs.len() {
        0 => Err("has no inputs".to_string()),
        count if zeros == count => Ok(Value::Zeros(None)),
        count if flows.len() == count => {
            let state = |flow: &&Flow| matches!(flow.content, Content::State | Content::Input);
            let place = if flows.iter().all(state) { 0 } else { call.axis(0, flows[0].axes.len())? };
            Flow::together(&flows, place).map(Value::Flow)
        }
        count if constants.len() == count => {
            let place = call.axis(0, constants[0].rank())?;
            let bytes = constants.iter().map(|tensor| tensor.elem_count() * tensor.dtype().size_in_bytes());
            if bytes.fold(0, usize::saturating_add) > call.budget {
                return Err(TOO_LARGE.to_string());
            }
            Tensor::cat(&constants, place).map(Value::Constant).map_err(reason)
        }
        _ if constants.is_empty() && flows.is_empty() && zeros == 0 => Ok(Value::Integers(integers, 1)),
        _ => Err("joins outputs with other values".to_string()),
    }
}
