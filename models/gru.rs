//! The gated recurrent unit (Cho et al. 2014): one state and two gates, with three quarters of an LSTM's operations.
//!
//! ```text
//! r_t = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)             reset gate: share of the past in n_t
//! z_t = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)             update gate: share of h_{t-1} to keep
//! n_t = tanh(W_in x_t + b_in + r_t * (W_hn h_{t-1} + b_hn))        reset after the product
//! n_t = tanh(W_in x_t + b_in + W_hn (r_t * h_{t-1}) + b_hn)        or reset before the product
//! h_t = (1 - z_t) * n_t + z_t * h_{t-1}
//! ```
//!
//! PyTorch, cuDNN and Keras reset after the product by default. The original paper resets before it, as Keras does
//! with `reset_after=False`.
//!
//! | parameter | shape | holds |
//! |---|---|---|
//! | `weight_ih_l0` | (3 * hidden, input) | W_ir, W_iz, W_in |
//! | `weight_hh_l0` | (3 * hidden, hidden) | W_hr, W_hz, W_hn |
//! | `bias_ih_l0`, `bias_hh_l0` | (3 * hidden) | b_i., b_h. |
//!
//! # Example
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use rnn_zoo_models::{Gru, Recurrent, StackOptions};
//!
//! let parameters = VarMap::new();
//! let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
//! let stack = StackOptions { num_layers: 2, ..StackOptions::new(4, 8) };
//! let gru = Gru::new(&stack.into(), vb)?;
//! // One step after another, for a sequence that is not complete yet:
//! let mut state = gru.zero_state(1)?;
//! for _ in 0..3 {
//!     let x = Tensor::ones((1, 4), DType::F32, &Device::Cpu)?;
//!     let (y, next) = gru.step(&x, &state)?;
//!     assert_eq!(y.dims(), [1, 8]);
//!     state = next;
//! }
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

/// A stack of GRU layers.
pub type Gru = Stack<GruCell>;

/// The configuration of a [`Gru`].
pub type GruConfig = StackConfig<GruOptions>;

/// The operand of the reset gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reset {
    /// The recurrent product.
    #[default]
    After,
    /// The hidden state, before the product.
    Before,
}

/// The options of a [`Gru`] alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct GruOptions {
    /// The operand of the reset gate; the recurrent product by default.
    #[serde(default)]
    pub reset: Reset,
    /// The longest dependency T, in steps and at least 3, that the chrono initialisation prepares for (Tallec and
    /// Ollivier 2018): the bias of the update gate starts at ln(t), with t drawn for each unit from 1 to T - 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chrono: Option<usize>,
}

/// One GRU layer in one direction.
#[derive(Clone, Debug)]
pub struct GruCell {
    weights: Weights,
    reset: Reset,
}

impl GruCell {
    /// Compute the reset gate, the update gate and the candidate, each (batch, hidden).
    fn activations(&self, gates_x: &Tensor, h: &Tensor) -> Result<[Tensor; 3]> {
        let [r_x, z_x, n_x] = split_gates(gates_x)?;
        Ok(match self.reset {
            Reset::After => {
                let gates_h = self.weights.project_hidden(h)?; // (batch, 3 * hidden)
                let gates_h = match self.weights.hidden_bias() {
                    Some(bias) => gates_h.broadcast_add(bias)?,
                    None => gates_h,
                };
                let [r_h, z_h, n_h] = split_gates(&gates_h)?;
                let r = sigmoid(&(r_x + r_h)?)?;
                let n = (n_x + (&r * n_h)?)?.tanh()?;
                [r, sigmoid(&(z_x + z_h)?)?, n]
            }
            Reset::Before => {
                let [r_h, z_h] = split_gates(&self.weights.project_hidden_gates(h, 0, 2)?)?;
                let r = sigmoid(&(r_x + r_h)?)?;
                let n_h = self.weights.project_hidden_gates(&(&r * h)?, 2, 1)?; // (batch, hidden)
                [r, sigmoid(&(z_x + z_h)?)?, (n_x + n_h)?.tanh()?]
            }
        })
    }
}

impl Cell for GruCell {
    type Options = GruOptions;
    const GATES: usize = 3;

    fn new(options: &GruOptions, weights: Weights) -> Result<Self> {
        if options.reset == Reset::Before && weights.norms.is_some() {
            bail!("layer normalisation of a GRU needs its reset gate after the product, not before");
        }
        Ok(Self { weights, reset: options.reset })
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    fn folds_hidden_bias(&self) -> bool {
        self.reset == Reset::Before
    }

    fn kind(&self) -> Option<CellKind> {
        Some(match self.reset {
            Reset::After => CellKind::Gru,
            Reset::Before => CellKind::GruBefore,
        })
    }

    fn has_bounded_state(_options: &GruOptions) -> bool {
        true
    }

    fn step(&self, gates_x: &Tensor, h: &Tensor, state: &State) -> Result<State> {
        let [_, z, n] = self.activations(gates_x, h)?; // each (batch, hidden)
        let h = (&n + (z * (&state.h - &n)?)?)?; // (1 - z) n + z h
        Ok(State { h, c: None })
    }

    fn gates(&self, gates_x: &Tensor, h: &Tensor) -> Result<Vec<(&'static str, Tensor)>> {
        let [r, z, n] = self.activations(gates_x, h)?;
        Ok(vec![("reset", r), ("update", z), ("candidate", n)])
    }

    fn initial_bias(options: &GruOptions, _init: Init) -> Vec<GateBias> {
        let keep = options.chrono.map_or(GateBias::Scheme, GateBias::ChronoKeep);
        vec![GateBias::Scheme, keep, GateBias::Scheme]
    }
}
