//! The call of a layer in one direction.

use std::sync::{Arc, OnceLock};

use candle_core::{Result, Tensor, bail};

use super::extra_operand::ExtraOperand;
use super::final_state::FinalState;
use super::input_projection::InputProjection;
use super::recurrence::Recurrence;
use super::sequence::kernel_sequence;
use super::side_channel::SideChannel;
use crate::kernels::CellKind;
use crate::kernels::cpu::{self, GradientOperand, Int8, Isa, Real};
use crate::ops::backend::{Operation, dispatch};
use crate::ops::inference::{check_depth, refuse_gradients};
use crate::ops::layer_weights::LayerWeights;
use crate::ops::packing::packed_if_frozen;
use crate::ops::sequence::SequenceOptions;
use crate::ops::storage::read;

/// The results of [`layer`].
pub(crate) struct LayerOutput {
    /// (batch, time, output); zero past a sequence's length.
    pub ys: Tensor,
    /// The hidden state after each sequence's own last step, (batch, output).
    pub h: Tensor,
    /// The cell state, (batch, hidden), if the cell has one.
    pub c: Option<Tensor>,
}

/// Run a layer in one direction over `xs`, (batch, time, input), from the state `h`, (batch, output), and `c`, (batch,
/// hidden), if the cell has one. Return `None` if there are no kernels for the tensors.
///
/// # Errors
/// If weights or state are not those of the kind of cell, or `RNN_ZOO_SIMD` names an instruction set that the
/// processor does not have.
pub(crate) fn layer(
    kind: CellKind,
    weights: LayerWeights<'_>,
    xs: &Tensor,
    (h, c): (&Tensor, Option<&Tensor>),
    options: &SequenceOptions<'_>,
) -> Result<Option<LayerOutput>> {
    weights.check(kind)?;
    if c.is_some() != kind.has_cell_state() {
        bail!("the state is not that of a fused {kind:?}; see Cell::kind");
    }
    dispatch(LayerCall { kind, weights, xs, h, c, options }, xs)
}

/// The arguments of [`layer`].
struct LayerCall<'a> {
    kind: CellKind,
    weights: LayerWeights<'a>,
    xs: &'a Tensor,
    h: &'a Tensor,
    c: Option<&'a Tensor>,
    options: &'a SequenceOptions<'a>,
}

impl LayerCall<'_> {
    /// Return the bias of the gates: with that of the recurrent product, if the kind of cell allows it; else zeros.
    fn gate_bias(&self) -> Result<Tensor> {
        let LayerWeights { ih, b_ih, b_hh, .. } = self.weights;
        match (b_ih, b_hh) {
            (Some(b_ih), Some(b_hh)) if self.kind.folds_bias() => b_ih + b_hh,
            (Some(b_ih), _) => b_ih.contiguous(),
            (None, _) => Tensor::zeros(ih.dim(0)?, self.xs.dtype(), self.xs.device()),
        }
    }
}

