//! The sum of gradients over all processes.

use candle_core::{DType, Device, Storage, Tensor, Var, WithDType};
use half::bf16;
use rnn_zoo_models::Precision;

use super::gradients::Gradients;
use crate::Result;
use crate::distributed::{Communicator, DeviceSum, Wire, all_reduce};
use crate::parameters::{NamedTensors, Parameters};

/// The most numbers of parameters that travel together, unless a single one has more. Glibc returns buffers of more
/// than 32 MiB to the system, and each page of a new one costs a page fault.
const GROUP: usize = 1 << 22;

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
    if let Some(devices) = ranks.devices() {
        let dtype = match precision {
            Precision::Bf16 => DType::BF16,
            _ if is_f64 => DType::F64,
            _ => DType::F32,
        };
        return summed_on_devices(devices, &gradients, parameters, dtype);
    }
    match precision {
        Precision::Bf16 => summed::<bf16>(ranks, &gradients, parameters),
        _ if is_f64 => summed::<f64>(ranks, &gradients, parameters),
        _ => summed::<f32>(ranks, &gradients, parameters),
    }
}

/// Sum the gradients where they are, in one buffer of the device: those of all parameters in name order, zero where
/// there is none, and then the number of processes that have each.
fn summed_on_devices(
    devices: &dyn DeviceSum,
    gradients: &Gradients,
    parameters: &Parameters,
    dtype: DType,
) -> Result<Gradients> {
    let mut pieces = vec![];
    for (name, var) in parameters.iter() {
        let piece = match gradients.get(name) {
            Some(gradient) => gradient.affine(gradients.factor(), 0.)?,
            None => var.zeros_like()?,
        };
        pieces.push(piece.flatten_all()?.to_dtype(dtype)?);
    }
    let Some(device) = pieces.first().map(|piece| piece.device().clone()) else {
        return Ok(Gradients::default());
    };
    let present: Vec<f32> =
        parameters.iter().map(|(name, _)| f32::from(u8::from(gradients.get(name).is_some()))).collect();
    pieces.push(Tensor::new(present, &device)?.to_dtype(dtype)?);
    let sum = Tensor::cat(&pieces, 0)?;
    devices.sum(&sum)?;
    let count = parameters.count();
    let present = sum.narrow(0, count, parameters.len())?.to_dtype(DType::F32)?.to_vec1::<f32>()?;
    let mut sums = NamedTensors::new();
    let mut start = 0;
    for ((name, var), present) in parameters.iter().zip(present) {
        if present > 0. {
            let own = sum.narrow(0, start, var.elem_count())?.reshape(var.shape())?;
            sums.insert(name.to_string(), own.to_dtype(var.dtype())?);
        }
        start += var.elem_count();
    }
    Ok(sums.into())
}

/// Sum the gradients group by group, in name order.
fn summed<W: Wire<Sum: WithDType>>(
    ranks: &dyn Communicator,
    gradients: &Gradients,
    parameters: &Parameters,
) -> Result<Gradients> {
    let mut sums = NamedTensors::new();
    let mut group = vec![];
    let mut numbers = 0;
    for (name, var) in parameters.iter() {
        if numbers > 0 && numbers + var.elem_count() > GROUP {
            sum_group::<W>(ranks, gradients, &group, &mut sums)?;
            group.clear();
            numbers = 0;
        }
        group.push((name, var));
        numbers += var.elem_count();
    }
    sum_group::<W>(ranks, gradients, &group, &mut sums)?;
    Ok(sums.into())
}

/// Add to `sums` those of a group of parameters. They travel in one buffer: the gradients of all parameters of the
/// group, zero where there is none, and then the number of processes that have each.
fn sum_group<W: Wire<Sum: WithDType>>(
    ranks: &dyn Communicator,
    gradients: &Gradients,
    group: &[(&str, &Var)],
    sums: &mut NamedTensors,
) -> Result<()> {
    let count = group.iter().map(|(_, var)| var.elem_count()).sum::<usize>();
    let mut numbers = Vec::with_capacity(count + group.len());
    for (name, var) in group {
        match gradients.get(name) {
            Some(gradient) => append(&mut numbers, gradient, gradients.factor())?,
            None => numbers.resize(numbers.len() + var.elem_count(), W::Sum::from_f64(0.)),
        }
    }
    let present = group.iter().map(|(name, _)| if gradients.get(name).is_some() { 1. } else { 0. });
    numbers.extend(present.map(W::Sum::from_f64));
    all_reduce::<W>(ranks, &mut numbers);
    let present = numbers.split_off(count);
    let sum = Tensor::from_vec(numbers, count, &Device::Cpu)?;
    let mut start = 0;
    for ((name, var), present) in group.iter().zip(present) {
        let count = var.elem_count();
        if present.to_f64() > 0. {
            // On the CPU a part of the sums, without a copy.
            let own = sum.narrow(0, start, count)?.reshape(var.shape())?;
            sums.insert(name.to_string(), own.to_device(var.device())?.to_dtype(var.dtype())?);
        }
        start += count;
    }
    Ok(())
}

/// Append the numbers of a gradient, multiplied by `factor`.
fn append<T: WithDType>(numbers: &mut Vec<T>, gradient: &Tensor, factor: f64) -> Result<()> {
    let gradient = gradient.to_device(&Device::Cpu)?.to_dtype(T::DTYPE)?.contiguous()?;
    let (storage, layout) = gradient.storage_and_layout();
    let (Storage::Cpu(storage), Some((from, to))) = (&*storage, layout.contiguous_offsets()) else {
        unreachable!("invariant: the gradient is contiguous and on the CPU");
    };
    let factor = T::from_f64(factor);
    numbers.extend(T::cpu_storage_as_slice(storage)?[from..to].iter().map(|&number| number * factor));
    Ok(())
}
