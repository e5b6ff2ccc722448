//! The sum of gradients over all processes.

use candle_core::{DType, Device, Tensor, WithDType};
use half::bf16;
use rnn_zoo_models::Precision;

use super::gradients::Gradients;
use crate::Result;
use crate::distributed::{Communicator, Wire, all_reduce};
use crate::parameters::{NamedTensors, Parameters};

/// Return the sum of the gradients of all processes, the same to the bit on each. A parameter has a gradient if it has
/// one in any process. A single process keeps its gradients as they are. `precision` is that of the gradients on their
/// way.
///
/// # Errors
/// Errors from candle.
pub(super) fn sum_over_ranks(
    ranks: &dyn Communicator,
    gradients: Gradients,
    parameters: &Parameters,
    precision: Precision,
) -> Result<Gradients> {
    if ranks.size() == 1 {
        return Ok(gradients);
    }
    let is_f64 = parameters.iter().any(|(_, var)| var.dtype() == DType::F64);
    match precision {
        Precision::Bf16 => summed::<bf16>(ranks, &gradients, parameters),
        _ if is_f64 => summed::<f64>(ranks, &gradients, parameters),
        _ => summed::<f32>(ranks, &gradients, parameters),
    }
}

/// Sum the gradients in one buffer: those of all parameters in name order, zero where there is none, and then the
/// number of processes that have each.
fn summed<W: Wire<Sum: WithDType>>(
    ranks: &dyn Communicator,
    gradients: &Gradients,
    parameters: &Parameters,
) -> Result<Gradients> {
    let zero = W::Sum::from_f64(0.);
    let factor = gradients.factor();
    let mut numbers = Vec::with_capacity(parameters.count() + parameters.len());
    let mut present = Vec::with_capacity(parameters.len());
    for (name, var) in parameters.iter() {
        let gradient = gradients.get(name);
        match gradient {
            Some(gradient) => {
                let scaled = gradient.to_device(&Device::Cpu)?.to_dtype(W::Sum::DTYPE)?.affine(factor, 0.)?;
                numbers.extend(scaled.flatten_all()?.to_vec1::<W::Sum>()?);
            }
            None => numbers.resize(numbers.len() + var.elem_count(), zero),
        }
        present.push(W::Sum::from_f64(if gradient.is_some() { 1. } else { 0. }));
    }
    numbers.extend(present);
    all_reduce::<W>(ranks, &mut numbers);
    let (numbers, present) = numbers.split_at(parameters.count());
    let mut sums = NamedTensors::new();
    let mut rest = numbers;
    for ((name, var), present) in parameters.iter().zip(present) {
        let (own, after) = rest.split_at(var.elem_count());
        rest = after;
        if present.to_f64() > 0. {
            let sum = Tensor::from_slice(own, var.shape(), var.device())?.to_dtype(var.dtype())?;
            sums.insert(name.to_string(), sum);
        }
    }
    Ok(sums.into())
}
