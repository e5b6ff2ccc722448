//! Reading one step at a time, with the weights packed and the state in place.

use candle_core::Result;

use crate::kernels::CellKind;
use crate::layers::linear::Linear;
use crate::layers::state::State;
use crate::layers::weights::Weights;
use crate::ops::stream::{FusedStream, LinearWeights};

/// A recurrent stack, with or without a decoder, that reads one step of its sequences after another: for
/// generated text or a sensor, where each step arrives after the answer to the previous one.
///
/// A step allocates nothing. The stream keeps the weights that it was made with, also if the layer's change.
///
/// A new stream has one sequence, at a state of zeros. [`set_state`](Stream::set_state),
/// [`append`](Stream::append) and [`select`](Stream::select) change the batch. Each sequence has the same results
/// to the bit as in a stream of its own.
///
/// Made by [`Recurrent::stream`](crate::Recurrent::stream) and [`Network::stream`](crate::Network::stream).
pub struct Stream(FusedStream);

impl Stream {
    /// Make a stream of layers in their order and of the linear layers of `decoder`. Return `None` if there are no
    /// kernels for them.
    pub(crate) fn new(
        layers: &[(Option<CellKind>, &Weights)],
        zoneout: f64,
        decoder: &[Linear],
    ) -> Result<Option<Self>> {
        let fused = layers.iter().map(|(kind, weights)| Some(((*kind)?, weights.fused()?)));
        let Some(layers) = fused.collect::<Option<Vec<_>>>() else { return Ok(None) };
        let decoder: Vec<_> = decoder
            .iter()
            .map(|linear| LinearWeights { weight: linear.weight(), bias: linear.bias() })
            .collect();
        Ok(FusedStream::new(&layers, zoneout, &decoder)?.map(Self))
    }

    /// Return the number of sequences in the batch.
    pub fn batch(&self) -> usize {
        self.0.batch()
    }

    /// Read a step, `x` (batch, features) in row-major order. Return the output of the first sequence: of the decoder,
    /// if there is one, else of the top layer. [`Stream::output`] returns that of any sequence.
    ///
    /// # Errors
    /// If `x` has another length, or the batch is empty.
    pub fn step(&mut self, x: &[f32]) -> Result<&[f32]> {
        self.0.step(x)
    }

    /// Return the output of sequence `row` at the last step.
    ///
    /// # Errors
    /// If `row >= batch`.
    pub fn output(&self, row: usize) -> Result<&[f32]> {
        self.0.output(row)
    }

    /// Replace the batch by these of its sequences, in this order. A sequence may occur several times.
    ///
    /// # Errors
    /// If one of `rows` is not below the batch.
    pub fn select(&mut self, rows: &[usize]) -> Result<()> {
        self.0.select(rows)
    }

    /// Replace the batch by the sequences of a state, whose tensors are (layers, batch, hidden).
    ///
    /// # Errors
    /// If the state is that of another stack, or its batch is empty. The stream is then unchanged.
    pub fn set_state(&mut self, state: &State) -> Result<()> {
        self.0.set_state(&state.h, state.c.as_ref())
    }

    /// Append the sequences of a state, whose tensors are (layers, batch, hidden), to the batch. The sequences
    /// that the batch has keep their numbers.
    ///
    /// # Errors
    /// If the state is that of another stack, or its batch is empty. The stream is then unchanged.
    pub fn append(&mut self, state: &State) -> Result<()> {
        match self.0.batch() {
            0 => self.set_state(state),
            _ => {
                let joined = State::join(&[self.state()?, state.clone()])?;
                self.set_state(&joined)
            }
        }
    }

    /// Return the state after the last step, whose tensors are (layers, batch, hidden).
    ///
    /// # Errors
    /// If the batch is empty.
    pub fn state(&mut self) -> Result<State> {
        let (h, c) = self.0.state()?;
        Ok(State { h, c })
    }
}
