//! A stack that reads one step at a time, with its weights packed and its state in place.

use candle_core::{DType, Device, Result, Tensor, bail};

use super::backend::{Arithmetic, Backend, OperandType};
use super::inference::check_depth;
use super::layer_weights::LayerWeights;
use super::packing::{pack, packed_if_frozen};
use super::storage::read;
use crate::kernels::CellKind;
#[cfg(target_arch = "x86_64")]
use crate::kernels::cpu::Bf16;
use crate::kernels::cpu::{self, Int8, Isa, Operand, RoundedF32};

/// Layers, and perhaps a decoder, that read one step of a batch of sequences after another. Tensors and sums are in
/// f32; there is a variant for each type of operands.
pub(crate) enum FusedStream {
    F32(cpu::PackedStream<f32>),
    Rounded(cpu::PackedStream<RoundedF32>),
    #[cfg(target_arch = "x86_64")]
    Bf16(cpu::PackedStream<Bf16>),
    Int8(cpu::PackedStream<Int8>),
}

/// Evaluate an expression of the stream of any type of operands.
macro_rules! with {
    ($stream:expr, $name:ident => $value:expr) => {
        match $stream {
            FusedStream::F32($name) => $value,
            FusedStream::Rounded($name) => $value,
            #[cfg(target_arch = "x86_64")]
            FusedStream::Bf16($name) => $value,
            FusedStream::Int8($name) => $value,
        }
    };
}

/// A linear layer of a decoder: `weight` is (outputs, inputs), `bias` (outputs).
#[derive(Clone, Copy)]
pub(crate) struct LinearWeights<'a> {
    pub weight: &'a Tensor,
    pub bias: Option<&'a Tensor>,
}

