//! A linear layer.

use candle_core::{Result, Tensor, bail};

use super::backend::{Operation, dispatch};
use super::inference::{check_depth, refuse_gradients};
use super::reference;
use super::storage::read;
use crate::kernels::cpu::{self, GradientOperand, Int8, Isa, Real};

/// Compute `xs W^T + b`: (rows, features) to (rows, outputs), with `weight` (outputs, features) and `bias` (outputs).
///
/// # Errors
/// If the shapes disagree.
pub(crate) fn linear(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    dispatch(LinearCall { xs, weight, bias }, xs)
}

struct LinearCall<'a> {
    xs: &'a Tensor,
    weight: &'a Tensor,
    bias: Option<&'a Tensor>,
}

impl Operation for LinearCall<'_> {
    type Output = Tensor;

    /// Compute the product with candle's, which is as fast.
    fn cpu<O: GradientOperand<Sum: Real>>(self, _isa: Isa) -> Result<Tensor> {
        self.reference()
    }

    fn int8(self, isa: Isa) -> Result<Tensor> {
        let Self { xs, weight, bias } = self;
        let ((rows, features), (outputs, inputs)) = (xs.dims2()?, weight.dims2()?);
        if features != inputs {
            bail!("a linear layer of {inputs} features cannot read {features}");
        }
        check_depth(&[features])?;
        let tensors = [&xs.contiguous()?, &weight.contiguous()?];
        let ys = read::<f32, _, 2>(tensors.map(Some), |[xs, weight]| {
            cpu::linear::<Int8>(isa, xs, weight, (rows, features, outputs))
        })?;
        let ys = Tensor::from_vec(ys, (rows, outputs), xs.device())?;
        let ys = match bias {
            Some(bias) => ys.broadcast_add(&bias.detach())?,
            None => ys,
        };
        refuse_gradients(ys, &[xs, weight])
    }

    fn reference(self) -> Result<Tensor> {
        reference::linear(self.xs, self.weight, self.bias)
    }
}
