//! Everything around a recurrent model: data, tokenizers, the training loop, checkpoints and text
//! generation. The models themselves live in [`rnn_zoo_models`], re-exported here as [`models`].

pub mod bundle;
mod contain;
pub mod data;
pub mod device;
pub mod error;
mod hash;
pub mod inference;
mod outline;
mod parallel;
pub mod parameters;
pub mod rng;
pub mod tasks;
pub mod tokenizer;
pub mod training;

pub use error::{Error, Result};
pub use rnn_zoo_models as models;

/// README's example, compiled and run with the other documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
