//! Training and use of recurrent networks: the library behind the `rnn` command.
//!
//! | purpose | entry point |
//! |---|---|
//! | layers and networks as candle modules | [`models`], the crate `rnn-zoo-models` |
//! | use of a trained model: text, scores, answers | [`inference::Model`], then [`inference::generate`], [`inference::score`] or [`inference::predict`] |
//! | training, with checkpoints that resume to the byte | [`training::Run`] over [`tasks::DataSpec`] |
//! | the training loop without files | [`training::Trainer`] |
//! | training on several processes | [`distributed`] |
//! | files of text and their tokens | [`data::Corpus`], [`tokenizer::Tokenizer`] |
//!
//! The folder `examples/` has programs that train, load and use models. Every [`Error`] names the file or the option
//! that is wrong.

pub mod atomic;
pub mod bundle;
#[cfg(feature = "capi")]
pub mod capi;
mod contain;
pub mod data;
pub mod device;
pub mod distributed;
pub mod error;
mod float_bits;
pub mod formats;
mod hash;
pub mod hub;
pub mod inference;
pub mod listing;
mod logits;
pub mod memory;
mod parallel;
mod parameter_shapes;
pub mod parameters;
pub mod regular_file;
pub mod rng;
#[cfg(feature = "serve")]
pub mod serve;
pub mod tasks;
pub mod tokenizer;
pub mod training;

pub use error::{Error, Result};
pub use rnn_zoo_models as models;

/// The example of README.md, compiled and run as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
