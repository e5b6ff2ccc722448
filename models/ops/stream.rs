//! A stack that reads one step after another, with its weights packed and its state at hand.

use candle_core::{DType, Device, Result, Tensor, bail};

use super::fused::{check_unit, packed, read};
use crate::kernels::CellKind;
use crate::kernels::cpu::{self, Isa};
use crate::layers::linear::Linear;
use crate::layers::state::State;
use crate::layers::weights::Weights;

/// A recurrent stack, and perhaps a decoder, for sequences of which each step arrives when the one before has
/// been answered: written text, a sensor. Nothing is allocated on the way. It keeps the weights that it was
/// made with.
///
/// It begins with one sequence, at zero; [`set_state`](Stream::set_state) and [`select`](Stream::select) make it
/// several, side by side: the batch. Each comes out to the bit as it would alone.
///
/// Made by [`Recurrent::stream`](crate::Recurrent::stream) and
/// [`Network::stream`](crate::Network::stream).
pub struct Stream(cpu::Stream<f32>);

impl Stream {
    /// Of layers in their order, each a unit with its weights, and the linear layers of the decoder; none where
    /// there are no kernels for them.
    pub(crate) fn new(
        layers: &[(Option<CellKind>, &Weights)],
        zoneout: f64,
        decoder: &[Linear],
    ) -> Result<Option<Self>> {
        let isa = Isa::current()?;
        let mut ready = Vec::with_capacity(layers.len());
        for &(unit, weights) in layers {
            let like = weights.like();
            let fits = like.device().is_cpu() && like.dtype() == DType::F32 && weights.norms.is_none();
            let Some(unit) = unit.filter(|&unit| fits && unit != CellKind::GruBefore) else {
                return Ok(None);
            };
            check_unit(unit, weights)?;
            let (hidden, output) = (weights.hidden_size(), weights.output_size());
            let shape = cpu::Shape { batch: 1, time: 1, hidden, output, gates: unit.gates() };
            let packed = packed(isa, unit, shape, weights)?;
            let sizes = (weights.ih.dim(1)?, hidden, output);
            let bias = [weights.b_ih.as_ref(), weights.b_hh.as_ref()];
            ready.push(read::<f32, _, 2>(bias, |[ih, hh]| {
                let bias = (!ih.is_empty()).then_some((ih, hh));
                cpu::Layer::new(unit, packed, sizes, bias, zoneout)
            })?);
        }
        let mut features = layers.last().map_or(0, |(_, weights)| weights.output_size());
        let mut behind = Vec::with_capacity(decoder.len());
        for linear in decoder {
            let (outputs, inputs) = linear.weight().dims2()?;
            if inputs != features {
                bail!("a linear layer of {inputs} features cannot read the {features} of a stream");
            }
            behind.push(Self::linear(isa, linear)?);
            features = outputs;
        }
        Ok(Some(Self(cpu::Stream::new(isa, ready, behind))))
    }

    fn linear(isa: Isa, linear: &Linear) -> Result<cpu::Linear<f32>> {
        let weight = linear.weight().contiguous()?;
        let bias = match linear.bias() {
            Some(bias) => bias.contiguous()?,
            None => Tensor::zeros(weight.dim(0)?, DType::F32, &Device::Cpu)?,
        };
        if bias.dims() != [weight.dim(0)?] {
            bail!("a linear layer of {} outputs has a bias of {:?}", weight.dim(0)?, bias.dims());
        }
        read::<f32, _, 2>([Some(&weight), Some(&bias)], |[weight, bias]| cpu::Linear::new(isa, weight, bias))
    }

    /// Sequences that are read side by side.
    pub fn batch(&self) -> usize {
        self.0.batch()
    }

