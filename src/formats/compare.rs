//! Comparisons of imported tensors.

use candle_core::{DType, Result, Tensor};

/// Whether two tensors have the same shape, type and elements.
///
/// # Errors
/// Errors from candle.
pub(super) fn are_same(one: &Tensor, other: &Tensor) -> Result<bool> {
    if one.id() == other.id() {
        return Ok(true);
    }
    if one.dims() != other.dims() || one.dtype() != other.dtype() {
        return Ok(false);
    }
    let different = one.ne(other)?.to_dtype(DType::F32)?.sum_all()?;
    Ok(different.to_scalar::<f32>()? == 0.)
}

/// Whether all elements are finite in f32, the type that networks compute in.
///
/// # Errors
/// Errors from candle.
pub(super) fn is_finite(tensor: &Tensor) -> Result<bool> {
    // The sum is taken in f64, which no sum of finite f32 exceeds.
    let sum = tensor.to_dtype(DType::F32)?.to_dtype(DType::F64)?.sum_all()?;
    Ok(sum.to_scalar::<f64>()?.is_finite())
}
