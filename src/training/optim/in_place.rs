//! Updates on the CPU: parameter and moments in place, in one pass over memory.

use std::cell::RefCell;
use std::ops::{Add, Div, Mul, Sub};

use candle_core::{CpuStorage, DType, InplaceOp1, Layout, Storage, Tensor, bail};

use super::config::OptimizerConfig;
use crate::parallel::{self, PIECE};

/// Configuration, number and learning rate of an optimizer step.
#[derive(Clone, Copy)]
pub(super) struct UpdateStep<'a> {
    pub config: &'a OptimizerConfig,
    /// Counted from 1.
    pub number: u32,
    pub lr: f64,
}

/// Update `parameter` and its `moments` with the gradient `factor * gradient`. Return `false`, and change nothing,
/// unless all are contiguous f32 or f64 tensors on the CPU.
///
/// # Errors
/// Errors from candle.
pub(super) fn step(
    step: UpdateStep<'_>,
    parameter: &Tensor,
    (gradient, factor): (&Tensor, f64),
    moments: &[Tensor],
) -> candle_core::Result<bool> {
    let tensors: Vec<&Tensor> = std::iter::once(parameter).chain(moments).collect();
    let all = tensors.iter().copied().chain([gradient]);
    if !parameter.device().is_cpu() || all.clone().any(|tensor| !tensor.is_contiguous()) {
        return Ok(false);
    }
    if all.clone().any(|tensor| tensor.dtype() != parameter.dtype()) {
        return Ok(false);
    }
    // A gradient that shares storage with the parameter cannot be read while the parameter is written.
    let copy;
    let gradient = match tensors.iter().any(|tensor| address(tensor) == address(gradient)) {
        true => {
            copy = gradient.copy()?;
            &copy
        }
        false => gradient,
    };
    let (storage, layout) = gradient.storage_and_layout();
    let (Storage::Cpu(storage), Some((from, to))) = (&*storage, layout.contiguous_offsets()) else {
        return Ok(false);
    };
    match (parameter.dtype(), storage) {
        (DType::F32, CpuStorage::F32(gradient)) => {
            with_slices(&tensors, vec![], &mut |numbers: Vec<&mut [f32]>| {
                update_chunks(step, &gradient[from..to], factor, numbers);
            })?;
        }
        (DType::F64, CpuStorage::F64(gradient)) => {
            with_slices(&tensors, vec![], &mut |numbers: Vec<&mut [f64]>| {
                update_chunks(step, &gradient[from..to], factor, numbers);
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Compute `average += share * (parameter - average)`. Return `false`, and change nothing, unless both are
/// contiguous f32 or f64 tensors on the CPU.
///
/// # Errors
/// Errors from candle.
pub(super) fn interpolate(average: &Tensor, parameter: &Tensor, share: f64) -> candle_core::Result<bool> {
    let fits = |tensor: &Tensor| tensor.device().is_cpu() && tensor.is_contiguous();
    if !fits(average) || !fits(parameter) || address(average) == address(parameter) {
        return Ok(false);
    }
    let (storage, layout) = parameter.storage_and_layout();
    let (Storage::Cpu(storage), Some((from, to))) = (&*storage, layout.contiguous_offsets()) else {
        return Ok(false);
    };
    match (average.dtype(), storage) {
        (DType::F32, CpuStorage::F32(parameter)) => {
            with_slices(&[average], vec![], &mut |numbers: Vec<&mut [f32]>| {
                interpolate_slices(numbers, &parameter[from..to], share);
            })?;
        }
        (DType::F64, CpuStorage::F64(parameter)) => {
            with_slices(&[average], vec![], &mut |numbers: Vec<&mut [f64]>| {
                interpolate_slices(numbers, &parameter[from..to], share);
            })?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

fn interpolate_slices<T: UpdateFloat>(averages: Vec<&mut [T]>, parameter: &[T], share: f64) {
    let share = T::of(share);
    let pieces =
        averages.into_iter().flat_map(|average| average.chunks_mut(PIECE).zip(parameter.chunks(PIECE)));
    parallel::map(pieces.collect(), |(average, parameter)| {
        average.iter_mut().zip(parameter).for_each(|(a, &p)| *a = *a + share * (p - *a));
    });
}

/// The address of a tensor's first element in CPU memory.
fn address(tensor: &Tensor) -> Option<usize> {
    match &*tensor.storage_and_layout().0 {
        Storage::Cpu(CpuStorage::F32(numbers)) => Some(numbers.as_ptr().addr()),
        Storage::Cpu(CpuStorage::F64(numbers)) => Some(numbers.as_ptr().addr()),
        _ => None,
    }
}

/// The float type of the updates.
trait UpdateFloat:
    Copy
    + Send
    + Sync
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + 'static
{
    fn of(value: f64) -> Self;
    fn sqrt(self) -> Self;
    fn slice(storage: &mut CpuStorage) -> Option<&mut [Self]>;
}

macro_rules! float {
    ($float:ty, $storage:path) => {
        impl UpdateFloat for $float {
            fn of(value: f64) -> Self {
                value as $float
            }
            fn sqrt(self) -> Self {
                <$float>::sqrt(self)
            }
            fn slice(storage: &mut CpuStorage) -> Option<&mut [Self]> {
                match storage {
                    $storage(numbers) => Some(numbers),
                    _ => None,
                }
            }
        }
    };
}

float!(f32, CpuStorage::F32);
float!(f64, CpuStorage::F64);

/// Call `f` with the elements of all tensors at once. Candle lends the storage of one tensor at a time, so each
/// tensor is borrowed inside the op of the previous one.
fn with_slices<T: UpdateFloat>(
    tensors: &[&Tensor],
    taken: Vec<&mut [T]>,
    f: &mut dyn FnMut(Vec<&mut [T]>),
) -> candle_core::Result<()> {
    struct Borrow<'a, T> {
        rest: &'a [&'a Tensor],
        state: RefCell<Option<TakenSlices<'a, T>>>,
    }
    type TakenSlices<'a, T> = (Vec<&'a mut [T]>, &'a mut dyn FnMut(Vec<&mut [T]>));
    impl<T: UpdateFloat> InplaceOp1 for Borrow<'_, T> {
        fn name(&self) -> &'static str {
            "optimizer-step"
        }

        fn cpu_fwd(&self, storage: &mut CpuStorage, layout: &Layout) -> candle_core::Result<()> {
            let numbers = T::slice(storage).zip(layout.contiguous_offsets());
            let (Some((numbers, (from, to))), Some((taken, f))) = (numbers, self.state.take()) else {
                bail!("an optimizer step needs contiguous tensors of one dtype")
            };
            let mut taken: Vec<&mut [T]> = taken;
            taken.push(&mut numbers[from..to]);
            with_slices(self.rest, taken, f)
        }
    }
    let Some((first, rest)) = tensors.split_first() else {
        f(taken);
        return Ok(());
    };
    first.inplace_op1(&Borrow { rest, state: RefCell::new(Some((taken, f))) })
}

/// Update all elements, in parallel chunks.
fn update_chunks<T: UpdateFloat>(step: UpdateStep<'_>, gradient: &[T], factor: f64, numbers: Vec<&mut [T]>) {
    let mut numbers = numbers.into_iter();
    let Some(parameter) = numbers.next() else { return };
    let mut moments: Vec<_> = numbers.map(|moment| moment.chunks_mut(PIECE)).collect();
    let pieces = parameter.chunks_mut(PIECE).zip(gradient.chunks(PIECE)).map(|(parameter, gradient)| {
        let moments: Vec<&mut [T]> = moments.iter_mut().filter_map(Iterator::next).collect();
        (parameter, gradient, moments)
    });
    parallel::map(pieces.collect(), |(parameter, gradient, mut moments)| {
        update_chunk(step, parameter, gradient, T::of(factor), &mut moments);
    });
}

/// Update one chunk by the equations in `optim/mod.rs`.
fn update_chunk<T: UpdateFloat>(
    step: UpdateStep<'_>,
    p: &mut [T],
    g: &[T],
    factor: T,
    moments: &mut [&mut [T]],
) {
    let lr = T::of(step.lr);
    match (step.config, moments) {
        (OptimizerConfig::Sgd { weight_decay, .. }, []) => {
            let decay = T::of(*weight_decay);
            for (p, &g) in p.iter_mut().zip(g) {
                *p = *p - lr * (g * factor + decay * *p);
            }
        }
        (OptimizerConfig::Sgd { momentum, nesterov, weight_decay }, [b]) => {
            let decay = T::of(*weight_decay);
            let momentum = T::of(*momentum);
            for ((p, &g), b) in p.iter_mut().zip(g).zip(b.iter_mut()) {
                let g = g * factor + decay * *p;
                *b = momentum * *b + g;
                *p = *p - lr * if *nesterov { g + momentum * *b } else { *b };
            }
        }
        (
            OptimizerConfig::Adam { betas, eps, weight_decay }
            | OptimizerConfig::AdamW { betas, eps, weight_decay },
            [m, v],
        ) => {
            let decoupled = matches!(step.config, OptimizerConfig::AdamW { .. });
            let (shrink, decay) = match decoupled {
                true => (T::of(1. - step.lr * weight_decay), T::of(0.)),
                false => (T::of(1.), T::of(*weight_decay)),
            };
            // 1 - beta is computed in f64: in f32, 1 - 0.999 has about four correct digits.
            let [(mean, new_mean), (square, new_square)] = betas.map(|beta| (T::of(beta), T::of(1. - beta)));
            let [bias_mean, bias_square] = betas.map(|beta| 1. - beta.powf(f64::from(step.number)));
            let (rate, root, eps) = (T::of(step.lr / bias_mean), T::of(1. / bias_square.sqrt()), T::of(*eps));
            for (((p, &g), m), v) in p.iter_mut().zip(g).zip(m.iter_mut()).zip(v.iter_mut()) {
                let g = g * factor + decay * *p;
                *m = mean * *m + new_mean * g;
                *v = square * *v + new_square * (g * g);
                *p = shrink * *p - rate * *m / (v.sqrt() * root + eps);
            }
        }
        (OptimizerConfig::RmsProp { alpha, eps, weight_decay }, [v]) => {
            let (new, alpha) = (T::of(1. - alpha), T::of(*alpha));
            let (eps, decay) = (T::of(*eps), T::of(*weight_decay));
            for ((p, &g), v) in p.iter_mut().zip(g).zip(v.iter_mut()) {
                let g = g * factor + decay * *p;
                *v = alpha * *v + new * (g * g);
                *p = *p - lr * g / (v.sqrt() + eps);
            }
        }
        _ => unreachable!("invariant: an optimizer has as many moments as it names"),
    }
}
