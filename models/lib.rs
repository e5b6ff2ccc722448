//! Recurrent layers for [candle](https://docs.rs/candle-core), with PyTorch's parameter names, shapes and gate order.
//!
//! | layer | file | equations from |
//! |---|---|---|
//! | [`SimpleRnn`] | `simple_rnn.rs` | Elman 1990 |
//! | [`Lstm`] | `lstm.rs` | Hochreiter and Schmidhuber 1997 |
//! | [`Gru`] | `gru.rs` | Cho et al. 2014 |
//! | [`Rnnlm`] | `rnnlm.rs` | Mikolov et al. 2010 |
//!
//! # Example
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::{VarBuilder, VarMap};
//! use rnn_zoo_models::{Lstm, LstmConfig, Recurrent};
//!
//! let parameters = VarMap::new();
//! let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
//! let lstm = Lstm::new(&LstmConfig::new(4, 8), vb)?;
//! let xs = Tensor::zeros((2, 10, 4), DType::F32, &Device::Cpu)?; // (batch, time, features)
//! let output = lstm.run(&xs, None, None)?;
//! assert_eq!(output.ys.dims(), [2, 10, 8]); // (batch, time, hidden)
//! assert_eq!(output.state.h.dims(), [1, 2, 8]); // (layers, batch, hidden)
//! # Ok::<(), candle_core::Error>(())
//! ```
//!
//! - [`Recurrent`] is the trait of all three layers: initial and final states, padded batches, one step at a time.
//! - [`StackOptions`] has the options that they share: several layers, both directions, dropout of several kinds.
//! - Layers are candle's `Module`s: `lstm.forward(&xs)` returns all outputs. [`WithDropout`] makes them a `ModuleT`.
//! - [`lstm`](fn@lstm) and [`gru`](fn@gru) take the configurations of `candle_nn::rnn`, whose trait `RNN` the layers
//!   implement.
//! - [`Stream`] reads one step after another without allocating.
//! - [`Network`] is the trait of whole networks, [`Rnnlm`], [`Predictor`], [`Tagger`] and [`Translator`];
//!   [`ModelConfig`] builds one from its configuration.
//! - [`Cell`] is the trait of a new kind of cell.
//!
//! Parameters that a new `VarMap` has to create are drawn from the scheme [`Init`] with candle's own generator.
//! [`Recurrent::reset_parameters`] draws them anew from a seeded one.

mod candle_rnn;
mod forecaster;
mod gru;
mod head;
mod inputs;
pub mod kernels;
pub mod layers;
mod lstm;
mod network;
pub mod ops;
mod predictor;
mod readout;
mod recurrent_config;
mod registry;
mod rnnlm;
mod sequence_to_sequence;
mod simple_rnn;
mod tagger;
mod translator;

pub use candle_rnn::{gru, lstm};
pub use forecaster::{Forecaster, ForecasterConfig};
pub use gru::{Gru, GruCell, GruConfig, GruOptions, Reset};
pub use head::{Head, PointLoss};
pub use inputs::{Inputs, Pair, Series, Words};
pub use layers::attention::{
    Attended, AttendedStep, AttentionDecoder, AttentionMemory, AttentionScore, AttentionState,
};
pub use layers::cell::Cell;
pub use layers::config::{
    GateBias, Init, LARGEST_SIZE, MOST_LAYERS, SHORTEST_CHRONO, StackConfig, StackOptions,
};
pub use layers::crf::{Crf, Reduction};
pub use layers::dropout::{self, Noise};
pub use layers::embedding::{Embedding, embedding};
pub use layers::init::normal;
pub use layers::linear::{Linear, linear, linear_no_bias};
pub use layers::module::{ForwardT, WithDropout};
pub use layers::recurrent::Recurrent;
pub use layers::stack::Stack;
pub use layers::state::{Merge, Output, State};
pub use layers::stream::Stream;
pub use layers::weights::{Norm, Weights, WeightsConfig, split_gates};
pub use lstm::{Lstm, LstmCell, LstmConfig, LstmOptions};
pub use network::{Encoded, Network, TokenStream};
pub use ops::{CrossEntropySum, LossGradients, Precision, backward};
pub use predictor::{Predictor, PredictorConfig};
pub use readout::Readout;
pub use recurrent_config::RecurrentConfig;
pub use registry::{MODELS, ModelConfig, ModelEntry};
pub use rnnlm::{Rnnlm, RnnlmConfig};
pub use sequence_to_sequence::{SequenceToSequence, WrittenStep};
pub use simple_rnn::{Nonlinearity, SimpleRnn, SimpleRnnCell, SimpleRnnConfig, SimpleRnnOptions};
pub use tagger::{CharactersConfig, ColumnConfig, Tagger, TaggerConfig};
pub use translator::{Translator, TranslatorConfig};
