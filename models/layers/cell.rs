//! The trait that a new kind of cell implements.

use candle_core::{Result, Tensor};

use crate::kernels::CellKind;
use crate::layers::config::{GateBias, Init};
use crate::layers::state::State;
use crate::layers::weights::Weights;

/// One layer in one direction. To add a cell, implement this: all that [`StackConfig`] names comes
/// from what is there.
pub trait Cell: Clone + Send + Sync + Sized {
    /// What only this kind of cell can be told.
    type Options: Clone + Default + Send + Sync;

    /// Blocks of `hidden` rows in the weight matrices.
    const GATES: usize;

    /// Whether the state has a `c` beside its `h`.
    const CELL_STATE: bool = false;

    /// The cell around its weights.
    ///
    /// # Errors
    /// Where the options contradict one another.
    fn new(options: &Self::Options, weights: Weights) -> Result<Self>;

    /// The weights.
    fn weights(&self) -> &Weights;

    /// The weights, to be replaced for one call: weight drop does that.
    fn weights_mut(&mut self) -> &mut Weights;

    /// Whether `bias_hh` can join the input's part of the gates, once for all steps. Not where the
    /// recurrent product is more than added to it: then [`Cell::step`] adds the bias.
    fn folds_hidden_bias(&self) -> bool {
        true
    }

    /// What the fused kernels know this cell as; none where they do not.
    fn unit(&self) -> Option<CellKind> {
        None
    }

    /// One step. `gates_x` is the input's part of the gates, (batch, GATES * hidden); `h` is the hidden
    /// state as the recurrent product sees it, which recurrent dropout may have thinned; `state` is the
    /// whole one.
    ///
    /// # Errors
    /// Only those of the tensor library.
    fn step(&self, gates_x: &Tensor, h: &Tensor, state: &State) -> Result<State>;

    /// Width of an LSTM's projected output, if it has one.
    fn projection(_options: &Self::Options) -> Option<usize> {
        None
    }

    /// What each gate's two biases add up to at first, one entry for each of the `GATES`.
    fn initial_bias(_options: &Self::Options, _init: Init) -> Vec<GateBias> {
        vec![GateBias::Scheme; Self::GATES]
    }

    /// The longest dependency, in steps, that gates which [keep](GateBias::Keep) start out for.
    fn chrono(_options: &Self::Options) -> Option<usize> {
        None
    }
}
