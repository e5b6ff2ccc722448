//! The trainable tensors of a model, by name and in name order.
//!
//! Candle's `VarMap` is a hash map: its order changes from run to run, and with it the order in
//! which sums are taken. Everything after a model is built goes through [`Parameters`] instead.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use rnn_zoo_models::{ModelConfig, Network};

use crate::parameter_shapes::ParameterShapes;
use crate::{Error, Result};

/// Tensors under their names, in name order.
pub type NamedTensors = BTreeMap<String, Tensor>;

/// The named trainable tensors of a model, in name order.
#[derive(Clone, Debug, Default)]
pub struct Parameters {
    vars: BTreeMap<String, Var>,
    /// The names of embeddings.
    embeddings: BTreeSet<String>,
}

impl Parameters {
    /// Return a map for a model's variables and the builder that fills it. [`Parameters::from`] takes the map after the
    /// model is built.
    pub fn builder(dtype: DType, device: &Device) -> (VarMap, VarBuilder<'static>) {
        let map = VarMap::new();
        let builder = VarBuilder::from_varmap(&map, dtype, device);
        (map, builder)
    }

    /// Mark the parameters of these names as embeddings: matrices with one row per token.
    #[must_use]
    pub fn with_embeddings(mut self, names: impl IntoIterator<Item: Into<String>>) -> Self {
        self.embeddings = names.into_iter().map(Into::into).collect();
        self
    }

    /// Return the names of the parameters that are not matrices of layers: vectors, which are biases and scales, and
    /// embeddings, including one that is tied to the decoder. Weight decay usually spares them.
    pub fn vectors_and_embeddings(&self) -> impl Iterator<Item = &str> {
        self.iter()
            .filter(|(name, var)| var.rank() < 2 || self.embeddings.contains(*name))
            .map(|(name, _)| name)
    }

    /// Name and variables, in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Var)> {
        self.vars.iter().map(|(name, var)| (name.as_str(), var))
    }

    /// Return the variable of that name.
    pub fn get(&self, name: &str) -> Option<&Var> {
        self.vars.get(name)
    }

    /// Number of scalars in all tensors together.
    pub fn count(&self) -> usize {
        self.vars.values().map(|var| var.elem_count()).sum()
    }

    /// Number of tensors.
    pub fn len(&self) -> usize {
        self.vars.len()
    }

    /// Return whether the model has no parameters at all.
    pub fn is_empty(&self) -> bool {
        self.vars.is_empty()
    }

    /// Copy of the present values, which later steps leave alone.
    ///
    /// # Errors
    /// If the device cannot hold the copies.
    pub fn to_tensors(&self) -> Result<NamedTensors> {
        let copy = |(name, var): (&String, &Var)| Ok((name.clone(), var.as_detached_tensor().copy()?));
        self.vars.iter().map(copy).collect()
    }

    /// Set every parameter to the value of its name, converted to its dtype and device. On an error no parameter has
    /// changed.
    ///
    /// # Errors
    /// If a name is missing or unexpected, a shape differs, a dtype is not a float, or a value exceeds the range of the
    /// parameter's dtype.
    pub fn set_all(&self, values: &NamedTensors) -> Result<()> {
        self.check(values).map_err(Error::Message)?;
        let mut new = Vec::with_capacity(self.vars.len());
        for (name, var) in &self.vars {
            new.push((var, converted(name, &values[name], var.dtype())?.to_device(var.device())?));
        }
        for (var, value) in new {
            var.set(&value)?;
        }
        Ok(())
    }

    /// Return the problem with `values` as values of these parameters, in one sentence.
    pub(crate) fn check(&self, values: &NamedTensors) -> Result<(), String> {
        let found = values.iter().map(|(name, value)| (name.as_str(), (value.dims(), value.dtype())));
        self.shapes().check(&found.collect())
    }

    /// Return the names and shapes that values must have.
    pub(crate) fn shapes(&self) -> ParameterShapes {
        self.vars.iter().map(|(name, var)| (name.clone(), var.shape().clone())).collect()
    }
}

/// Convert a tensor to another float type.
///
/// # Errors
/// If a finite value exceeds the range of `dtype`.
pub(crate) fn converted(name: &str, tensor: &Tensor, dtype: DType) -> Result<Tensor> {
    let value = tensor.to_dtype(dtype)?;
    if dtype == tensor.dtype() || dtype == DType::F64 {
        return Ok(value);
    }
    let numbers = |tensor: &Tensor| tensor.to_dtype(DType::F64)?.flatten_all()?.to_vec1::<f64>();
    let beyond = numbers(&value)?
        .into_iter()
        .zip(numbers(tensor)?)
        .any(|(to, from)| from.is_finite() && !to.is_finite());
    match beyond {
        true => Err(Error::Message(format!("tensor {name} has values beyond {}", dtype.as_str()))),
        false => Ok(value),
    }
}

/// Build a network with trainable parameters.
///
/// # Errors
/// If the configuration is invalid.
pub fn build(config: &ModelConfig, dtype: DType, device: &Device) -> Result<(Box<dyn Network>, Parameters)> {
    let (map, builder) = Parameters::builder(dtype, device);
    let network = config.build(builder)?;
    Ok((network, Parameters::from(&map).with_embeddings(config.embeddings())))
}

