//! Gradients under the names of their parameters, and clipping by their norm.

use candle_core::{DType, Device, Tensor};
use rnn_zoo_models::backward;

use crate::Result;
use crate::parameters::{NamedTensors, Parameters};

/// Gradients under the names of their parameters. A parameter that a step did not use has none.
#[derive(Clone, Debug, Default)]
pub struct Gradients(NamedTensors);

impl Gradients {
    /// The gradients of a loss.
    ///
    /// # Errors
    /// Those of the device.
    pub fn of(loss: &Tensor, parameters: &Parameters) -> Result<Self> {
        let found = backward(loss)?;
        let mut gradients = NamedTensors::new();
        for (name, var) in parameters.iter() {
            if let Some(gradient) = found.get(var)? {
                gradients.insert(name.to_string(), gradient);
            }
        }
        Ok(Self(gradients))
    }

    /// The gradient of that parameter.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// Names and gradients, in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, gradient)| (name.as_str(), gradient))
    }

    /// The Euclidean norm of all gradients taken as one vector.
    ///
    /// # Errors
    /// Those of the device.
    pub fn norm(&self) -> Result<f64> {
        // One number a tensor is squared and summed where the tensor lies, and all are fetched at once.
        let squares =
            self.0.values().map(|gradient| gradient.to_dtype(sum_dtype(gradient))?.sqr()?.sum_all());
        let squares = squares.collect::<candle_core::Result<Vec<_>>>()?;
        if squares.is_empty() {
            return Ok(0.0);
        }
        let squares = Tensor::stack(&squares, 0)?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
        Ok(squares.to_vec1::<f64>()?.iter().sum::<f64>().sqrt())
    }
}

impl From<NamedTensors> for Gradients {
    fn from(gradients: NamedTensors) -> Self {
        Self(gradients)
    }
}

/// Squares of half precision overflow; those of f32 are summed as they are.
fn sum_dtype(gradient: &Tensor) -> DType {
    match gradient.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// Scales all gradients by one factor so that their norm is at most `max_norm`, as PyTorch's
/// `clip_grad_norm_` does: the factor is `max_norm / (norm + 1e-6)` where that is below 1. Returns the
/// norm from before; where it is not finite the gradients are left alone.
///
/// # Errors
/// Those of the device.
pub fn clip_by_norm(gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    let norm = gradients.norm()?;
    let factor = max_norm / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        for gradient in gradients.0.values_mut() {
            *gradient = gradient.affine(factor, 0.0)?;
        }
    }
    Ok(norm)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gradient(values: &[f32]) -> Gradients {
        NamedTensors::from([("w".to_string(), Tensor::new(values, &Device::Cpu).unwrap())]).into()
    }

    #[test]
    fn clipping_leaves_small_and_infinite_gradients_alone() {
        let mut small = gradient(&[3.0, 4.0]);
        assert_eq!(clip_by_norm(&mut small, 6.0).unwrap(), 5.0);
        assert_eq!(small.get("w").unwrap().to_vec1::<f32>().unwrap(), [3.0, 4.0]);
        let mut infinite = gradient(&[f32::INFINITY, 4.0]);
        assert!(clip_by_norm(&mut infinite, 1.0).unwrap().is_infinite());
        assert_eq!(infinite.get("w").unwrap().to_vec1::<f32>().unwrap(), [f32::INFINITY, 4.0]);
        assert_eq!(clip_by_norm(&mut Gradients::default(), 1.0).unwrap(), 0.0);
    }

    proptest! {
        #[test]
        fn clipped_gradients_have_at_most_the_norm_asked_for(
            values in prop::collection::vec(-100.0..100.0f32, 1..50),
            max_norm in 0.01..50.0f64,
        ) {
            let mut gradients = gradient(&values);
            let before = clip_by_norm(&mut gradients, max_norm).unwrap();
            let after = gradients.norm().unwrap();
            prop_assert!(after <= max_norm * 1.00001 && after <= before * 1.00001, "{} to {}", before, after);
        }
    }
}
