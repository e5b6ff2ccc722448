//! Using a trained model: text generation, evaluation, prediction, and scores of lines.

mod candidates;
pub mod carry;
pub mod evaluate;
pub mod generate;
pub mod grammar;
pub mod model;
pub mod predict;
pub mod score;
pub mod search;
pub mod translation;

pub use model::Model;

/// The number of examples in a batch of an evaluation, or of answers.
pub const BATCH: usize = 64;
