//! A model's scores on a split.
//!
//! [`evaluate`] is the plain figure: parameters as trained, and no memory but the hidden state. Two methods
//! adapt a language model to the text and have figures of their own: [`Dynamic`] continues training, [`Cache`]
//! looks up recent hidden states. Both score every token before they learn from it.

mod cache;
mod dynamic;
#[cfg(test)]
mod fixture;
mod plain;
mod scores;

pub use cache::Cache;
pub use dynamic::{Dynamic, Statistics};
pub use plain::evaluate;
pub(crate) use plain::{WINDOW, cut, measure};
pub use scores::EvaluationResult;
