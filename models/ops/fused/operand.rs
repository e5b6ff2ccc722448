//! Operands of the recurrence beyond the three that candle's ops take.

use std::marker::PhantomData;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::side_channel::Slot;
use crate::kernels::cpu::Real;
use crate::ops::storage::tensor_like;

/// A tensor that the recurrence reads although it is none of its arguments in candle's graph.
pub(super) struct Operand<E> {
    /// Contiguous.
    tensor: Tensor,
    /// The way of its gradient, if it has one, from the recurrence to the operand's node.
    gradient: Option<Arc<Slot<Vec<E>>>>,
}

impl<E: Real> Operand<E> {
    /// Connect `tensor` to candle's graph by a node between `token` and what reads the token next, if it has a
    /// gradient. Returns the operand and the new token.
    pub(super) fn connect(tensor: &Tensor, token: Tensor) -> Result<(Self, Tensor)> {
        let tensor = tensor.contiguous()?;
        if !tensor.track_op() {
            return Ok((Self { tensor, gradient: None }, token));
        }
        let gradient = Arc::new(Slot::default());
        let node = OperandNode { gradient: gradient.clone(), element: PhantomData::<E> };
        let token = token.apply_op2(&tensor, node)?;
        Ok((Self { tensor, gradient: Some(gradient) }, token))
    }

    pub(super) fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Hand the gradient to the operand's node.
    pub(super) fn put_gradient(&self, gradient: Vec<E>) {
        if let Some(slot) = &self.gradient {
            slot.put(gradient);
        }
    }
}

/// Of a token and an operand, the token. Backward, the gradient of the operand from the slot: the recurrence,
/// which reads the token, has put it there before.
struct OperandNode<E> {
    gradient: Arc<Slot<Vec<E>>>,
    element: PhantomData<E>,
}

impl<E: Real> CustomOp2 for OperandNode<E> {
    fn name(&self) -> &'static str {
        "recurrence-operand"
    }

    fn cpu_fwd(
        &self,
        _token: &CpuStorage,
        _token_layout: &Layout,
        _operand: &CpuStorage,
        _operand_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((E::to_cpu_storage_owned(vec![E::zero()]), Shape::from(1)))
    }

    fn bwd(
        &self,
        token: &Tensor,
        operand: &Tensor,
        _output: &Tensor,
        _d_output: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = self.gradient.expect("gradient of an operand")?;
        Ok((Some(token.zeros_like()?), Some(tensor_like(gradient, operand)?)))
    }
}
