//! How a text ends.

use serde::Serialize;

use crate::Error;

/// How a text ends.
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
    let problem = "the model leaves no token to write: its scores are no numbers, or its vocabulary is <unk> \
                   alone; train it anew";
    Error::Message(problem.into())
}
