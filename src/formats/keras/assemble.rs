//! The arrays of all layers as parameters under our names.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::{Merge, Reset};

use super::gates;
use super::layer::{Activation, Cell, Layer, Recurrent};
use super::plan::Plan;
use super::store::Array;
use super::weights::{Arrays, Weights};
use crate::formats::compare::are_same;
use crate::formats::ends::{TWO_CLASSES, with_first_class};
use crate::parameters::NamedTensors;

/// The parameters of a network.
pub(super) struct Assembled {
    pub(super) parameters: NamedTensors,
    /// Features that the stack reads.
    pub(super) input: usize,
    /// Classes, tags or tokens.
    pub(super) outputs: usize,
    /// Whether the output layer is the embedding, which is then stored once.
    pub(super) tied: bool,
    /// Remarks for the user.
    pub(super) notes: Vec<String>,
}

/// Read the parameters of a network. `groups` has the groups of layers in a file of Keras 3, by the layers' names. The
/// error is the problem alone.
///
/// # Errors
/// If an array is missing, damaged or of another shape than the options of its layer.
pub(super) fn assemble(
    plan: &Plan<'_>,
    weights: &Weights<'_>,
    groups: &BTreeMap<String, String>,
) -> Result<Assembled, String> {
    let mut reader = Reader { weights, groups, parameters: NamedTensors::new(), notes: vec![] };
    let embedding = reader.embedding(plan)?;
    let (input, width) = reader.stack(plan, embedding.as_ref().map(|matrix| matrix.dims()[1]))?;
    let (outputs, tied) = reader.output(plan, width, embedding.as_ref())?;
    let Reader { parameters, notes, .. } = reader;
    Ok(Assembled { parameters, input, outputs, tied, notes })
}

struct Reader<'a> {
    weights: &'a Weights<'a>,
    groups: &'a BTreeMap<String, String>,
    parameters: NamedTensors,
    notes: Vec<String>,
}

