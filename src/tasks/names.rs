//! The names of a model's tokens and classes, and the schema of its data.

use serde_json::Value;

use crate::tokenizer::Tokenizer;

/// The names of a model's tokens and classes.
#[derive(Clone, Copy)]
pub struct Names<'a> {
    /// The tokenizer; `None` if the model does not read text.
    pub tokenizer: Option<&'a Tokenizer>,
    /// Names of the classes, in the order of the network's outputs.
    pub labels: &'a [String],
    /// The task's own description of inputs and outputs; see [`Prepared::schema`](super::Prepared::schema).
    pub schema: &'a Value,
}

impl Default for Names<'_> {
    /// No names, and no schema.
    fn default() -> Self {
        Self { tokenizer: None, labels: &[], schema: &Value::Null }
    }
}
