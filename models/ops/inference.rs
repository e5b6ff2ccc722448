//! Inference in int8: its limits, results without gradients, and the rounding of weights.

use std::sync::{Mutex, PoisonError};

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};

use crate::kernels::cpu::{MAX_DEPTH, inverse, scale_of};

/// The error of a backward pass.
const NO_GRADIENTS: &str = "int8 is a precision of inference and has no gradients; train in f32 or bf16";

/// Return `result`, which has no graph and depends on `operands`. If one of them is trained, a backward pass through
/// the result is an error; without this, the gradients would be missing without an error.
///
/// # Errors
/// If an operand is trained and the result is on another device than the processor.
pub(crate) fn refuse_gradients(result: Tensor, operands: &[&Tensor]) -> Result<Tensor> {
    let Some(trained) = operands.iter().find(|tensor| tensor.track_op()) else { return Ok(result) };
    let (shape, flat) = (result.shape().clone(), result.flatten_all()?);
    let storage = match (result.device().is_cpu(), result.dtype()) {
        (true, DType::F32) => CpuStorage::F32(flat.to_vec1()?),
        (true, DType::F64) => CpuStorage::F64(flat.to_vec1()?),
        _ => bail!("{NO_GRADIENTS}"),
    };
    trained.apply_op1(Int8Result { storage: Mutex::new(Some(storage)), shape })
}

/// Refuse products in int8 whose sums may not fit an i32.
///
/// # Errors
/// If one of `depths` is above the limit.
pub(super) fn check_depth(depths: &[usize]) -> Result<()> {
    match depths.iter().find(|&&depth| depth > MAX_DEPTH) {
        Some(depth) => {
            bail!("a product in int8 has {depth} features; expected at most {MAX_DEPTH}; use bf16")
        }
        None => Ok(()),
    }
}

/// Round a row of weights to int8 as the kernels do, into `integers` of the same length. Return the scale, for which
/// `integer * scale` is exact and is rounded to the same integer again. It is NaN if a weight is NaN or infinite.
///
/// # Panics
/// If the lengths differ.
pub fn round_to_int8(row: &[f32], integers: &mut [i8]) -> f32 {
    assert_eq!(row.len(), integers.len(), "a row and its integers");
    let is_finite = row.iter().all(|x| x.is_finite());
    let largest = row.iter().fold(0f32, |largest, x| largest.max(x.abs()));
    let scale = scale_of(if is_finite { largest } else { f32::NAN });
    let factor = inverse(scale);
    for (integer, x) in integers.iter_mut().zip(row) {
        *integer = (x * factor).round_ties_even() as i8;
    }
    scale
}

/// The op from an operand to the result, which is computed already.
struct Int8Result {
    storage: Mutex<Option<CpuStorage>>,
    shape: Shape,
}

impl CustomOp1 for Int8Result {
    fn name(&self) -> &'static str {
        "int8"
    }

    fn cpu_fwd(&self, _storage: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let mut storage = self.storage.lock().unwrap_or_else(PoisonError::into_inner);
        match storage.take() {
            Some(storage) => Ok((storage, self.shape.clone())),
            None => bail!("invariant: an op runs forward once"),
        }
    }

    fn bwd(&self, _operand: &Tensor, _result: &Tensor, _gradient: &Tensor) -> Result<Option<Tensor>> {
        bail!("{NO_GRADIENTS}")
    }
}
