//! The simple recurrent network (Elman 1990): the hidden state is a nonlinear function of a sum of two products, of
//! the input and of the previous hidden state.
//!
//! ```text
//! h_t = tanh(W_x x_t + W_h h_{t-1} + b)        or relu in place of tanh
//! y_t = f(W_y h_t + b_y)                       the layer that follows
//! ```
//!
//! | symbol | parameter | shape |
//! |---|---|---|
//! | x_t | input | (batch, input) |
//! | h_t | hidden state and output | (batch, hidden) |
//! | W_x | `weight_ih_l0` | (hidden, input) |
//! | W_h | `weight_hh_l0` | (hidden, hidden) |
//! | b | `bias_ih_l0` + `bias_hh_l0` | (hidden) |
//!
//! The gradient through `n` steps has a product of `n` matrices `diag(tanh') W_h` as a factor. It vanishes or explodes
//! with `n` (Bengio et al. 1994). [`Lstm`](crate::Lstm) and [`Gru`](crate::Gru) were made to avoid that.
//!
//! # Example
//! All hidden states of ten steps of four features:
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use rnn_zoo_models::{Recurrent, SimpleRnn, SimpleRnnConfig};
//!
//! let parameters = VarMap::new();
//! let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
//! let rnn = SimpleRnn::new(&SimpleRnnConfig::new(4, 8), vb)?;
//! let xs = Tensor::zeros((1, 10, 4), DType::F32, &Device::Cpu)?;
//! let output = rnn.run(&xs, None, None)?;
//! assert_eq!(output.ys.dims(), [1, 10, 8]); // return_sequences=True
//! assert_eq!(output.last()?.dims(), [1, 8]); // return_sequences=False
//! assert_eq!(output.state.h.dims(), [1, 1, 8]); // return_state=True
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::{Result, Tensor};
use serde::{Deserialize, Serialize};

use crate::kernels::CellKind;
use crate::layers::cell::Cell;
use crate::layers::config::StackConfig;
use crate::layers::stack::Stack;
use crate::layers::state::State;
use crate::layers::weights::Weights;

pub use crate::kernels::Nonlinearity;

/// A stack of simple recurrent layers.
pub type SimpleRnn = Stack<SimpleRnnCell>;

/// The configuration of a [`SimpleRnn`].
pub type SimpleRnnConfig = StackConfig<SimpleRnnOptions>;

/// The options of a [`SimpleRnn`] alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SimpleRnnOptions {
    /// The nonlinearity; tanh by default.
    #[serde(default)]
    pub nonlinearity: Nonlinearity,
}

/// One simple recurrent layer in one direction.
#[derive(Clone, Debug)]
pub struct SimpleRnnCell {
    weights: Weights,
    nonlinearity: Nonlinearity,
}

impl Cell for SimpleRnnCell {
    type Options = SimpleRnnOptions;
    const GATES: usize = 1;

    fn new(options: &SimpleRnnOptions, weights: Weights) -> Result<Self> {
        Ok(Self { weights, nonlinearity: options.nonlinearity })
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    fn kind(&self) -> Option<CellKind> {
        Some(CellKind::Simple(self.nonlinearity))
    }

    fn has_bounded_state(options: &SimpleRnnOptions) -> bool {
        options.nonlinearity == Nonlinearity::Tanh
    }

    fn step(&self, gates_x: &Tensor, h: &Tensor, _state: &State) -> Result<State> {
        let sum = (gates_x + self.weights.project_hidden(h)?)?; // (batch, hidden)
        let h = match self.nonlinearity {
            Nonlinearity::Tanh => sum.tanh()?,
            Nonlinearity::Relu => sum.le(0.)?.where_cond(&sum.zeros_like()?, &sum)?, // NaN stays NaN
        };
        Ok(State { h, c: None })
    }
}
