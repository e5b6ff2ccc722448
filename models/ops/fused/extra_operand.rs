//! Operands of the recurrence beyond the three that candle's ops take.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor};

use super::side_channel::Slot;
use crate::kernels::cpu::Real;
use crate::ops::storage::tensor_like;

/// A tensor that the recurrence reads although it is not an argument of the recurrence in candle's graph.
pub(super) struct ExtraOperand<E> {
    /// Contiguous.
    tensor: Tensor,
    /// The slot in which the recurrence leaves the gradient for the operand's node; `None` without a gradient.
    gradient: Option<Arc<Slot<Vec<E>>>>,
}

impl<E: Real> ExtraOperand<E> {
    /// Connect `tensor` to candle's graph, if it has a gradient, by a node between `token` and the next reader of the
    /// token. Return the operand and the new token.
    pub(super) fn connect(tensor: &Tensor, token: Tensor) -> Result<(Self, Tensor)> {
        let tensor = tensor.contiguous()?;
        if !tensor.track_op() {
            return Ok((Self { tensor, gradient: None }, token));
        }
        let gradient = Arc::new(Slot::default());
        let node = ExtraOperandNode { gradient: gradient.clone(), element: PhantomData::<E> };
        let token = token.apply_op2(&tensor, node)?;
        Ok((Self { tensor, gradient: Some(gradient) }, token))
    }

    /// Make an operand without a gradient.
    pub(super) fn unconnected(tensor: &Tensor) -> Result<Self> {
        Ok(Self { tensor: tensor.contiguous()?.detach(), gradient: None })
    }

    pub(super) fn tensor(&self) -> &Tensor {
        &self.tensor
    }

    /// Return the elements of some rows of the batch, the first dimension.
    pub(super) fn rows(&self, rows: Range<usize>) -> Result<Vec<E>> {
        self.tensor.detach().narrow(0, rows.start, rows.len())?.flatten_all()?.to_vec1()
    }

    /// Hand the gradient to the operand's node.
    pub(super) fn put_gradient(&self, gradient: Vec<E>) {
        if let Some(slot) = &self.gradient {
            slot.put(gradient);
        }
    }
}

/// The op from a token and an operand to the token. Its backward pass returns the gradient of the operand that the
/// recurrence, which reads the token, has left in the slot.
struct ExtraOperandNode<E> {
    gradient: Arc<Slot<Vec<E>>>,
    element: PhantomData<E>,
}

impl<E: Real> CustomOp2 for ExtraOperandNode<E> {
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
