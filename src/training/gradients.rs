//! Gradients under the names of their parameters, and clipping by their norm.

use candle_core::{CpuStorage, DType, Device, Storage, Tensor};
use rnn_zoo_models::backward;

use crate::parameters::{NamedTensors, Parameters};
use crate::{Result, parallel};

/// Gradients under the names of their parameters. A parameter that a step did not use has none.
#[derive(Clone, Debug)]
pub struct Gradients {
    tensors: NamedTensors,
    /// The factor of all tensors. Clipping changes it instead of the tensors: the optimizer multiplies when it reads
    /// them, without a pass of its own.
    factor: f64,
}

impl Gradients {
    /// The gradients of a loss.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn of(loss: &Tensor, parameters: &Parameters) -> Result<Self> {
        let found = backward(loss)?;
        let mut tensors = NamedTensors::new();
        for (name, var) in parameters.iter() {
            if let Some(gradient) = found.get(var)? {
                tensors.insert(name.to_string(), gradient);
            }
        }
        Ok(tensors.into())
    }

    /// The gradient of the parameter called `name`, to be multiplied by [`Gradients::factor`].
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Add the gradients of another loss, each with its own factor.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn add(&mut self, other: Self) -> Result<()> {
        if self.tensors.is_empty() {
            *self = other;
            return Ok(());
        }
        let share = other.factor / self.factor;
        for (name, gradient) in other.tensors {
            let gradient = if share == 1. { gradient } else { (gradient * share)? };
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

    /// Divide all gradients. If the factor was 1, this reverses [`Gradients::multiply`] by the same number to the bit.
    pub fn divide(&mut self, by: f64) {
        self.factor /= by;
    }

    /// The factor of all tensors.
    pub fn factor(&self) -> f64 {
        self.factor
    }

    /// Names and tensors, in name order; to be multiplied by [`Gradients::factor`].
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, gradient)| (name.as_str(), gradient))
    }

    /// The Euclidean norm of all gradients taken as one vector.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn norm(&self) -> Result<f64> {
        let mut squares = 0.;
        let mut elsewhere = vec![];
        for gradient in self.tensors.values() {
            match sum_of_squares(gradient)? {
                Some(sum) => squares += sum,
                // Summed on the tensor's device; all sums are fetched together.
                None => elsewhere.push(gradient.to_dtype(sum_dtype(gradient))?.sqr()?.sum_all()?),
            }
        }
        if !elsewhere.is_empty() {
            let sums = Tensor::stack(&elsewhere, 0)?.to_device(&Device::Cpu)?.to_dtype(DType::F64)?;
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

/// The dtype that squares are summed in: half precision would overflow.
fn sum_dtype(gradient: &Tensor) -> DType {
    match gradient.dtype() {
        DType::F64 => DType::F64,
        _ => DType::F32,
    }
}

/// The sum of squares of a contiguous tensor of f32 or f64 on the processor.
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

/// The sum of squares, in pieces whose sums are added in order: neither threads nor vector width change a bit of it.
fn squares<T: Copy + Into<f64> + Sync>(numbers: &[T]) -> f64 {
    let sum = |piece: &&[T]| {
        let mut sums = [0f64; 16];
        let (whole, rest) = piece.as_chunks::<16>();
        for chunk in whole {
            for (sum, &x) in sums.iter_mut().zip(chunk) {
                let x: f64 = x.into();
                *sum += x * x;
            }
        }
        let rest = rest.iter().map(|&x| x.into() * x.into());
        sums.into_iter().chain(rest).sum::<f64>()
    };
    parallel::map(numbers.chunks(parallel::PIECE).collect(), |piece| sum(&piece)).into_iter().sum()
}

/// Scale all gradients by one factor so that their norm is at most `max_norm`, as PyTorch's
/// `clip_grad_norm_` does: the factor is `max_norm / (norm + 1e-6)` if that is below 1. Return the
/// norm before clipping; if that is not finite, the gradients do not change.
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
    fn clipping_leaves_small_and_infinite_gradients_alone() {
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
