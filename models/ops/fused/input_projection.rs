//! The node of the input's part of the gates, for all steps at once.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType};

use super::side_channel::SideChannel;
use crate::kernels::cpu::{self, GradientOperand, Isa, Real};
use crate::ops::parameter_gradients::collect;
use crate::ops::storage::{read, tensor_like};

/// The op `xs W^T + b` of the input (batch, time, input), the weights (gates * hidden, input) and the bias (gates *
/// hidden), the input's part of the gates. Its forward pass only returns a token: the recurrence computes the product,
/// whose results it can then read from the cache.
pub(super) struct InputProjection<O: GradientOperand> {
    pub(super) isa: Isa,
    pub(super) shape: cpu::InputShape,
    pub(super) channel: Arc<SideChannel<O>>,
}

impl<O: GradientOperand<Sum: Real>> CustomOp3 for InputProjection<O> {
    fn name(&self) -> &'static str {
        "input-projection"
    }

    fn cpu_fwd(
        &self,
        _xs: &CpuStorage,
        _xs_layout: &Layout,
        _weight: &CpuStorage,
        _weight_layout: &Layout,
        _bias: &CpuStorage,
        _bias_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((O::Sum::to_cpu_storage_owned(vec![O::Sum::from_f64(0.)]), Shape::from(1)))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        weight: &Tensor,
        bias: &Tensor,
        _token: &Tensor,
        _d_token: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let d_gates = self.channel.d_gates.expect("gradient of the gates")?;
        let wants_xs = xs.track_op();
        let cpu::ProjectionGradients { xs: d_xs, weight: d_weight, bias: d_bias } =
            read::<O::Sum, _, 2>([Some(xs), Some(weight)], |[xs, weight]| {
                cpu::project_backward::<O>(self.isa, self.shape, xs, weight, &d_gates, wants_xs)
            })?;
        let d_xs = d_xs.map(|d_xs| tensor_like(d_xs, xs)).transpose()?;
        let d_weight = collect(weight, tensor_like(d_weight, weight)?)?;
        Ok((d_xs, d_weight, Some(tensor_like(d_bias, bias)?)))
    }
}
