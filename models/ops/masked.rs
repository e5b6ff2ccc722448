//! A parameter times a mask as one node of candle's graph. Weight drop multiplies all recurrent weights at
//! every step of training: the mask never becomes a tensor, and the gradient goes past candle's store.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, DType, Layout, Result, Shape, Tensor, bail};

use super::fused::{numbers, read};
use super::{reference, sink};
use crate::kernels::cpu::Real;

/// `weight` times `mask`, whose numbers are as many and in row-major order.
///
/// # Errors
/// Where they are not as many.
pub(crate) fn masked(weight: &Tensor, mask: Vec<f32>) -> Result<Tensor> {
    match weight.dtype() {
        DType::F32 if reference::gives_way(weight) => masked_in::<f32>(weight, mask),
        DType::F64 if reference::gives_way(weight) => masked_in::<f64>(weight, mask),
        dtype => weight * Tensor::from_vec(mask, weight.shape(), weight.device())?.to_dtype(dtype)?,
    }
}

fn masked_in<E: Real>(weight: &Tensor, mask: Vec<f32>) -> Result<Tensor> {
    if mask.len() != weight.elem_count() {
        bail!("a mask of {} numbers is not one for {:?}", mask.len(), weight.shape());
    }
    weight.contiguous()?.apply_op1(Masked::<E> { mask, numbers: PhantomData })
}

/// Of any tensor, the same times the mask.
struct Masked<E> {
    mask: Vec<f32>,
    numbers: PhantomData<E>,
}

impl<E: Real> Masked<E> {
    fn times_mask(&self, numbers: &[E]) -> Vec<E> {
        numbers.iter().zip(&self.mask).map(|(&number, &mask)| number * E::from_f64(f64::from(mask))).collect()
    }
}

impl<E: Real> CustomOp1 for Masked<E> {
    fn name(&self) -> &'static str {
        "masked"
    }

    fn cpu_fwd(&self, weight: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let masked = self.times_mask(numbers::<E>(weight, layout)?);
        Ok((E::to_cpu_storage_owned(masked), layout.shape().clone()))
    }

    fn bwd(&self, weight: &Tensor, _masked: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient =
            read::<E, _, 1>([Some(&gradient.contiguous()?)], |[gradient]| self.times_mask(gradient))?;
        sink::offer(weight, Tensor::from_vec(gradient, weight.shape(), weight.device())?)
    }
}
