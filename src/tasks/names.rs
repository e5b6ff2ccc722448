//! The names of a model's tokens and classes.

use crate::tokenizer::Tokenizer;

/// The names of a model's tokens and classes.
#[derive(Clone, Copy, Default)]
pub struct Names<'a> {
    /// The tokenizer; `None` if the model does not read text.
    pub tokenizer: Option<&'a Tokenizer>,
    /// Names of the classes, in the order of the network's outputs.
    pub labels: &'a [String],
}
