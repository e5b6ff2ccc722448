//! Operators on constants, which exporters may leave to the engine.

use candle_core::{DType, Tensor};

use super::pick::Range;
use crate::Error;

/// Return the message of an error, in one line.
pub(super) fn reason(error: candle_core::Error) -> String {
    Error::from(error).to_string()
}

/// Take a part of a dimension.
pub(super) fn narrowed(tensor: &Tensor, place: usize, range: &Range) -> Result<Tensor, String> {
    let size = tensor.dim(place).map_err(reason)?;
    let (start, length) = range.bounds(size)?;
    tensor.narrow(place, start, length).map_err(reason)
}

/// Compute the floats of integers: `(integer - zero point) * scale`, with one scale for all or for each index of the
/// dimension `axis`.
pub(super) fn dequantised(
    integers: &Tensor,
    scale: &Tensor,
    zero_point: Option<&Tensor>,
    axis: usize,
) -> Result<Tensor, String> {
    let dims = integers.dims();
    let along = |tensor: &Tensor| -> candle_core::Result<Tensor> {
        let tensor = tensor.to_dtype(DType::F32)?;
        match tensor.elem_count() {
            1 => tensor.reshape(()),
            count => {
                let mut shape = vec![1; dims.len()];
                shape[axis] = count;
                tensor.reshape(shape)
            }
        }
    };
    let scales = [Some(scale), zero_point].into_iter().flatten();
    let size = dims.get(axis).copied().unwrap_or(1);
    if scales.clone().any(|tensor| tensor.rank() > 1 || ![1, size].contains(&tensor.elem_count())) {
        return Err(format!("has scales that fit no dimension of the shape {dims:?}"));
    }
    let compute = || {
        let shifted = match zero_point {
            Some(zero_point) => integers.broadcast_sub(&along(zero_point)?)?,
            None => integers.clone(),
        };
        shifted.broadcast_mul(&along(scale)?)
    };
    compute().map_err(reason)
}

/// Whether all elements are zero.
pub(super) fn is_zero(tensor: &Tensor) -> bool {
    let largest = || tensor.to_dtype(DType::F32)?.abs()?.sum_all()?.to_scalar::<f32>();
    largest().is_ok_and(|largest| largest == 0.)
}

/// Return the only element of a tensor.
pub(super) fn number(tensor: &Tensor) -> Option<f32> {
    let elements =
        tensor.to_dtype(DType::F32).and_then(|tensor| tensor.flatten_all()?.to_vec1::<f32>()).ok()?;
    match elements[..] {
        [number] => Some(number),
        _ => None,
    }
}
