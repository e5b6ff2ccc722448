//! A graph under construction: operators are added in the order in which they run.

use candle_core::{DType, Tensor};
use rnn_zoo_models::ops::round_to_int8;

use super::proto::{
    Attribute, AttributeKind, Dimension, Element, Graph as Message, Node, Shape, Tensor as Stored,
    TensorType, Type, Value as Declared,
};
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// The result of an operator, an input or a constant, by its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Value(String);

impl Value {
    /// Return the value that stands for an optional input that is not given.
    pub(super) fn none() -> Self {
        Self(String::new())
    }
}

/// A dimension of an input or output.
#[derive(Clone, Copy, Debug)]
pub(super) enum Dim {
    /// The same in every call.
    Fixed(usize),
    /// Another in each call.
    Free(&'static str),
}

/// An attribute of an operator.
pub(super) fn int(name: &str, value: i64) -> Attribute {
    Attribute { i: Some(value), ..attribute(name, AttributeKind::Int) }
}

/// An attribute with several numbers.
pub(super) fn ints(name: &str, values: &[i64]) -> Attribute {
    Attribute { ints: values.to_vec(), ..attribute(name, AttributeKind::Ints) }
}

/// An attribute with a word.
pub(super) fn word(name: &str, value: &str) -> Attribute {
    Attribute { s: Some(value.into()), ..attribute(name, AttributeKind::String) }
}

/// An attribute with several words.
pub(super) fn words(name: &str, values: &[&str]) -> Attribute {
    let strings = values.iter().map(|value| value.as_bytes().to_vec()).collect();
    Attribute { strings, ..attribute(name, AttributeKind::Strings) }
}

fn attribute(name: &str, kind: AttributeKind) -> Attribute {
    Attribute { name: Some(name.to_string()), kind: Some(kind as i32), ..Attribute::default() }
}

/// Return the name of the scales of the integers `name`, which is that of bundles too.
pub(super) fn scales_name(name: &str) -> String {
    format!("{name}.scales")
}

/// A graph under construction over the parameters of a network.
pub(super) struct Graph<'a> {
    parameters: &'a NamedTensors,
    /// Whether matrices are integers with one scale a row.
    quantised: bool,
    message: Message,
}

impl<'a> Graph<'a> {
    /// Start an empty graph. If it is `quantised`, its matrices are integers of 8 bits with one scale a row.
    pub(super) fn new(name: &str, parameters: &'a NamedTensors, quantised: bool) -> Self {
        Self {
            parameters,
            quantised,
            message: Message { name: Some(name.to_string()), ..Message::default() },
        }
    }

    /// Return the message of the graph.
    pub(super) fn finish(self) -> Message {
        self.message
    }

    /// Return a parameter of the network in f32.
    pub(super) fn tensor(&self, name: &str) -> Result<Tensor> {
        match self.parameters.get(name) {
            Some(tensor) => Ok(tensor.to_dtype(DType::F32)?),
            None => Err(Error::Message(format!("the network has no parameter {name}"))),
        }
    }

    /// Add a parameter of the network as a constant of the same name. A parameter that two layers share is stored
    /// once.
    pub(super) fn parameter(&mut self, name: &str) -> Result<Value> {
        let value = self.tensor(name)?;
        self.matrix(name, &value)
    }

    /// Add a tensor of rows as a constant: in f32, or as int8 with DequantizeLinear after it. Vectors are in f32.
    pub(super) fn matrix(&mut self, name: &str, value: &Tensor) -> Result<Value> {
        if !self.quantised || value.rank() < 2 {
            return self.constant(name, value);
        }
        let (integers, scales) = self.integers_and_scales(name, value)?;
        let floats = format!("{name}/f32");
        if self.message.node.iter().any(|node| node.output.contains(&floats)) {
            return Ok(Value(floats));
        }
        // The operator has scales along one dimension, so that the rows of both directions lie in one.
        let rows = if value.rank() > 2 { format!("{name}/rows") } else { floats.clone() };
        self.add("DequantizeLinear", &[&integers, &scales], vec![int("axis", 0)], vec![rows.clone()]);
        if value.rank() > 2 {
            let dims: Vec<i64> = value.dims().iter().map(|&size| size as i64).collect();
            let shape = self.integers(&dims);
            self.add("Reshape", &[&Value(rows), &shape], vec![], vec![floats.clone()]);
        }
        Ok(Value(floats))
    }

