//! A stack that reads one step after another, with its weights packed and its state at hand.

use candle_core::{DType, Device, Result, Tensor, bail};

use super::Unit;
use super::cpu::{self, Level};
use super::fused::{packed, read};
use crate::network::Linear;
use crate::recurrent::State;
use crate::weights::Weights;

/// A recurrent stack, and perhaps a decoder, for one sequence of which each step arrives when the one before
/// has been answered: written text, a sensor. Nothing is allocated on the way. It keeps the weights that it
/// was made with.
///
/// Made by [`Recurrent::stream`](crate::Recurrent::stream) and
/// [`Network::stream`](crate::Network::stream).
pub struct Stream(cpu::Stream<f32>);

impl Stream {
    /// Of layers in their order, each a unit with its weights; none where there are no kernels for them.
    pub(crate) fn new(
        layers: &[(Option<Unit>, &Weights)],
        zoneout: f64,
        decoder: Option<&Linear>,
    ) -> Result<Option<Self>> {
        let level = Level::current()?;
        let mut ready = Vec::with_capacity(layers.len());
        for &(unit, weights) in layers {
            let like = weights.like();
            let fits = like.device().is_cpu() && like.dtype() == DType::F32 && weights.norms.is_none();
            let Some(unit) = unit.filter(|&unit| fits && unit != Unit::GruBefore) else { return Ok(None) };
            let (hidden, output) = (weights.hidden_size(), weights.output_size());
            let shape = cpu::Shape { batch: 1, time: 1, hidden, output, gates: unit.gates() };
            let packed = packed(level, unit, shape, weights)?;
            let sizes = (weights.ih.dim(1)?, hidden, output);
            let bias = [weights.b_ih.as_ref(), weights.b_hh.as_ref()];
            ready.push(read::<f32, _, 2>(bias, |[ih, hh]| {
                let bias = (!ih.is_empty()).then_some((ih, hh));
                cpu::Layer::new(unit, packed, sizes, bias, zoneout)
            })?);
        }
        let decoder = match decoder {
            Some(linear) => Some(Self::decoder(level, linear)?),
            None => None,
        };
        Ok(Some(Self(cpu::Stream::new(level, ready, decoder))))
    }

    fn decoder(level: Level, linear: &Linear) -> Result<cpu::Decoder<f32>> {
        let weight = linear.weight().contiguous()?;
        let bias = match linear.bias() {
            Some(bias) => bias.contiguous()?,
            None => Tensor::zeros(weight.dim(0)?, DType::F32, &Device::Cpu)?,
        };
        read::<f32, _, 2>([Some(&weight), Some(&bias)], |[weight, bias]| {
            cpu::Decoder::new(level, weight, bias)
        })
    }

    /// Reads a step of as many features as the stack's input has. Returns the decoder's scores, or without a
    /// decoder the output.
    ///
    /// # Errors
    /// Where `x` has another length.
    pub fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        if x.len() != self.0.input_size() {
            bail!("a step has {} features; expected {}", x.len(), self.0.input_size());
        }
        Ok(self.0.step(x))
    }

    /// Goes on from a state of one sequence, whose tensors are (layers, 1, hidden).
    ///
    /// # Errors
    /// Where the state is that of another stack.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        let numbers = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.squeeze(1)?.to_vec2::<f32>();
        let hs = numbers(&state.h)?;
        let cs = state.c.as_ref().map(numbers).transpose()?;
        let sizes = |rows: &[Vec<f32>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
        let (own_h, own_c): (Vec<_>, Vec<_>) =
            self.0.states().map(|(h, c)| (h.len(), c.map(|c| c.len()))).unzip();
        let found_c =
            cs.as_deref().map_or(vec![None; hs.len()], |cs| cs.iter().map(|c| Some(c.len())).collect());
        if sizes(&hs) != own_h || found_c != own_c {
            bail!("the state's layers are {:?} wide; the stream's are {own_h:?}", sizes(&hs));
        }
        for (layer, (h, c)) in self.0.states().enumerate() {
            h.copy_from_slice(&hs[layer]);
            if let (Some(c), Some(cs)) = (c, &cs) {
                c.copy_from_slice(&cs[layer]);
            }
        }
        Ok(())
    }

    /// The state after the last step, whose tensors are (layers, 1, hidden).
    ///
    /// # Errors
    /// None on a device that works.
    pub fn state(&mut self) -> Result<State> {
        let mut layers = Vec::new();
        for (h, c) in self.0.states() {
            let tensor = |numbers: &[f32]| Tensor::new(numbers, &Device::Cpu)?.unsqueeze(0);
            layers.push(State { h: tensor(h)?, c: c.map(|c| tensor(c)).transpose()? });
        }
        State::stack(&layers)
    }
}
