//! The node of the recurrence over a sequence.

use std::sync::{Arc, OnceLock};

use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor, WithDType, bail};

use super::extra_operand::ExtraOperand;
use super::side_channel::SideChannel;
use crate::kernels::CellKind;
use crate::kernels::cpu::{self, GradientOperand, Isa, Real};
use crate::ops::parameter_gradients::collect;
use crate::ops::storage::{elements, read, tensor_like};

/// The op from the token of the gates, the recurrent weights (gates * hidden, output) and the initial hidden state
/// (batch, output) to the outputs (batch, time, output). It puts the final state into the side channel.
pub(super) struct Recurrence<O: GradientOperand> {
    pub(super) isa: Isa,
    pub(super) kind: CellKind,
    pub(super) sequence: cpu::Sequence<O::Sum>,
    /// The input (batch, time, input), its weights (gates * hidden, input) and the bias (gates * hidden), contiguous.
    /// Their gradients are the input projection's.
    pub(super) input: [Tensor; 3],
    pub(super) input_shape: cpu::InputShape,
    /// The same weights, packed, if they are not trained.
    pub(super) packed: Option<Arc<cpu::PackedLayer<O>>>,
    /// The initial cell state, (batch, hidden), if the cell has one.
    pub(super) c: Option<ExtraOperand<O::Sum>>,
    /// The recurrent bias, (gates * hidden), unless it is part of the gates.
    pub(super) bias: Option<ExtraOperand<O::Sum>>,
    /// (output, hidden).
    pub(super) projection: Option<ExtraOperand<O::Sum>>,
    /// Whether there will be a backward pass.
    pub(super) save: bool,
    /// The activations that the backward pass needs.
    pub(super) saved: OnceLock<cpu::SavedActivations<O::Sum>>,
    pub(super) channel: Arc<SideChannel<O>>,
}

impl<O: GradientOperand<Sum: Real>> Recurrence<O> {
    /// Return the operands that are not arguments in candle's graph: cell state, bias, projection.
    fn operands(&self) -> [Option<&Tensor>; 3] {
        [&self.c, &self.bias, &self.projection].map(|operand| operand.as_ref().map(ExtraOperand::tensor))
    }

    /// Return the inputs of the kernels, with the elements of [`Recurrence::operands`].
    fn inputs<'a>(
        &self,
        weight: &'a [O::Sum],
        h: &'a [O::Sum],
        [c, bias, projection]: [&'a [O::Sum]; 3],
    ) -> cpu::RecurrenceInputs<'a, O::Sum> {
        cpu::RecurrenceInputs {
            weight,
            h,
            c: self.c.is_some().then_some(c),
            bias: self.bias.is_some().then_some(bias),
            projection: self.projection.is_some().then_some(projection),
        }
    }
}

impl<O: GradientOperand<Sum: Real>> CustomOp3 for Recurrence<O> {
    fn name(&self) -> &'static str {
        "recurrence"
    }

    fn cpu_fwd(
        &self,
        _token: &CpuStorage,
        _token_layout: &Layout,
        weight: &CpuStorage,
        weight_layout: &Layout,
        h: &CpuStorage,
        h_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (weight, h) = (elements::<O::Sum>(weight, weight_layout)?, elements::<O::Sum>(h, h_layout)?);
        let packed = self.packed.as_ref().map(|packed| packed.recurrent());
        let [xs, ih, b_ih] = self.input.each_ref().map(Some);
        let [c, bias, projection] = self.operands();
        let tensors = [xs, ih, b_ih, c, bias, projection];
        let run = |[xs, ih, b_ih, c, bias, projection]: [&[O::Sum]; 6]| {
            let inputs = self.inputs(weight, h, [c, bias, projection]);
            let packed_input = self.packed.as_ref().map(|packed| packed.input());
            let shape = self.input_shape;
            let active = &self.sequence.active;
            let input =
                cpu::LayerInput { shape, active, xs, weight: ih, bias: Some(b_ih), packed: packed_input };
            cpu::forward(self.isa, self.kind, &self.sequence, input, &inputs, packed, self.save)
        };
        let cpu::RecurrenceOutputs { ys, state, saved } = read::<O::Sum, _, 6>(tensors, run)?;
        if let Some(saved) = saved {
            let _ = self.saved.set(saved); // an op runs forward once
        }
        self.channel.state.put(state);
        let cpu::SequenceShape { batch, time, output, .. } = self.sequence.shape;
        Ok((O::Sum::to_cpu_storage_owned(ys), (batch, time, output).into()))
    }

    fn bwd(
        &self,
        token: &Tensor,
        weight: &Tensor,
        h: &Tensor,
        _ys: &Tensor,
        d_ys: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let Some(saved) = self.saved.get() else { bail!("a recurrence saved nothing for its backward pass") };
        let d_state = self.channel.d_state.take();
        let d_ys = d_ys.contiguous()?;
        let [c, bias, projection] = self.operands();
        let tensors = [Some(weight), Some(h), c, bias, projection, Some(&d_ys), d_state.as_ref()];
        let gradients = read::<O::Sum, _, 7>(tensors, |[weight, h, c, bias, projection, d_ys, d_final]| {
            let inputs = self.inputs(weight, h, [c, bias, projection]);
            let gradient = (d_ys, d_state.is_some().then_some(d_final));
            cpu::backward(self.isa, self.kind, &self.sequence, &inputs, saved, gradient)
        })?;
        let cpu::RecurrenceGradients { gates, weight: d_weight, h: d_h, c, bias, projection } = gradients;
        self.channel.d_gates.put(gates);
        for (operand, gradient) in [(&self.c, c), (&self.bias, bias), (&self.projection, projection)] {
            if let (Some(operand), Some(gradient)) = (operand, gradient) {
                operand.put_gradient(gradient);
            }
        }
        let d_weight = collect(weight, tensor_like(d_weight, weight)?)?;
        Ok((Some(token.zeros_like()?), d_weight, Some(tensor_like(d_h, h)?)))
    }
}
