//! Parameters stored as int8: each matrix as integers of type I8 with the scale of each row, an F32, beside it.
//!
//! A matrix NAME of shape (.., columns) is the tensors NAME (I8, the same shape) and NAME.scales (F32, without the last
//! dimension): an element is `integer * scale`. Vectors stay in F32. The rule of the scales is that of products in
//! int8, which find the same integers and scales again.

use candle_core::{DType, Device};
use rnn_zoo_models::ops::round_to_int8;
use safetensors::Dtype;
use safetensors::tensor::TensorView;

use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// The suffix that makes the name of the scales from that of a tensor of integers.
const SUFFIX: &str = ".scales";

/// Return the name of the scales of the integers `name`.
pub(super) fn scales_name(name: &str) -> String {
    format!("{name}{SUFFIX}")
}

/// Return the name of the integers whose scales would be called `name`.
pub(super) fn integers_name(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX)
}

/// A tensor as it is stored.
struct StoredTensor {
    name: String,
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

/// Serialise parameters, matrices as int8. Equal parameters give equal bytes.
///
/// # Errors
/// Errors from candle, and if a parameter has no finite f32.
pub(super) fn encode(parameters: &NamedTensors) -> Result<Vec<u8>> {
    let mut stored = Vec::new();
    for (name, tensor) in parameters {
        let tensor = tensor.detach().to_device(&Device::Cpu)?.to_dtype(DType::F32)?.contiguous()?;
        let values: Vec<f32> = tensor.flatten_all()?.to_vec1()?;
        let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let (shape, name) = (tensor.dims().to_vec(), name.clone());
        let columns = match shape[..] {
            [_, .., columns] if columns > 0 => columns,
            _ => {
                stored.push(StoredTensor { name, dtype: Dtype::F32, shape, bytes: floats(&values) });
                continue;
            }
        };
        let mut integers = vec![0i8; values.len()];
        let rows = values.chunks_exact(columns).zip(integers.chunks_exact_mut(columns));
        let scales: Vec<f32> = rows.map(|(row, integers)| round_to_int8(row, integers)).collect();
        if scales.iter().any(|scale| !scale.is_finite()) {
            return Err(Error::Message(format!("tensor {name} holds NaN or infinity")));
        }
        let (scales_name, scales_shape) = (scales_name(&name), shape[..shape.len() - 1].to_vec());
        let scales = floats(&scales);
        stored.push(StoredTensor {
            name: scales_name,
            dtype: Dtype::F32,
            shape: scales_shape,
            bytes: scales,
        });
        let bytes = integers.into_iter().map(|integer| integer as u8).collect();
        stored.push(StoredTensor { name, dtype: Dtype::I8, shape, bytes });
    }
    let failed = |error| Error::Message(format!("cannot write tensors as safetensors: {error}"));
    let mut views = Vec::with_capacity(stored.len());
    for StoredTensor { name, dtype, shape, bytes } in &stored {
        views.push((name, TensorView::new(*dtype, shape.clone(), bytes).map_err(failed)?));
    }
    safetensors::serialize(views, None).map_err(failed)
}

/// Integers and their scales as read, in any order.
#[derive(Default)]
pub(super) struct Quantised {
    pub(super) shape: Vec<usize>,
    pub(super) integers: Vec<u8>,
    /// Little-endian f32.
    pub(super) scales: Vec<u8>,
}

impl Quantised {
    /// Return the elements as little-endian f32.
    ///
    /// # Errors
    /// The problem, if a scale is negative or there are more or fewer than rows.
    pub(super) fn dequantised(&self) -> Result<Vec<u8>, String> {
        let columns = self.shape.last().copied().unwrap_or(1).max(1);
        let scales: Vec<f32> =
            self.scales.as_chunks::<4>().0.iter().map(|&bytes| f32::from_le_bytes(bytes)).collect();
        if scales.len() * columns != self.integers.len() {
            let rows = self.integers.len() / columns;
            return Err(format!("has {} scales for {rows} rows", scales.len()));
        }
        if scales.iter().any(|&scale| scale < 0.) {
            return Err("has a negative scale".to_string());
        }
        let rows = self.integers.chunks_exact(columns).zip(scales);
        let elements =
            rows.flat_map(|(row, scale)| row.iter().map(move |&integer| f32::from(integer as i8) * scale));
        Ok(elements.flat_map(f32::to_le_bytes).collect())
    }
}