    /// Reads a step, `x` (batch, features). Returns what came of the first sequence: the decoder's scores, or
    /// without a decoder the output; [`Stream::output`] has it for the others.
    ///
    /// # Errors
    /// Where `x` has another length, or the batch is empty.
    pub fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        let (batch, features) = (self.0.batch(), self.0.input_size());
        if batch == 0 || x.len() != batch * features {
            bail!("a step of {batch} sequences has {} features; expected {features} each", x.len());
        }
        self.0.step(x);
        Ok(self.0.output(0))
    }

    /// What came of sequence `row` at the last step.
    ///
    /// # Errors
    /// Where there is no such sequence.
    pub fn output(&self, row: usize) -> Result<&[f32]> {
        self.check_row(row)?;
        Ok(self.0.output(row))
    }

    /// Goes on with the sequences of these numbers, in this order; one may go on several times.
    ///
    /// # Errors
    /// Where there is no such sequence.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        rows.iter().try_for_each(|&row| self.check_row(row))?;
        self.0.select(rows);
        Ok(())
    }

    fn check_row(&self, row: usize) -> Result<()> {
        let batch = self.0.batch();
        if row >= batch {
            bail!("there is no sequence {row} in a batch of {batch}");
        }
        Ok(())
    }

    /// Goes on from a state, whose tensors are (layers, batch, hidden), with as many sequences as it has.
    ///
    /// # Errors
    /// Where the state is that of another stack, or of no sequence. The stream is then as it was.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        // (batch, layers, hidden)
        let numbers = |tensor: &Tensor| tensor.to_dtype(DType::F32)?.transpose(0, 1)?.to_vec3::<f32>();
        let hs = numbers(&state.h)?;
        let cs = state.c.as_ref().map(numbers).transpose()?;
        if hs.is_empty() || cs.as_ref().is_some_and(|cs| cs.len() != hs.len()) {
            let (h, c) = (state.h.dims(), state.c.as_ref().map(Tensor::dims));
            bail!(
                "a state of shapes {h:?} and {c:?} is of no batch; expected (layers, batch, hidden), with a \
                 batch of at least 1"
            );
        }
        let sizes = |rows: &[Vec<f32>]| rows.iter().map(Vec::len).collect::<Vec<_>>();
        // The batch may be empty, if all sequences have been let go.
        let own: Vec<(usize, Option<usize>)> = self.0.sizes().collect();
        let (own_h, own_c): (Vec<_>, Vec<_>) = own.into_iter().unzip();
        for (row, h) in hs.iter().enumerate() {
            let c = match &cs {
                Some(cs) => cs[row].iter().map(|c| Some(c.len())).collect(),
                None => vec![None; h.len()],
            };
            if sizes(h) != own_h || c != own_c {
                bail!("the state's layers are {:?} wide; the stream's are {own_h:?}", sizes(h));
            }
        }
        self.0.resize(hs.len());
        for (row, hs) in hs.iter().enumerate() {
            for (layer, (h, c)) in self.0.states(row).enumerate() {
                h.copy_from_slice(&hs[layer]);
                if let (Some(c), Some(cs)) = (c, &cs) {
                    c.copy_from_slice(&cs[row][layer]);
                }
            }
        }
        Ok(())
    }

    /// Appends the sequences of a state, whose tensors are (layers, batch, hidden), to the batch. The sequences
    /// that the batch has keep their numbers.
    ///
    /// # Errors
    /// If the state is that of another stack, or of no sequence. The stream is unchanged then.
    pub fn append(&mut self, state: &State) -> Result<()> {
        if self.0.batch() == 0 {
            return self.set_state(state);
        }
        let joined = State::join(&[self.state()?, state.clone()])?;
        self.set_state(&joined)
    }

    /// The state after the last step, whose tensors are (layers, batch, hidden).
    ///
    /// # Errors
    /// Where the batch is empty.
    pub fn state(&mut self) -> Result<State> {
        let mut rows = Vec::new();
        for row in 0..self.0.batch() {
            let mut layers = Vec::new();
            for (h, c) in self.0.states(row) {
                let tensor = |numbers: &[f32]| Tensor::new(numbers, &Device::Cpu)?.unsqueeze(0);
                layers.push(State { h: tensor(h)?, c: c.map(|c| tensor(c)).transpose()? });
            }
            rows.push(State::stack(&layers)?);
        }
        State::join(&rows)
    }
}
