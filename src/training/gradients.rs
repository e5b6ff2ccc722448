//! Gradients by parameter name, and clipping by their norm.

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use rnn_zoo_models::backward;

use crate::parameters::{NamedTensors, Parameters};
use crate::{Result, parallel};

/// Gradients by parameter name. A parameter that the loss does not depend on has none.
#[derive(Clone, Debug)]
pub struct Gradients {
    tensors: NamedTensors,
    /// The gradients are `factor * tensors`. Clipping changes only the factor; the optimizer multiplies by it while
    /// it reads the tensors.
    factor: f64,
}

impl Gradients {
    /// Compute the gradients of a loss.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn of(loss: &Tensor, parameters: &Parameters) -> Result<Self> {
        let grads = backward(loss)?;
        let mut tensors = NamedTensors::new();
        for (name, var) in parameters.iter() {
            if let Some(gradient) = grads.get(var)? {
                tensors.insert(name.to_string(), gradient);
            }
        }
        Ok(tensors.into())
    }

    /// Return the tensor of a parameter, without [`Gradients::factor`].
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Add the gradients of another loss. The factors may differ.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn add(&mut self, other: Self) -> Result<()> {
        if self.tensors.is_empty() {
            *self = other;
            return Ok(());
        }
        let ratio = other.factor / self.factor;
        for (name, gradient) in other.tensors {
            let gradient = if ratio == 1. { gradient } else { (gradient * ratio)? };
            let sum = match self.tensors.remove(&name) {
                Some(sum) => (sum + gradient)?,
                None => gradient,
            };
            self.tensors.insert(name, sum);
        }
        Ok(())
    }

    /// Multiply all gradients.
    pub fn multiply(&mut self, by: f64) {
        self.factor *= by;
    }

    /// Divide all gradients. With an initial factor of 1 this reverses [`Gradients::multiply`] by the same number
    /// exactly, to the bit.
    pub fn divide(&mut self, by: f64) {
        self.factor /= by;
    }

    /// The factor of all tensors: the gradients are `factor * tensors`.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Iterate over names and tensors, without [`Gradients::factor`], in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, gradient)| (name.as_str(), gradient))
    }

    /// Compute the Euclidean norm of all gradients, taken as one vector.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn norm(&self) -> Result<f64> {
        let mut squares = 0.;
        let mut device_sums = vec![];
        for gradient in self.tensors.values() {
            match sum_of_squares(gradient)? {
                Some(sum) => squares += sum,
                // Summed on the tensor's device; all sums are copied to the CPU at once.
                None => device_sums.push(gradient.to_dtype(sum_dtype(gradient))?.sqr()?.sum_all()?),
            }
        }
        if !device_sums.is_empty() {
            let sums = Tensor::stack(&device_sums, 0)?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
            squares += sums.to_vec1::<f64>()?.iter().sum::<f64>();
        }
        Ok(squares.sqrt() * self.factor)
    }
}

impl From<NamedTensors> for Gradients {
    fn from(tensors: NamedTensors) -> Self {
        Self { tensors, factor: 1. }
    }
}

impl Default for Gradients {
    fn default() -> Self {
        NamedTensors::new().into()
    }
}

/// The dtype that squares are summed in. Squares in half precision would overflow.
fn sum_dtype(gradient: &Tensor) -> DType {
    match gradient.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// Compute the sum of squares of a contiguous f32 or f64 tensor on the CPU. Return `None` for any other tensor.
fn sum_of_squares(gradient: &Tensor) -> Result<Option<f64>> {
    let (storage, layout) = gradient.storage_and_layout();
    let (Storage::Cpu(storage), Some((from, to))) = (&*storage, layout.contiguous_offsets()) else {
        return Ok(None);
    };
    Ok(match storage {
        CpuStorage::F32(numbers) => Some(squares(&numbers[from..to])),
        CpuStorage::F64(numbers) => Some(squares(&numbers[from..to])),
        _ => None,
    })
}

/// Compute the sum of squares in chunks of fixed size, added in order: the result does not depend on the number of
/// threads or the vector width.
fn squares<T: Copy + Into<f64> + Sync>(numbers: &[T]) -> f64 {
    let sum_chunk = |numbers: &[T]| {
        let mut sums = [0f64; 16];
        let (whole, rest) = numbers.as_chunks::<16>();
        for chunk in whole {
            for (sum, &x) in sums.iter_mut().zip(chunk) {
                let x: f64 = x.into();
                *sum += x * x;
            }
        }
        let rest = rest.iter().map(|&x| x.into() * x.into());
        sums.into_iter().chain(rest).sum::<f64>()
    };
    parallel::map(numbers.chunks(parallel::PIECE).collect(), sum_chunk).into_iter().sum()
}

/// Scale all gradients by one factor so that their norm is at most `max_norm`, as PyTorch's `clip_grad_norm_`:
/// the factor is `max_norm / (norm + 1e-6)` if that is below 1. Return the norm before clipping; if it is NaN or
/// infinite, the gradients do not change.
///
/// # Errors
/// Errors from candle.
pub fn clip_by_norm(gradients: &mut Gradients, max_norm: f64) -> Result<f64> {
    let norm = gradients.norm()?;
    let factor = max_norm / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        gradients.factor *= factor;
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
    fn small_and_infinite_gradients_are_not_clipped() {
        let mut small = gradient(&[3.0, 4.0]);
        assert_eq!(clip_by_norm(&mut small, 6.0).unwrap(), 5.0);
        assert_eq!(small.factor(), 1.0);
        let mut infinite = gradient(&[f32::INFINITY, 4.0]);
        assert!(clip_by_norm(&mut infinite, 1.0).unwrap().is_infinite());
        assert_eq!(infinite.factor(), 1.0);
        assert_eq!(clip_by_norm(&mut Gradients::default(), 1.0).unwrap(), 0.0);
    }

    #[test]
    fn gradients_are_added_with_their_factors() {
        let mut sum = Gradients::default();
        let mut first = gradient(&[1.0, 2.0]);
        first.multiply(3.0);
        sum.add(first).unwrap();
        assert_eq!((sum.factor(), sum.get("w").unwrap().to_vec1::<f32>().unwrap()), (3.0, vec![1.0, 2.0]));
        let mut second = gradient(&[4.0, -1.0]);
        second.multiply(6.0);
        sum.add(second).unwrap();
        sum.divide(9.0);
        let total = sum.get("w").unwrap().affine(sum.factor(), 0.0).unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(total, [27.0 / 9.0, 0.0]);
    }

    proptest! {
        #[test]
        fn clipped_norm_is_at_most_max_norm(
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
