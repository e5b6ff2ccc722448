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
//! Parameters that come out of a new `VarMap` are zero until [`Recurrent::reset_parameters`] draws them.

pub mod dropout;
mod gru;
pub mod kernels;
mod lstm;
mod network;
mod predictor;
mod recurrent;
mod registry;
mod rnnlm;
mod simple_rnn;
mod stack;
mod weights;

pub use dropout::Noise;
pub use gru::{Gru, GruCell, GruConfig, GruOptions, Reset};
pub use kernels::{Backward, Score, Stream, backward};
pub use lstm::{Lstm, LstmCell, LstmConfig, LstmOptions};
pub use network::{Encoded, Linear, Network, TokenStream};
pub use predictor::{Predictor, PredictorConfig, Readout};
pub use recurrent::{
    Cell, GateBias, Init, LARGEST_SIZE, Merge, Output, Recurrent, SHORTEST_CHRONO, StackConfig, State,
};
pub use registry::{Entry, MODELS, ModelConfig, RecurrentConfig};
pub use rnnlm::{Rnnlm, RnnlmConfig};
pub use simple_rnn::{Nonlinearity, SimpleRnn, SimpleRnnCell, SimpleRnnConfig, SimpleRnnOptions};
pub use stack::Stack;
pub use weights::{Norm, Weights, normal, split_gates};
