//! A parameter times a mask as one node of candle's graph.
//!
//! Weight drop multiplies all recurrent weights at every training step. The mask never becomes a tensor, and the
//! gradient bypasses candle's store.

use std::marker::PhantomData;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, bail};

use super::backend::{Operation, dispatch};
use super::parameter_gradients::collect;
use super::storage::{elements, read, tensor_like};
use crate::kernels::cpu::{GradientOperand, Isa, Real};

/// Multiply `weight` by `mask`, whose elements are in row-major order.
///
/// # Errors
/// If the mask has more or fewer elements.
pub(crate) fn masked(weight: &Tensor, mask: Vec<f32>) -> Result<Tensor> {
    if mask.len() != weight.elem_count() {
        bail!("a mask of {} elements does not fit {:?}", mask.len(), weight.shape());
    }
    dispatch(Masking { weight, mask }, weight)
}

struct Masking<'a> {
    weight: &'a Tensor,
    mask: Vec<f32>,
}

impl Operation for Masking<'_> {
    type Output = Tensor;

    fn cpu<O: GradientOperand<Sum: Real>>(self, _isa: Isa) -> Result<Tensor> {
        self.weight.contiguous()?.apply_op1(Masked::<O::Sum> { mask: self.mask, element: PhantomData })
    }

    fn reference(self) -> Result<Tensor> {
        let Self { weight, mask } = self;
        weight * Tensor::from_vec(mask, weight.shape(), weight.device())?.to_dtype(weight.dtype())?
    }
}

/// The op that multiplies a tensor by the mask.
struct Masked<E> {
    mask: Vec<f32>,
    element: PhantomData<E>,
}

impl<E: Real> Masked<E> {
    fn times_mask(&self, elements: &[E]) -> Vec<E> {
        elements.iter().zip(&self.mask).map(|(&x, &mask)| x * E::from_f64(f64::from(mask))).collect()
    }
}

impl<E: Real> CustomOp1 for Masked<E> {
    fn name(&self) -> &'static str {
        "masked"
    }

    fn cpu_fwd(&self, weight: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let masked = self.times_mask(elements::<E>(weight, layout)?);
        Ok((E::to_cpu_storage_owned(masked), layout.shape().clone()))
    }

    fn bwd(&self, weight: &Tensor, _masked: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        let gradient =
            read::<E, _, 1>([Some(&gradient.contiguous()?)], |[gradient]| self.times_mask(gradient))?;
        collect(weight, tensor_like(gradient, weight)?)
    }
}
