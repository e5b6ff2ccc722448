//! One operator of a graph with the values that it reads.

use candle_core::Tensor;

use super::size::Size;
use super::value::{Flow, Value};
use crate::formats::onnx::proto::{Attribute, Node};
use crate::formats::onnx::tensor::MOST_INTEGERS;

/// The largest number of characters of a name in a message.
const LONGEST: usize = 80;

/// The problem of constants that would take too much memory.
pub(super) const TOO_LARGE: &str = "computes constants that are much larger than those of the file";

/// The result of an operator, or the problem with it as a sentence about it.
pub(super) type Outcome = Result<Value, String>;

/// An operator with the values that it reads.
pub(super) struct Call<'g> {
    pub(super) node: &'g Node,
    /// `None` for optional inputs that are not given.
    pub(super) inputs: Vec<Option<Value>>,
    /// The version of the operators.
    pub(super) opset: i64,
    /// The bytes that computed constants may still take.
    pub(super) budget: usize,
}

impl<'g> Call<'g> {
    /// Return an input, if it is given.
    pub(super) fn optional(&self, place: usize) -> Option<&Value> {
        self.inputs.get(place).and_then(Option::as_ref)
    }

    /// Return an input.
    pub(super) fn input(&self, place: usize) -> Result<&Value, String> {
        self.optional(place).ok_or_else(|| format!("has no input {place}"))
    }

    /// Return an input that flows through the network.
    pub(super) fn flow(&self, place: usize) -> Result<&Flow, String> {
        match self.input(place)? {
            Value::Flow(flow) => Ok(flow),
            _ => Err(format!("reads no tensor of the network as input {place}")),
        }
    }

    /// Return a constant input, if it is given.
    pub(super) fn constant(&self, place: usize) -> Result<Option<&Tensor>, String> {
        match self.optional(place) {
            None => Ok(None),
            Some(Value::Constant(tensor)) => Ok(Some(tensor)),
            Some(_) => Err(format!("has no constant as input {place}")),
        }
    }

    /// Return an input of whole numbers, if it is given.
    pub(super) fn sizes(&self, place: usize) -> Result<Option<&[Size]>, String> {
        match self.optional(place) {
            None => Ok(None),
            Some(Value::Integers(sizes, _)) => Ok(Some(sizes)),
            Some(_) => Err(format!("has other values than whole numbers as input {place}")),
        }
    }

    /// Return an attribute.
    pub(super) fn attribute(&self, name: &str) -> Option<&'g Attribute> {
        self.node.attribute.iter().find(|attribute| attribute.name() == name)
    }

    /// Return an attribute of one whole number, or its default.
    pub(super) fn int(&self, name: &str, default: i64) -> i64 {
        self.attribute(name).map_or(default, Attribute::i)
    }

    /// Return the whole numbers that are the attribute `name`, or, in later versions, the input at `place`.
    pub(super) fn numbers(&self, name: &str, place: usize) -> Result<Option<Vec<Size>>, String> {
        match self.attribute(name) {
            Some(attribute) if attribute.ints.len() > MOST_INTEGERS => {
                Err(format!("has more than {MOST_INTEGERS} numbers as {name}"))
            }
            Some(attribute) => Ok(Some(attribute.ints.iter().map(|&number| Size::fixed(number)).collect())),
            None => Ok(self.sizes(place)?.map(<[Size]>::to_vec)),
        }
    }

    /// Return dimensions of a tensor of the given rank, which [`Call::numbers`] finds.
    pub(super) fn axes(&self, name: &str, place: usize, rank: usize) -> Result<Option<Vec<usize>>, String> {
        let Some(numbers) = self.numbers(name, place)? else { return Ok(None) };
        let axes = numbers.iter().map(|number| {
            let number = number.number().ok_or("has axes that differ from call to call")?;
            at(number, rank)
        });
        axes.collect::<Result<Vec<_>, _>>().map(Some)
    }

    /// Return the dimension `axis` of a tensor of the given rank.
    pub(super) fn axis(&self, default: i64, rank: usize) -> Result<usize, String> {
        at(self.int("axis", default), rank)
    }
}

/// Return the beginning of a name, which may be of any length.
pub(super) fn shortened(name: &str) -> String {
    name.chars().take(LONGEST).collect()
}

/// Return the place of a dimension, which is counted from the end if it is negative.
pub(super) fn at(axis: i64, rank: usize) -> Result<usize, String> {
    let place = if axis < 0 { axis.checked_add_unsigned(rank as u64) } else { Some(axis) };
    let place = place.and_then(|place| usize::try_from(place).ok()).filter(|&place| place < rank);
    place.ok_or_else(|| format!("has the axis {axis} for a tensor of {rank} dimensions"))
}
