//! Using a trained model: text generation, evaluation, prediction, and scores of lines.

pub mod evaluate;
pub mod generate;
pub mod grammar;
pub mod model;
pub mod predict;
pub mod score;

pub use model::Model;
