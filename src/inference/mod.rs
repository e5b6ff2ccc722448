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
