//! Everything around a recurrent model: data, tokenizers, the training loop, checkpoints and text
//! generation. The models themselves live in [`rnn_zoo_models`], re-exported here as [`models`].

pub mod bundle;
pub mod card;
pub mod data;
pub mod device;
pub mod error;
pub mod evaluate;
pub mod generate;
pub mod gradients;
pub mod grammar;
mod hash;
pub mod loss;
pub mod model;
pub mod optim;
mod parallel;
pub mod parameters;
pub mod plot;
pub mod predict;
pub mod report;
pub mod rng;
pub mod run;
pub mod schedule;
pub mod score;
pub mod task;
pub mod tensorboard;
pub mod tokenizer;
pub mod train;

pub use error::{Error, Result};
pub use rnn_zoo_models as models;

/// README's example, compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