    /// Add a tensor as integers (rows, columns) and the scale of each row, (rows). The rule is that of bundles.
    fn integers_and_scales(&mut self, name: &str, value: &Tensor) -> Result<(Value, Value)> {
        let scales_name = scales_name(name);
        let names = (Value(name.to_string()), Value(scales_name.clone()));
        if self.message.initializer.iter().any(|stored| stored.name() == name) {
            return Ok(names);
        }
        let rows = value.flatten_to(value.rank().saturating_sub(2))?.to_vec2::<f32>()?;
        let columns = rows.first().map_or(0, Vec::len);
        let mut integers = vec![0; rows.len() * columns];
        let places = integers.chunks_exact_mut(columns.max(1));
        let scales: Vec<f32> =
            rows.iter().zip(places).map(|(row, place)| round_to_int8(row, place)).collect();
        if scales.iter().any(|scale| !scale.is_finite()) {
            return Err(Error::Message(format!("tensor {name} holds NaN or infinity")));
        }
        let bytes = integers.into_iter().map(|integer| integer as u8).collect();
        self.store(name.to_string(), (Element::Int8, &[rows.len(), columns]), bytes);
        let bytes = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        self.store(scales_name, (Element::Float, &[rows.len()]), bytes);
        Ok(names)
    }

    /// Add a tensor in f32 as a constant.
    pub(super) fn constant(&mut self, name: &str, value: &Tensor) -> Result<Value> {
        if !self.message.initializer.iter().any(|stored| stored.name() == name) {
            let elements = value.flatten_all()?.to_vec1::<f32>()?;
            let bytes = elements.iter().flat_map(|element| element.to_le_bytes()).collect();
            self.store(name.to_string(), (Element::Float, value.dims()), bytes);
        }
        Ok(Value(name.to_string()))
    }

    /// Add a vector of whole numbers as a constant.
    pub(super) fn integers(&mut self, values: &[i64]) -> Value {
        let name = self.fresh("integers");
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.store(name.clone(), (Element::Int64, &[values.len()]), bytes);
        Value(name)
    }

    /// Add a number as a constant.
    pub(super) fn integer(&mut self, value: i64) -> Value {
        let name = self.fresh("integer");
        self.store(name.clone(), (Element::Int64, &[]), value.to_le_bytes().to_vec());
        Value(name)
    }

    /// Add a number in f32 as a constant.
    pub(super) fn number(&mut self, value: f32) -> Value {
        let name = self.fresh("number");
        self.store(name.clone(), (Element::Float, &[]), value.to_le_bytes().to_vec());
        Value(name)
    }

    fn store(&mut self, name: String, (element, dims): (Element, &[usize]), bytes: Vec<u8>) {
        self.message.initializer.push(Stored {
            dims: dims.iter().map(|&size| size as i64).collect(),
            data_type: Some(element as i32),
            name: Some(name),
            raw_data: Some(bytes.into()),
            ..Stored::default()
        });
    }

    /// Declare an input.
    pub(super) fn input(&mut self, name: &str, element: Element, dims: &[Dim], description: &str) -> Value {
        self.message.input.push(declared(name, element, dims, description));
        Value(name.to_string())
    }

    /// Declare an output in f32.
    pub(super) fn output(&mut self, name: &str, value: &Value, dims: &[Dim], description: &str) {
        self.add("Identity", &[value], vec![], vec![name.to_string()]);
        self.message.output.push(declared(name, Element::Float, dims, description));
    }

    /// Add an operator without attributes.
    pub(super) fn op(&mut self, kind: &str, inputs: &[&Value]) -> Value {
        self.op_with(kind, inputs, vec![])
    }

    /// Add an operator.
    pub(super) fn op_with(&mut self, kind: &str, inputs: &[&Value], attributes: Vec<Attribute>) -> Value {
        let [output] = self.ops(kind, inputs, attributes);
        output
    }

    /// Add an operator of several results.
    pub(super) fn ops<const N: usize>(
        &mut self,
        kind: &str,
        inputs: &[&Value],
        attributes: Vec<Attribute>,
    ) -> [Value; N] {
        let name = self.fresh(kind);
        let outputs: [String; N] = std::array::from_fn(|index| format!("{name}.{index}"));
        self.add(kind, inputs, attributes, outputs.to_vec());
        outputs.map(Value)
    }