impl LayerCall<'_> {
    /// Run the layer in int8, without a graph.
    fn inference(self, isa: Isa) -> Result<LayerOutput> {
        let Self { kind, weights, xs, h, c, options } = self;
        let (batch, time, input) = xs.dims3()?;
        let (hidden, output, gates) = (weights.hidden, weights.output(), kind.gates());
        check_depth(&[input, output, hidden])?;
        let shape = cpu::SequenceShape { batch, time, hidden, output, gates };
        let packed = packed_if_frozen::<Int8>(isa, kind, weights)?;
        let sequence = kernel_sequence(shape, isa.lanes::<f32>(), options);
        let b_hh = weights.b_hh.filter(|_| !kind.folds_bias());
        let tensors = [Some(xs), Some(weights.ih), Some(&self.gate_bias()?), Some(weights.hh), Some(h), c]
            .into_iter()
            .chain([b_hh, weights.hr])
            .map(|tensor| tensor.map(Tensor::contiguous).transpose())
            .collect::<Result<Vec<_>>>()?;
        let tensors: [Option<&Tensor>; 8] = std::array::from_fn(|index| tensors[index].as_ref());
        let given = [c, b_hh, weights.hr].map(|tensor| tensor.is_some());
        let outputs = read::<f32, _, 8>(tensors, |[xs, ih, bias, hh, h, c, b_hh, hr]| {
            let [c, b_hh, hr] = [(given[0], c), (given[1], b_hh), (given[2], hr)]
                .map(|(is_given, elements)| is_given.then_some(elements));
            let input = cpu::LayerInput {
                shape: cpu::InputShape { batch, time, input, hidden, gates },
                active: &sequence.active,
                xs,
                weight: ih,
                bias: Some(bias),
                packed: packed.as_ref().map(|packed| packed.input()),
            };
            let inputs = cpu::RecurrenceInputs { weight: hh, h, c, bias: b_hh, projection: hr };
            let recurrent = packed.as_ref().map(|packed| packed.recurrent());
            cpu::forward(isa, kind, &sequence, input, &inputs, recurrent, false)
        })?;
        let operands: Vec<&Tensor> = tensors.into_iter().flatten().collect();
        let mut state = outputs.state;
        let cells = state.split_off(batch * output);
        let tensor = |elements: Vec<f32>, shape: &[usize]| {
            refuse_gradients(Tensor::from_vec(elements, shape, xs.device())?, &operands)
        };
        Ok(LayerOutput {
            ys: tensor(outputs.ys, &[batch, time, output])?,
            h: tensor(state, &[batch, output])?,
            c: given[0].then(|| tensor(cells, &[batch, hidden])).transpose()?,
        })
    }
}

impl Operation for LayerCall<'_> {
    type Output = Option<LayerOutput>;

    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Self::Output> {
        let Self { kind, weights, xs, h, c, options } = self;
        let (batch, time, input) = xs.dims3()?;
        let (hidden, output, gates) = (weights.hidden, weights.output(), kind.gates());
        let shape = cpu::SequenceShape { batch, time, hidden, output, gates };
        let packed = packed_if_frozen::<O>(isa, kind, weights)?;
        let channel = Arc::new(SideChannel::<O>::default());

        let input_shape = cpu::InputShape { batch, time, input, hidden, gates };
        let sequence = kernel_sequence(shape, isa.lanes::<O::Sum>(), options);
        let projection = InputProjection { isa, shape: input_shape, channel: channel.clone() };
        let input = [xs.contiguous()?, weights.ih.contiguous()?, self.gate_bias()?];
        let [xs, ih, bias] = &input;
        let mut token = xs.apply_op3(ih, bias, projection)?;

        let mut connect = |tensor: Option<&Tensor>| -> Result<Option<ExtraOperand<O::Sum>>> {
            let Some(tensor) = tensor else { return Ok(None) };
            let (operand, next) = ExtraOperand::connect(tensor, token.clone())?;
            token = next;
            Ok(Some(operand))
        };
        let c = connect(c)?;
        let bias = connect(weights.b_hh.filter(|_| !kind.folds_bias()))?;
        let projection = connect(weights.hr)?;
        let has_cell_state = c.is_some();

        let (hh, h) = (weights.hh.contiguous()?, h.contiguous()?);
        let recurrence = Recurrence {
            isa,
            kind,
            sequence,
            input: input.each_ref().map(Tensor::detach),
            input_shape,
            packed,
            c,
            bias,
            projection,
            save: [&token, &hh, &h].into_iter().any(Tensor::track_op),
            saved: OnceLock::new(),
            channel: channel.clone(),
        };
        let ys = token.apply_op3(&hh, &h, recurrence)?;
        let state = ys.apply_op1(FinalState { channel })?;
        let part = |from, width| state.narrow(0, from, batch * width)?.reshape((batch, width));
        let c = has_cell_state.then(|| part(batch * output, hidden)).transpose()?;
        Ok(Some(LayerOutput { h: part(0, output)?, c, ys }))
    }

    fn int8(self, isa: Isa) -> Result<Self::Output> {
        self.inference(isa).map(Some)
    }

    /// Return `None`: the reference is a loop over the step of the cell, which the layer runs.
    fn reference(self) -> Result<Self::Output> {
        Ok(None)
    }
}
