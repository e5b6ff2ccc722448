//! The answer of a model to one sequence.

use serde_json::Value;

/// The answer of a model to one sequence, as `rnn predict` prints it.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// One line of text.
    pub text: String,
    /// A JSON object.
    pub json: Value,
}
