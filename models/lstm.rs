//! Long short-term memory (Hochreiter and Schmidhuber 1997; the forget gate is by Gers et al. 2000): three gates
//! control a cell state that each step adds to instead of replacing it, so that a gradient can pass many steps without
//! vanishing.
//!
//! ```text
//! i_t = sigmoid(W_ii x_t + b_ii + W_hi h_{t-1} + b_hi)     input gate: share of the candidate to add
//! f_t = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)     forget gate: share of c_{t-1} to keep
//! g_t = tanh   (W_ig x_t + b_ig + W_hg h_{t-1} + b_hg)     the candidate
//! o_t = sigmoid(W_io x_t + b_io + W_ho h_{t-1} + b_ho)     output gate: share of tanh(c_t) to output
//! c_t = f_t * c_{t-1} + i_t * g_t
//! h_t = o_t * tanh(c_t)                                    then W_hr h_t with a projection
//! ```
//!
//! | parameter | shape | holds |
//! |---|---|---|
//! | `weight_ih_l0` | (4 * hidden, input) | W_ii, W_if, W_ig, W_io |
//! | `weight_hh_l0` | (4 * hidden, output) | W_hi, W_hf, W_hg, W_ho |
//! | `bias_ih_l0`, `bias_hh_l0` | (4 * hidden) | b_i., b_h. |
//! | `weight_hr_l0` | (projection, hidden) | W_hr (Sak et al. 2014) |
//!
//! With layer normalisation both products are normalised over all four gates, and `c_t` before its
//! tanh (Ba et al. 2016).
//!
//! # Example
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use rnn_zoo_models::{Lstm, Merge, Recurrent, StackOptions};
//!
//! let parameters = VarMap::new();
//! let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
//! let stack = StackOptions { bidirectional: Some(Merge::Concat), ..StackOptions::new(4, 8) };
//! let lstm = Lstm::new(&stack.into(), vb)?;
//! let xs = Tensor::zeros((2, 10, 4), DType::F32, &Device::Cpu)?;
//! let output = lstm.run(&xs, None, Some(&[10, 7]))?; // the second sequence is shorter
//! assert_eq!(output.ys.dims(), [2, 10, 16]);
//! assert_eq!(output.state.h.dims(), [2, 2, 8]); // (directions, batch, hidden)
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::{Result, Tensor, bail};
use candle_nn::ops::sigmoid;
use serde::{Deserialize, Serialize};

use crate::kernels::CellKind;
use crate::layers::cell::Cell;
use crate::layers::config::{GateBias, Init, StackConfig};
use crate::layers::stack::Stack;
use crate::layers::state::State;
use crate::layers::weights::{Weights, split_gates};

/// A stack of LSTM layers.
pub type Lstm = Stack<LstmCell>;

/// The configuration of an [`Lstm`].
pub type LstmConfig = StackConfig<LstmOptions>;

/// The options of an [`Lstm`] alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LstmOptions {
    /// Features of the projected output, at most the hidden size; PyTorch's `proj_size`. `None` does not project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub projection: Option<usize>,
    /// The initial bias of the forget gate. `None` leaves it to [`Init`]: random for PyTorch's, one for Keras's. With a
    /// value of one or more the cell keeps its state from the start of training (Jozefowicz et al. 2015).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forget_bias: Option<f64>,
    /// The longest dependency T, in steps and at least 3, that the chrono initialisation prepares for (Tallec and
    /// Ollivier 2018): the bias of the forget gate starts at ln(t) and that of the input gate at -ln(t), with t drawn
    /// for each unit from 1 to T - 1. Replaces `forget_bias`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chrono: Option<usize>,
}

/// One LSTM layer in one direction.
#[derive(Clone, Debug)]
pub struct LstmCell {
    weights: Weights,
}

impl LstmCell {
    /// Compute the input gate, the forget gate, the candidate and the output gate, each (batch, hidden).
    fn activations(&self, gates_x: &Tensor, h: &Tensor) -> Result<[Tensor; 4]> {
        let gates = (gates_x + self.weights.project_hidden(h)?)?; // (batch, 4 * hidden)
        let [i, f, g, o] = split_gates(&gates)?;
        Ok([sigmoid(&i)?, sigmoid(&f)?, g.tanh()?, sigmoid(&o)?])
    }
}

impl Cell for LstmCell {
    type Options = LstmOptions;
    const GATES: usize = 4;
    const CELL_STATE: bool = true;

    fn new(_options: &LstmOptions, weights: Weights) -> Result<Self> {
        Ok(Self { weights })
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    fn kind(&self) -> Option<CellKind> {
        Some(CellKind::Lstm)
    }

    fn has_bounded_state(options: &LstmOptions) -> bool {
        options.projection.is_none()
    }

    fn step(&self, gates_x: &Tensor, h: &Tensor, state: &State) -> Result<State> {
        let Some(c) = &state.c else { bail!("an LSTM's state needs both h and c") };
        let [i, f, g, o] = self.activations(gates_x, h)?; // each (batch, hidden)
        let c = ((f * c)? + (i * g)?)?;
        let shown = match self.weights.norms.as_ref().and_then(|norms| norms.c.as_ref()) {
            Some(norm) => norm.forward(&c)?,
            None => c.clone(),
        };
        let h = (o * shown.tanh()?)?;
        Ok(State { h: self.weights.project_output(h)?, c: Some(c) })
    }

    fn gates(&self, gates_x: &Tensor, h: &Tensor) -> Result<Vec<(&'static str, Tensor)>> {
        let [i, f, g, o] = self.activations(gates_x, h)?;
        Ok(vec![("input", i), ("forget", f), ("candidate", g), ("output", o)])
    }

    fn projection(options: &LstmOptions) -> Option<usize> {
        options.projection
    }

    fn initial_bias(options: &LstmOptions, init: Init) -> Vec<GateBias> {
        let (write, keep) = match (options.chrono, options.forget_bias, init) {
            (Some(longest), _, _) => (GateBias::ChronoWrite(longest), GateBias::ChronoKeep(longest)),
            (None, Some(bias), _) => (GateBias::Scheme, GateBias::Value(bias)),
            (None, None, Init::Keras) => (GateBias::Scheme, GateBias::Value(1.)),
            (None, None, Init::Pytorch) => (GateBias::Scheme, GateBias::Scheme),
        };
        vec![write, keep, GateBias::Scheme, GateBias::Scheme]
    }
}
