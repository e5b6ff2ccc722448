//! Recurrent layers for [candle](https://docs.rs/candle-core), with PyTorch's parameter names, shapes and
//! gate order.
//!
//! | layer | file | equations from |
//! |---|---|---|
//! | [`SimpleRnn`] | `simple_rnn.rs` | Elman 1990 |
//! | [`Lstm`] | `lstm.rs` | Hochreiter and Schmidhuber 1997 |
//! | [`Gru`] | `gru.rs` | Cho et al. 2014 |
//! | [`Rnnlm`] | `rnnlm.rs` | Mikolov et al. 2010 |
//!
//! All three recurrent layers are a [`Stack`] of their cell behind one trait, [`Recurrent`]: several
//! layers, both directions, initial and final states, padded batches, and every kind of dropout that
//! PyTorch and Keras users know. Shapes are (batch, time, features).
//!
//! Parameters that a new `VarMap` has to create start as [`Init`] says, drawn with candle's own generator;
//! [`Recurrent::reset_parameters`] draws them anew from a seeded one.

mod candle_rnn;
mod gru;
pub mod kernels;
pub mod layers;
mod lstm;
mod network;
pub mod ops;
mod predictor;
mod recurrent_config;
mod registry;
mod rnnlm;
mod simple_rnn;

pub use candle_rnn::{gru, lstm};
pub use gru::{Gru, GruCell, GruConfig, GruOptions, Reset};
pub use layers::cell::Cell;
pub use layers::config::{GateBias, Init, LARGEST_SIZE, SHORTEST_CHRONO, StackConfig, StackOptions};
pub use layers::dropout::{self, Noise};
pub use layers::embedding::Embedding;
pub use layers::gate_bias::GateBiases;
pub use layers::init::normal;
pub use layers::linear::Linear;
pub use layers::module::{ForwardT, WithDropout};
pub use layers::recurrent::Recurrent;
pub use layers::stack::Stack;
pub use layers::state::{Merge, Output, State};
pub use layers::stream::Stream;
pub use layers::weights::{Norm, Weights, WeightsConfig, split_gates};
pub use lstm::{Lstm, LstmCell, LstmConfig, LstmOptions};
pub use network::{Encoded, Network, TokenStream};
pub use ops::{Backward, Score, backward};
pub use predictor::{Predictor, PredictorConfig, Readout};
pub use recurrent_config::RecurrentConfig;
pub use registry::{Entry, MODELS, ModelConfig};
pub use rnnlm::{Rnnlm, RnnlmConfig};
pub use simple_rnn::{Nonlinearity, SimpleRnn, SimpleRnnCell, SimpleRnnConfig, SimpleRnnOptions};
