//! The node of the state after the last step.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, Layout, Result, Shape, Tensor, WithDType};

use super::side_channel::SideChannel;
use crate::kernels::cpu::{GradientOperand, Real};

/// The op from the outputs to the final state, which comes from the side channel: (batch * output) hidden, then
/// (batch * hidden) cell. Its backward pass puts the gradient into the side channel and returns zeros for the outputs.
pub(super) struct FinalState<O: GradientOperand> {
    pub(super) channel: Arc<SideChannel<O>>,
}

impl<O: GradientOperand<Sum: Real>> CustomOp1 for FinalState<O> {
    fn name(&self) -> &'static str {
        "final-state"
    }

    fn cpu_fwd(&self, _ys: &CpuStorage, _layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let state = self.channel.state.expect("final state")?;
        let count = state.len();
        Ok((O::Sum::to_cpu_storage_owned(state), count.into()))
    }

    fn bwd(&self, ys: &Tensor, _state: &Tensor, gradient: &Tensor) -> Result<Option<Tensor>> {
        self.channel.d_state.put(gradient.contiguous()?);
        Ok(Some(ys.zeros_like()?)) // candle runs a node backward only if its output has a gradient
    }
}