impl Reader<'_> {
    /// Read the arrays of a layer: one list of `count` for each direction.
    fn arrays(&self, layer: &Layer, count: usize) -> Result<Vec<Arrays>, String> {
        let group = self.groups.get(&layer.name).map_or(&*layer.name, String::as_str);
        self.weights.of_layer(layer, group, count)
    }

    /// Read the arrays of a layer of one direction.
    fn single(&self, layer: &Layer, count: usize) -> Result<Arrays, String> {
        Ok(self.arrays(layer, count)?.swap_remove(0))
    }

    fn insert(&mut self, name: impl Into<String>, tensor: candle_core::Result<Tensor>) -> Result<(), String> {
        let tensor = tensor.map_err(|error| error.to_string())?;
        self.parameters.insert(name.into(), tensor);
        Ok(())
    }

    fn embedding(&mut self, plan: &Plan<'_>) -> Result<Option<Tensor>, String> {
        let Some((layer, embedding)) = plan.embedding else { return Ok(None) };
        let [matrix] = exactly(self.single(layer, 1)?)?;
        check(layer, "embeddings", &matrix, &[embedding.rows, embedding.width])?;
        let matrix = gates::tensor(matrix).map_err(|error| error.to_string())?;
        self.parameters.insert("encoder.weight".to_string(), matrix.clone());
        Ok(Some(matrix))
    }

    /// Read the stack. Returns the features of its input, which are those of the embedding if there is one, and of its
    /// output.
    fn stack(&mut self, plan: &Plan<'_>, embedding: Option<usize>) -> Result<(usize, usize), String> {
        let has_bias = plan.stack.iter().any(|(_, layer)| layer.bias);
        let mut input = embedding;
        let mut first = None;
        for (number, &(layer, recurrent)) in plan.stack.iter().enumerate() {
            let directions = self.arrays(layer, if recurrent.bias { 3 } else { 2 })?;
            if has_bias && !recurrent.bias {
                self.notes.push(format!("the layer {} has no bias; one of zeros is added", layer.title()));
            }
            for (arrays, reverse) in directions.into_iter().zip(["", "_reverse"]) {
                // Features have the size of the first kernel.
                let read = input.or(arrays[0].shape.first().copied()).unwrap_or_default();
                first.get_or_insert(read);
                input = Some(read);
                check_cell(layer, recurrent, &arrays, read)?;
                self.direction(recurrent, arrays, has_bias, &format!("l{number}{reverse}"))?;
            }
            let merged = if recurrent.merge == Some(Merge::Concat) { 2 } else { 1 };
            input = Some(merged * recurrent.units);
        }
        Ok((first.unwrap_or_default(), input.unwrap_or_default()))
    }

    /// Add the parameters of one direction.
    fn direction(
        &mut self,
        recurrent: Recurrent,
        arrays: Arrays,
        has_bias: bool,
        suffix: &str,
    ) -> Result<(), String> {
        let Recurrent { cell, units, .. } = recurrent;
        let mut arrays = arrays.into_iter();
        for name in ["ih", "hh"] {
            let kernel = arrays.next().ok_or("has too few arrays")?;
            self.insert(format!("rnn.weight_{name}_{suffix}"), gates::weight(kernel, cell))?;
        }
        if has_bias {
            let zeros = || Tensor::zeros(cell.gates() * units, DType::F32, &Device::Cpu);
            let biases = match arrays.next() {
                Some(bias) => gates::biases(bias, cell),
                None => zeros().and_then(|ih| Ok([ih, zeros()?])),
            };
            let biases = biases.map_err(|error| error.to_string())?;
            for (name, bias) in ["ih", "hh"].into_iter().zip(biases) {
                self.parameters.insert(format!("rnn.bias_{name}_{suffix}"), bias);
            }
        }
        Ok(())
    }

    /// Read the output layer, and the projection before it if there is one. Returns the number of outputs, and whether
    /// the matrix is the embedding.
    fn output(
        &mut self,
        plan: &Plan<'_>,
        width: usize,
        embedding: Option<&Tensor>,
    ) -> Result<(usize, bool), String> {
        let (layer, dense) = plan.output;
        let read = plan.projection.map_or(width, |(_, projection)| projection.units);
        let arrays = self.single(layer, if dense.bias { 2 } else { 1 })?;
        check(layer, "kernel", &arrays[0], &[read, dense.units])?;
        let mut arrays = arrays.into_iter();
        let kernel = arrays.next().ok_or("has too few arrays")?;
        let weight = gates::tensor(kernel).and_then(|kernel| kernel.t()?.contiguous());
        let mut weight = weight.map_err(|error| error.to_string())?; // (outputs, read)
        let mut bias = match arrays.next() {
            Some(bias) => {
                check(layer, "bias", &bias, &[dense.units])?;
                gates::tensor(bias)
            }
            None => {
                self.notes.push("the output layer has no bias; one of zeros is added".to_string());
                Tensor::zeros(dense.units, DType::F32, &Device::Cpu)
            }
        }
        .map_err(|error| error.to_string())?;
        if dense.activation == Activation::Sigmoid {
            check_sigmoid(layer, dense.units)?;
            self.notes.push("the sigmoid of one output is the softmax of two classes".to_string());
        } else if dense.units == 1 {
            self.notes.push(TWO_CLASSES.to_string());
        }
        if dense.units == 1 {
            let classes = with_first_class(&weight).and_then(|weight| Ok([weight, with_first_class(&bias)?]));
            [weight, bias] = classes.map_err(|error| error.to_string())?;
        }
        let tied = embedding.is_some_and(|embedding| are_same(embedding, &weight).unwrap_or(false));
        if let Some((layer, projection)) = plan.projection {
            if !tied {
                return Err(format!(
                    "has a layer {} before the output layer; it is converted where the output layer is the embedding",
                    layer.title()
                ));
            }
            let [kernel] = exactly(self.single(layer, 1)?)?;
            check(layer, "kernel", &kernel, &[width, projection.units])?;
            let weight = gates::tensor(kernel).and_then(|kernel| kernel.t()?.contiguous());
            self.insert("projection.weight", weight)?;
        }
        let outputs = weight.dims()[0];
        self.insert("decoder.weight", Ok(weight))?;
        self.insert("decoder.bias", Ok(bias))?;
        Ok((outputs, tied))
    }
}

/// Refuse the sigmoid of several outputs.
fn check_sigmoid(layer: &Layer, units: usize) -> Result<(), String> {
    match units {
        1 => Ok(()),
        _ => Err(format!(
            "has a layer {} with the sigmoid of several outputs; expected softmax, or one output",
            layer.title()
        )),
    }
}

fn exactly<const N: usize>(arrays: Arrays) -> Result<[Array; N], String> {
    arrays.try_into().map_err(|_| format!("has another number of arrays in a layer than {N}"))
}

/// Check the shapes of a recurrent layer in one direction that reads `input` features.
fn check_cell(layer: &Layer, recurrent: Recurrent, arrays: &Arrays, input: usize) -> Result<(), String> {
    let Recurrent { cell, units, .. } = recurrent;
    let columns = cell.gates() * units;
    let bias = match cell {
        Cell::Gru(Reset::After) => vec![2, columns],
        _ => vec![columns],
    };
    let expected =
        [("kernel", vec![input, columns]), ("recurrent kernel", vec![units, columns]), ("bias", bias)];
    let mut pairs = arrays.iter().zip(expected);
    pairs.try_for_each(|(array, (name, shape))| check(layer, name, array, &shape))
}

fn check(layer: &Layer, name: &str, array: &Array, expected: &[usize]) -> Result<(), String> {
    match array.shape == expected {
        true => Ok(()),
        false => Err(format!(
            "has a {name} of shape {:?} for {}; its options need {expected:?}",
            array.shape,
            layer.title()
        )),
    }
}
