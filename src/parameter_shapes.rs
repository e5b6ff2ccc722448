//! The names and shapes of a network's parameters, found without allocating any.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::var_builder::SimpleBackend;
use candle_nn::{Init, VarBuilder};
use rnn_zoo_models::ModelConfig;

use crate::Result;
use crate::listing::listed;

/// Shapes by parameter name, in name order: what a file of parameters is checked against.
#[derive(Clone, Debug, Default)]
pub(crate) struct ParameterShapes(BTreeMap<String, Shape>);

impl ParameterShapes {
    /// Return the shapes of the network of a configuration.
    ///
    /// # Errors
    /// If the configuration describes no network.
    pub(crate) fn of(config: &ModelConfig) -> Result<Self> {
        let recorder = Recorder::default();
        let shapes = Arc::clone(&recorder.0);
        config.build(VarBuilder::from_backend(Box::new(recorder), DType::F32, Device::Cpu))?;
        let shapes = std::mem::take(&mut *shapes.lock().unwrap_or_else(PoisonError::into_inner));
        Ok(Self(shapes))
    }

    /// Return the number of scalars in all tensors together.
    pub(crate) fn count(&self) -> u64 {
        self.0.values().map(|shape| shape.elem_count() as u64).fold(0, u64::saturating_add)
    }

    /// Compare the tensors of a file, shape and dtype by name, with the shapes. The error is one sentence
    /// about the file.
    ///
    /// # Errors
    /// If a name is missing or unexpected, a shape differs, or a dtype is not a float.
    pub(crate) fn check(&self, found: &BTreeMap<&str, (&[usize], DType)>) -> Result<(), String> {
        let missing = self.0.keys().map(String::as_str).filter(|name| !found.contains_key(name));
        let missing: Vec<&str> = missing.collect();
        if !missing.is_empty() {
            return Err(format!("has no tensor {}, which the model needs", listed(missing, ", ")));
        }
        let unexpected = found.keys().copied().filter(|&name| !self.0.contains_key(name));
        let unexpected: Vec<&str> = unexpected.collect();
        if !unexpected.is_empty() {
            return Err(format!(
                "has the tensor {}, which the model does not know",
                listed(unexpected, ", ")
            ));
        }
        for (name, expected) in &self.0 {
            let (shape, dtype) = found[name.as_str()];
            let expected = expected.dims();
            if shape != expected {
                return Err(format!("tensor {name} has shape {shape:?}, but the model expects {expected:?}"));
            }
            if !matches!(dtype, DType::F16 | DType::BF16 | DType::F32 | DType::F64) {
                let found = dtype.as_str();
                return Err(format!("tensor {name} is {found}, but the model expects f32, f64, f16 or bf16"));
            }
        }
        Ok(())
    }
}

impl FromIterator<(String, Shape)> for ParameterShapes {
    fn from_iter<I: IntoIterator<Item = (String, Shape)>>(shapes: I) -> Self {
        Self(shapes.into_iter().collect())
    }
}

/// Records every parameter that a network asks for, and answers with one zero broadcast to its shape.
#[derive(Default)]
struct Recorder(Arc<Mutex<BTreeMap<String, Shape>>>);

impl SimpleBackend for Recorder {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let zero = Tensor::zeros((), dtype, device)?.broadcast_as(&shape)?;
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_string(), shape);
        Ok(zero)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("the network does not say which shape {name} has")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use rnn_zoo_models::{LstmConfig, RecurrentConfig, RnnlmConfig};

    use super::*;
    use crate::parameters::Parameters;

    #[test]
    fn outline_has_the_names_and_shapes_of_the_built_network() {
        for tied in [false, true] {
            let rnn = RecurrentConfig::Lstm(LstmConfig::new(3, 5));
            let config = ModelConfig::Rnnlm(RnnlmConfig { tied, ..RnnlmConfig::new(7, rnn) });
            let (map, builder) = Parameters::builder(DType::F32, &Device::Cpu);
            config.build(builder).unwrap();
            let parameters = Parameters::from(&map);
            let built = parameters.iter().map(|(name, var)| (name.to_string(), var.shape().clone()));
            assert_eq!(ParameterShapes::of(&config).unwrap().0, built.collect());
        }
    }

    #[test]
    fn outline_of_a_network_larger_than_memory_is_computed() {
        let rnn = RecurrentConfig::Lstm(LstmConfig::new(1 << 12, 1 << 12));
        let config = ModelConfig::Rnnlm(RnnlmConfig::new(1 << 24, rnn));
        let shapes = ParameterShapes::of(&config).unwrap();
        assert_eq!(shapes.0["encoder.weight"].dims(), [1 << 24, 1 << 12]);
    }
}
