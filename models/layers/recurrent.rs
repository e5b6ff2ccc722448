//! The trait that every recurrent stack implements.

use candle_core::{Result, Tensor};
use rand::Rng;

use crate::layers::dropout::Noise;
use crate::layers::linear::Linear;
use crate::layers::state::{Output, State};
use crate::ops::Stream;

/// A stack of recurrent layers, whatever its cell.
///
/// Weights that are variables may change between two calls. Others are taken to stay as they are, and are
/// laid out for the fused kernels once, at the first call.
///
/// `xs` is (batch, time, input size). `lengths` holds each sequence's own number of steps, in any
/// order: what lies past it never changes a result. `state` starts at zero where it is `None`.
pub trait Recurrent: Send + Sync {
    /// Runs whole sequences; in training with a source of noise, when dropout and its kin act.
    ///
    /// # Errors
    /// Where a shape or length disagrees with the configuration; the message says which.
    fn forward_t(
        &self,
        xs: &Tensor,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        noise: Noise<'_>,
    ) -> Result<Output>;

    /// Runs whole sequences outside training.
    ///
    /// # Errors
    /// As [`Recurrent::forward_t`].
    fn forward(&self, xs: &Tensor, state: Option<&State>, lengths: Option<&[usize]>) -> Result<Output> {
        self.forward_t(xs, state, lengths, None)
    }

    /// Runs one step: `x` is (batch, input size), and the output (batch, output size).
    ///
    /// # Errors
    /// As [`Recurrent::forward_t`]; and for a stack of both directions, for which no step is the last.
    fn step(&self, x: &Tensor, state: &State) -> Result<(Tensor, State)>;

    /// The stack as it is now, with a state of zeros, ready to read one step after another of one sequence,
    /// and to hand each to the linear layers of `decoder`, one behind the other, if there are any. None where
    /// there are no kernels for that (on a GPU, in other numbers than f32, with layer normalisation, in both
    /// directions, for a GRU that resets before the product): [`Recurrent::step`] does it everywhere.
    ///
    /// # Errors
    /// Where a linear layer does not fit what comes before it.
    fn stream(&self, decoder: &[Linear]) -> Result<Option<Stream>>;

    /// A state of zeros for `batch` sequences.
    ///
    /// # Errors
    /// Only those of the tensor library.
    fn zero_state(&self, batch: usize) -> Result<State>;

    /// Features that each input step must have.
    fn input_size(&self) -> usize;

    /// Features that each output step has, directions merged.
    fn output_size(&self) -> usize;

    /// Draws all parameters anew by the configured [`Init`]. Parameters are drawn in a fixed order, so
    /// one seed gives one model.
    ///
    /// # Errors
    /// Where a parameter is not a variable, as when it was loaded for inference alone.
    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()>;
}