impl FusedStream {
    /// Make a stream of layers and the linear layers of the decoder, both in their order, for one sequence at a state
    /// of zeros. Return `None` if there are no kernels for them.
    ///
    /// # Errors
    /// If weights do not fit their kind of cell or what comes before them, or a linear layer has no outputs.
    pub(crate) fn new(
        layers: &[(CellKind, LayerWeights<'_>)],
        zoneout: f64,
        decoder: &[LinearWeights<'_>],
    ) -> Result<Option<Self>> {
        let fused = |(kind, weights): &(CellKind, LayerWeights<'_>)| {
            Backend::of(weights.ih) == Backend::Cpu(Arithmetic::F32) && *kind != CellKind::GruBefore
        };
        if !layers.iter().all(fused) {
            return Ok(None);
        }
        Ok(Some(match OperandType::of_f32()? {
            OperandType::F32(isa) => Self::F32(packed_stream(isa, layers, zoneout, decoder)?),
            OperandType::Rounded(isa) => Self::Rounded(packed_stream(isa, layers, zoneout, decoder)?),
            #[cfg(target_arch = "x86_64")]
            OperandType::Bf16(isa) => Self::Bf16(packed_stream(isa, layers, zoneout, decoder)?),
            OperandType::Int8(isa) => {
                let of_layers = layers.iter().flat_map(|(_, weights)| [weights.input(), weights.hidden]);
                let of_decoder = decoder.iter().map(|layer| layer.weight.dims()[1]);
                check_depth(&of_layers.chain(of_decoder).collect::<Vec<_>>())?;
                Self::Int8(packed_stream(isa, layers, zoneout, decoder)?)
            }
        }))
    }

    /// Return the number of sequences in the batch.
    pub(crate) fn batch(&self) -> usize {
        with!(self, stream => stream.batch())
    }

    /// Read a step, (batch, features). Return the output of the first sequence.
    ///
    /// # Errors
    /// If `x` has another length, or the batch is empty.
    pub(crate) fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        let (batch, features) = with!(self, stream => (stream.batch(), stream.input_size()));
        if batch == 0 || x.len() != batch * features {
            bail!("a step of {batch} sequences has {} features; expected {features} each", x.len());
        }
        Ok(with!(self, stream => {
            stream.step(x);
            stream.output(0)
        }))
    }

    /// Return the output of a sequence at the last step.
    ///
    /// # Errors
    /// If `row >= batch`.
    pub(crate) fn output(&self, row: usize) -> Result<&[f32]> {
        self.check_row(row)?;
        Ok(with!(self, stream => stream.output(row)))
    }

    /// Replace the batch by these of its sequences, in this order. A sequence may occur several times.
    ///
    /// # Errors
    /// If one of `rows` is not below the batch.
    pub(crate) fn select(&mut self, rows: &[usize]) -> Result<()> {
        rows.iter().try_for_each(|&row| self.check_row(row))?;
        with!(self, stream => stream.select(rows));
        Ok(())
    }

    fn check_row(&self, row: usize) -> Result<()> {
        let batch = self.batch();
        if row >= batch {
            bail!("there is no sequence {row} in a batch of {batch}");
        }
        Ok(())
    }

    /// Replace the batch by the sequences of a state, (layers, batch, output) hidden and (layers, batch, hidden)
    /// cell.
    ///
    /// # Errors
    /// If the state is that of another stack, or its batch is empty. The stream is then unchanged.
    pub(crate) fn set_state(&mut self, h: &Tensor, c: Option<&Tensor>) -> Result<()> {
        // (batch, layers, width)
        let rows = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.transpose(0, 1)?.to_vec3::<f32>();
        let (hs, cs) = (rows(h)?, c.map(rows).transpose()?);
        if hs.is_empty() || cs.as_ref().is_some_and(|cs| cs.len() != hs.len()) {
            let (h, c) = (h.dims(), c.map(Tensor::dims));
            bail!(
                "a state of shapes {h:?} and {c:?} has no batch; expected (layers, batch, hidden), with a batch of at \
                 least 1"
            );
        }
        let widths = |layers: &[Vec<f32>]| layers.iter().map(Vec::len).collect::<Vec<_>>();
        // From the layers, not from a sequence: the batch may be empty.
        let (expected_h, expected_c): (Vec<usize>, Vec<Option<usize>>) =
            with!(self, stream => stream.sizes().unzip());
        let expected_c: Vec<usize> = expected_c.into_iter().flatten().collect(); // of none or of all layers
        if cs.is_some() == expected_c.is_empty() {
            match cs {
                Some(_) => bail!("the state has a cell state; the stream's layers have none"),
                None => bail!("the state has no cell state; the stream's layers have one"),
            }
        }
        for (what, states, expected) in
            [("hidden", Some(&hs), &expected_h), ("cell", cs.as_ref(), &expected_c)]
        {
            if let Some(found) =
                states.into_iter().flatten().map(|row| widths(row)).find(|row| row != expected)
            {
                bail!(
                    "the {what} states of the layers are {found:?} wide; those of the stream are {expected:?}"
                );
            }
        }
        with!(self, stream => stream.resize(hs.len()));
        for (row, hs) in hs.iter().enumerate() {
            with!(self, stream => for (layer, (h, c)) in stream.states(row).enumerate() {
                h.copy_from_slice(&hs[layer]);
                if let (Some(c), Some(cs)) = (c, &cs) {
                    c.copy_from_slice(&cs[row][layer]);
                }
            });
        }
        Ok(())
    }

    /// Return the state after the last step, (layers, batch, output) hidden and (layers, batch, hidden) cell.
    ///
    /// # Errors
    /// If the batch is empty.
    pub(crate) fn state(&mut self) -> Result<(Tensor, Option<Tensor>)> {
        let batch = self.batch();
        if batch == 0 {
            bail!("a stream without sequences has no state");
        }
        let (mut hs, mut cs) = (Vec::new(), Vec::new());
        for row in 0..batch {
            let (mut row_h, mut row_c) = (Vec::new(), Vec::new());
            with!(self, stream => for (h, c) in stream.states(row) {
                row_h.push(Tensor::new(&*h, &Device::Cpu)?);
                row_c.extend(c.map(|c| Tensor::new(&*c, &Device::Cpu)).transpose()?);
            });
            hs.push(Tensor::stack(&row_h, 0)?); // (layers, output)
            if !row_c.is_empty() {
                cs.push(Tensor::stack(&row_c, 0)?); // (layers, hidden)
            }
        }
        let c = if cs.is_empty() { None } else { Some(Tensor::stack(&cs, 1)?) };
        Ok((Tensor::stack(&hs, 1)?, c))
    }
}

/// Pack all layers and the decoder for one sequence.
fn packed_stream<O: Operand<Sum = f32>>(
    isa: Isa,
    layers: &[(CellKind, LayerWeights<'_>)],
    zoneout: f64,
    decoder: &[LinearWeights<'_>],
) -> Result<cpu::PackedStream<O>> {
    let packed_layers = layers.iter().map(|&(kind, weights)| packed_layer(isa, kind, weights, zoneout));
    let packed_layers = packed_layers.collect::<Result<Vec<_>>>()?;
    let mut features = layers.last().map_or(0, |(_, weights)| weights.output());
    let mut packed_decoder = Vec::with_capacity(decoder.len());
    for &linear in decoder {
        let (outputs, inputs) = linear.weight.dims2()?;
        if inputs != features {
            bail!("a linear layer of {inputs} features cannot read the {features} of a stream");
        }
        if outputs == 0 {
            bail!("a linear layer of a stream has no outputs; expected at least 1");
        }
        packed_decoder.push(packed_linear(isa, linear)?);
        features = outputs;
    }
    Ok(cpu::PackedStream::new(isa, packed_layers, packed_decoder))
}

/// Make the kernels' layer of some weights, and pack them.
fn packed_layer<O: Operand<Sum = f32>>(
    isa: Isa,
    kind: CellKind,
    weights: LayerWeights<'_>,
    zoneout: f64,
) -> Result<cpu::StreamLayer<O>> {
    weights.check(kind)?;
    let packed = match packed_if_frozen(isa, kind, weights)? {
        Some(packed) => packed,
        None => pack(isa, kind, weights)?.into(),
    };
    let sizes = (weights.input(), weights.hidden, weights.output());
    let [b_ih, b_hh] = [weights.b_ih, weights.b_hh].map(|bias| bias.map(Tensor::contiguous).transpose());
    read::<f32, _, 2>([b_ih?.as_ref(), b_hh?.as_ref()], |[ih, hh]| {
        let bias = (!ih.is_empty()).then_some((ih, hh));
        cpu::StreamLayer::new(isa, kind, packed, sizes, bias, zoneout)
    })
}

/// Make the kernels' linear layer of some weights, and pack them.
fn packed_linear<O: Operand<Sum = f32>>(isa: Isa, linear: LinearWeights<'_>) -> Result<cpu::StreamLinear<O>> {
    let weight = linear.weight.contiguous()?;
    let outputs = weight.dim(0)?;
    let bias = match linear.bias {
        Some(bias) => bias.contiguous()?,
        None => Tensor::zeros(outputs, DType::F32, &Device::Cpu)?,
    };
    if bias.dims() != [outputs] {
        bail!("a linear layer of {outputs} outputs has a bias of {:?}", bias.dims());
    }
    read::<f32, _, 2>([Some(&weight), Some(&bias)], |[weight, bias]| {
        cpu::StreamLinear::new(isa, weight, bias)
    })
}
