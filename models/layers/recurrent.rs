//! The trait that every recurrent stack implements.

use candle_core::{Result, Tensor};
use rand::Rng;

use crate::layers::dropout::Noise;
use crate::layers::linear::Linear;
use crate::layers::state::{Output, State};
use crate::layers::stream::Stream;

/// A stack of recurrent layers of any kind of cell.
///
/// [`run`](Recurrent::run) takes an initial state and lengths and returns the final state too. For the outputs alone,
/// the layers are a [`Module`](candle_core::Module), whose `forward` takes the input and nothing else. The two have
/// different names, so that both traits can be imported.
///
/// ```
/// use candle_core::{DType, Device, Module, Tensor};
/// use candle_nn::{VarBuilder, VarMap};
/// use rnn_zoo_models::{Gru, GruConfig, Recurrent};
///
/// let parameters = VarMap::new();
/// let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
/// let gru = Gru::new(&GruConfig::new(4, 8), vb)?;
/// let xs = Tensor::zeros((2, 10, 4), DType::F32, &Device::Cpu)?; // (batch, time, input)
/// let ys = gru.forward(&xs)?; // (batch, time, hidden)
/// let output = gru.run(&xs, None, Some(&[10, 7]))?; // from a zero state; the second sequence is shorter
/// assert_eq!(ys.dims(), output.ys.dims());
/// # Ok::<(), candle_core::Error>(())
/// ```
///
/// In all methods `xs` is (batch, time, input) and `lengths` holds the number of steps of each sequence, in any
/// order; `None` means all. The padding past a length never changes a result. The initial `state` is zero if it is
/// `None`.
///
/// Weights that are variables may change between calls. Other weights are packed for the fused kernels at the first
/// call. After a change of such weights in place (`slice_set`), call [`repack`](Recurrent::repack).
pub trait Recurrent: Send + Sync {
    /// Run whole sequences. With a generator in `noise`, as in training, dropout acts.
    ///
    /// # Errors
    /// If a shape or length disagrees with the configuration.
    fn run_t(
        &self,
        xs: &Tensor,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        noise: Noise<'_>,
    ) -> Result<Output>;

    /// Run whole sequences outside training.
    ///
    /// # Errors
    /// As [`Recurrent::run_t`].
    fn run(&self, xs: &Tensor, state: Option<&State>, lengths: Option<&[usize]>) -> Result<Output> {
        self.run_t(xs, state, lengths, None)
    }

    /// Run one step outside training: `x` is (batch, input), the returned output (batch, output).
    ///
    /// # Errors
    /// As [`Recurrent::run_t`], and for a stack of both directions: its backward direction starts at the end.
    fn step(&self, x: &Tensor, state: &State) -> Result<(Tensor, State)>;

    /// Compute the gates of the last layer at every step of `xs`, from a zero state and outside training. Return their
    /// names and values, each (batch, time, hidden), and an LSTM's cell state under the name `cell`. Return nothing for
    /// cells without gates, and for both directions.
    ///
    /// # Errors
    /// If the shape of `xs` disagrees with the configuration.
    fn gates(&self, xs: &Tensor) -> Result<Vec<(&'static str, Tensor)>>;

    /// Make a stream that reads one step after another, from a state of zeros, with the present weights. The linear
    /// layers of `decoder` follow the stack, in their order.
    ///
    /// Return `None` if there are no kernels for it: on a GPU, in types other than f32, with layer normalisation, in
    /// both directions, and for a GRU that resets before the product. [`Recurrent::step`] works everywhere.
    ///
    /// # Errors
    /// If a linear layer does not fit the one before it or has no outputs.
    fn stream(&self, decoder: &[Linear]) -> Result<Option<Stream>>;

    /// Make a state of zeros for `batch` sequences.
    ///
    /// # Errors
    /// Errors from candle.
    fn zero_state(&self, batch: usize) -> Result<State>;

    /// Return the number of features of each input step.
    fn input_size(&self) -> usize;

    /// Return the number of features of each output step, with directions merged.
    fn output_size(&self) -> usize;

    /// Pack the weights of all layers anew at the next call, after a change in place of weights that are not variables.
    /// Without this, later calls use the old values. Streams keep the weights that they were made with.
    fn repack(&self);

    /// Draw all parameters anew by the configured [`Init`](crate::Init). The order is fixed, so that a seed
    /// determines the parameters.
    ///
    /// # Errors
    /// If a parameter is not a variable, as after loading for inference.
    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()>;
}
