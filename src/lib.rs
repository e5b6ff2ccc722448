//! Everything around a recurrent model: data, tokenizers, the training loop, checkpoints and text
//! generation. The models themselves live in [`rnn_zoo_models`], re-exported here as [`models`].

pub mod error;
pub mod rng;

pub use error::{Error, Result};
pub use rnn_zoo_models as models;