/// Return a builder for a network with copies of `parameters` as constants, of whose use no graph is kept.
///
/// # Errors
/// Errors from candle.
pub fn frozen_builder(parameters: &Parameters, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
    let tensors: HashMap<String, Tensor> = parameters.to_tensors()?.into_iter().collect();
    Ok(VarBuilder::from_tensors(tensors, dtype, device))
}

impl From<&VarMap> for Parameters {
    fn from(map: &VarMap) -> Self {
        let vars = map.data().lock().expect("invariant: nothing panics while it builds a model");
        vars.iter().map(|(name, var)| (name.clone(), var.clone())).collect()
    }
}

impl FromIterator<(String, Var)> for Parameters {
    fn from_iter<I: IntoIterator<Item = (String, Var)>>(vars: I) -> Self {
        Self { vars: vars.into_iter().collect(), embeddings: BTreeSet::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_nn::Init;

    fn two() -> Parameters {
        let (map, builder) = Parameters::builder(DType::F32, &Device::Cpu);
        builder.pp("rnn").get_with_hints((2, 3), "weight", Init::Const(1.0)).unwrap();
        builder.get_with_hints(4, "bias", Init::Const(2.0)).unwrap();
        Parameters::from(&map)
    }

    #[test]
    fn names_come_in_order_and_scalars_are_counted() {
        let parameters = two();
        assert_eq!(parameters.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["bias", "rnn.weight"]);
        assert_eq!((parameters.count(), parameters.len()), (10, 2));
    }

    #[test]
    fn copies_do_not_follow_the_parameters() {
        let parameters = two();
        let before = parameters.to_tensors().unwrap();
        parameters.get("bias").unwrap().set(&Tensor::zeros(4, DType::F32, &Device::Cpu).unwrap()).unwrap();
        assert_eq!(before["bias"].to_vec1::<f32>().unwrap(), [2.0; 4]);
        parameters.set_all(&before).unwrap();
        assert_eq!(parameters.to_tensors().unwrap()["bias"].to_vec1::<f32>().unwrap(), [2.0; 4]);
    }

    #[test]
    fn every_float_dtype_is_converted() {
        let parameters = two();
        for dtype in [DType::F64, DType::F16, DType::BF16, DType::F32] {
            let mut values = parameters.to_tensors().unwrap();
            for value in values.values_mut() {
                *value = (value.zeros_like().unwrap() + 0.5).unwrap().to_dtype(dtype).unwrap();
            }
            parameters.set_all(&values).unwrap();
            let bias = parameters.get("bias").unwrap();
            assert_eq!((bias.dtype(), bias.to_vec1::<f32>().unwrap()), (DType::F32, vec![0.5; 4]));
        }
    }

    #[test]
    fn values_beyond_the_range_are_named_and_change_nothing() {
        let parameters = two();
        let mut values = parameters.to_tensors().unwrap();
        values.insert("bias".into(), Tensor::new(&[1., 2., 3., 1e39], &Device::Cpu).unwrap());
        let last = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        values.insert("rnn.weight".into(), last);
        let error = parameters.set_all(&values).unwrap_err().to_string();
        assert_eq!(error, "tensor bias has values beyond f32");
        assert_eq!(parameters.get("rnn.weight").unwrap().to_vec2::<f32>().unwrap(), [[1.0; 3]; 2]);
    }

    #[test]
    fn wrong_values_are_named_and_change_nothing() {
        let parameters = two();
        let zeros = |dims: &[usize]| Tensor::zeros(dims, DType::F32, &Device::Cpu).unwrap();
        let whole =
            || NamedTensors::from([("bias".into(), zeros(&[4])), ("rnn.weight".into(), zeros(&[2, 3]))]);
        let problem = |change: fn(&mut NamedTensors, Tensor), tensor| {
            let mut values = whole();
            change(&mut values, tensor);
            parameters.set_all(&values).unwrap_err().to_string()
        };
        let missing = problem(|values, _| drop(values.remove("rnn.weight")), zeros(&[1]));
        assert!(missing.contains("has no tensor rnn.weight"), "{missing}");
        let extra = problem(|values, tensor| drop(values.insert("lstm".into(), tensor)), zeros(&[1]));
        assert!(extra.contains("has the tensor lstm"), "{extra}");
        let shape =
            problem(|values, tensor| drop(values.insert("rnn.weight".into(), tensor)), zeros(&[3, 2]));
        assert!(shape.contains("rnn.weight has shape [3, 2], but the model expects [2, 3]"), "{shape}");
        let ids = Tensor::zeros((2, 3), DType::U32, &Device::Cpu).unwrap();
        let dtype = problem(|values, tensor| drop(values.insert("rnn.weight".into(), tensor)), ids);
        assert!(dtype.contains("rnn.weight is u32"), "{dtype}");
        assert_eq!(parameters.get("bias").unwrap().to_vec1::<f32>().unwrap(), [2.0; 4]);
    }
}
