//! Reasons for the end of a text.

use serde::Serialize;

use crate::Error;

/// The reason for the end of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Finish {
    /// The text has its greatest length.
    Length,
    /// The model predicted the end token.
    Eos,
    /// The text contains a stop string.
    Stop,
    /// No token can be picked: the scores are NaN, or all tokens are banned. See [`no_candidate`].
    Failed,
}

/// The error for a text that [failed](Finish::Failed).
pub fn no_candidate() -> Error {
    let problem = "the model leaves no token to write: its scores are NaN, or all its tokens are special; \
                   train it anew";
    Error::Message(problem.into())
}