    fn add(&mut self, kind: &str, inputs: &[&Value], attribute: Vec<Attribute>, output: Vec<String>) {
        let name = Some(self.fresh(kind));
        let input = inputs.iter().map(|value| value.0.clone()).collect();
        self.message.node.push(Node {
            input,
            output,
            name,
            op_type: Some(kind.to_string()),
            attribute,
            domain: None,
        });
    }

    /// Return a name that nothing in the graph has: parameters have no slash.
    fn fresh(&self, kind: &str) -> String {
        format!("{kind}/{}", self.message.node.len() + self.message.initializer.len())
    }

    /// Cut out `start..end` along an axis.
    pub(super) fn slice(&mut self, value: &Value, axis: i64, (start, end): (usize, usize)) -> Value {
        let bounds = [start as i64, end as i64, axis].map(|number| self.integers(&[number]));
        let [start, end, axis] = &bounds;
        self.op("Slice", &[value, start, end, axis])
    }

    /// Add a dimension of size 1.
    pub(super) fn unsqueeze(&mut self, value: &Value, axis: i64) -> Value {
        let axes = self.integers(&[axis]);
        self.op("Unsqueeze", &[value, &axes])
    }

    /// Remove a dimension of size 1.
    pub(super) fn squeeze(&mut self, value: &Value, axis: i64) -> Value {
        let axes = self.integers(&[axis]);
        self.op("Squeeze", &[value, &axes])
    }

    /// Change the shape: 0 keeps a dimension, -1 takes what is left.
    pub(super) fn reshape(&mut self, value: &Value, shape: &[i64]) -> Value {
        let shape = self.integers(shape);
        self.op("Reshape", &[value, &shape])
    }

    /// Change the order of the dimensions.
    pub(super) fn transpose(&mut self, value: &Value, order: &[i64]) -> Value {
        self.op_with("Transpose", &[value], vec![ints("perm", order)])
    }

    /// Concatenate along an axis. A single value stays as it is.
    pub(super) fn concat(&mut self, values: &[Value], axis: i64) -> Value {
        match values {
            [value] => value.clone(),
            _ => self.op_with("Concat", &values.iter().collect::<Vec<_>>(), vec![int("axis", axis)]),
        }
    }

    /// Apply the linear layer `name`: (.., input) to (.., output). It has a bias if the network has one of that name.
    pub(super) fn linear(&mut self, name: &str, xs: &Value) -> Result<Value> {
        self.linear_of(xs, &format!("{name}.weight"), &format!("{name}.bias"))
    }

    /// Apply a linear layer with the parameters of these names.
    pub(super) fn linear_of(&mut self, xs: &Value, weight: &str, bias: &str) -> Result<Value> {
        let weight = self.parameter(weight)?; // (output, input)
        let weight = self.transpose(&weight, &[1, 0]); // engines do this once, at load
        let product = self.op("MatMul", &[xs, &weight]);
        match self.parameters.contains_key(bias) {
            true => {
                let bias = self.parameter(bias)?;
                Ok(self.op("Add", &[&product, &bias]))
            }
            false => Ok(product),
        }
    }

    /// Look up rows of the parameter `name`: (..) to (.., features).
    pub(super) fn embedding(&mut self, name: &str, indices: &Value) -> Result<Value> {
        if !self.quantised {
            let matrix = self.parameter(name)?;
            return Ok(self.op("Gather", &[&matrix, indices]));
        }
        // Of the integers and scales, so that each call makes floats of these rows alone.
        let matrix = self.tensor(name)?;
        let (integers, scales) = self.integers_and_scales(name, &matrix)?;
        let rows = self.op("Gather", &[&integers, indices]); // (.., features)
        let rows = self.op_with("Cast", &[&rows], vec![int("to", Element::Float as i64)]);
        let scales = self.op("Gather", &[&scales, indices]); // (..)
        let scales = self.unsqueeze(&scales, -1);
        Ok(self.op("Mul", &[&rows, &scales]))
    }

    /// Return whether the network has a parameter of that name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.parameters.contains_key(name)
    }
}

fn declared(name: &str, element: Element, dims: &[Dim], description: &str) -> Declared {
    let dim = dims.iter().map(|dim| match *dim {
        Dim::Fixed(size) => Dimension { size: Some(size as i64), name: None },
        Dim::Free(name) => Dimension { size: None, name: Some(name.to_string()) },
    });
    let tensor = TensorType { element: Some(element as i32), shape: Some(Shape { dim: dim.collect() }) };
    Declared {
        name: Some(name.to_string()),
        kind: Some(Type { tensor: Some(tensor) }),
        description: Some(description.to_string()),
    }
}
