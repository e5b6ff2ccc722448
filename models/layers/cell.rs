//! The trait that a new kind of cell implements.

use candle_core::{Result, Tensor};

use crate::kernels::CellKind;
use crate::layers::config::{GateBias, Init};
use crate::layers::state::State;
use crate::layers::weights::Weights;

/// One layer in one direction. A new kind of cell implements this trait; [`Stack`](crate::Stack) adds everything
/// that [`StackOptions`](crate::StackOptions) names.
pub trait Cell: Clone + Send + Sync + Sized {
    /// The options of this kind of cell alone.
    type Options: Clone + Default + Send + Sync;

    /// Blocks of `hidden` rows in the weight matrices.
    const GATES: usize;

    /// Whether the state has a `c` beside its `h`.
    const CELL_STATE: bool = false;

    /// Build the cell from its weights.
    ///
    /// # Errors
    /// If the options contradict one another.
    fn new(options: &Self::Options, weights: Weights) -> Result<Self>;

    /// Return the weights.
    fn weights(&self) -> &Weights;

    /// Return the weights, which weight drop replaces in a clone of the cell for one call.
    fn weights_mut(&mut self) -> &mut Weights;

    /// Return whether `bias_hh` can be added to the input's part of the gates, once for all steps. Return `false` if
    /// a step does more with the recurrent product than add it to that part. [`Cell::step`] must then add the bias.
    fn folds_hidden_bias(&self) -> bool {
        true
    }

    /// Return the kind of cell that the fused kernels run instead of [`Cell::step`], or `None` if there are none for
    /// it.
    fn kind(&self) -> Option<CellKind> {
        None
    }

    /// Compute one step.
    ///
    /// `gates_x` is the input's part of the gates, (batch, GATES * hidden). `h` is the hidden state as operand of
    /// the recurrent product, (batch, output), after recurrent dropout. `state` is the complete state.
    ///
    /// # Errors
    /// Errors from candle.
    fn step(&self, gates_x: &Tensor, h: &Tensor, state: &State) -> Result<State>;

    /// Compute the gates of one step, whose arguments are those of [`Cell::step`]. Return their names and values, each
    /// (batch, hidden); nothing for a cell without gates.
    ///
    /// # Errors
    /// Errors from candle.
    fn gates(&self, _gates_x: &Tensor, _h: &Tensor) -> Result<Vec<(&'static str, Tensor)>> {
        Ok(vec![])
    }

    /// Return the features of an LSTM's projected output, if there is a projection.
    fn projection(_options: &Self::Options) -> Option<usize> {
        None
    }

    /// Return whether every element of the hidden state lies in [-1, 1]. In int8, such a state has a fixed scale.
    fn has_bounded_state(_options: &Self::Options) -> bool {
        false
    }

    /// Return the initial sum of each gate's two biases, one entry for each of the `GATES`.
    fn initial_bias(_options: &Self::Options, _init: Init) -> Vec<GateBias> {
        vec![GateBias::Scheme; Self::GATES]
    }
}
