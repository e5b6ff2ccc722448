//! Events of a session.

use super::finish::Finish;

/// A text of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextId(pub(super) u64);

/// The addition of one step to a text.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The text.
    pub id: TextId,
    /// The token picked; `None` for the end token, which is not part of the text, and if none was picked.
    pub token: Option<u32>,
    /// The log-probability of the token or end token in nats, before the rules of sampling; `None` if no token
    /// was picked or [log-probabilities](super::TextOptions::logprobs) are off.
    pub logprob: Option<f64>,
    /// The text that can be shown. It may be empty: parts of characters and of stop strings are held back.
    pub shown: String,
    /// The reason for the end of the text, if it has ended.
    pub finish: Option<Finish>,
}

impl Event {
    /// An event without a token.
    pub(super) fn without_token(id: TextId, shown: String, finish: Option<Finish>) -> Self {
        Self { id, token: None, logprob: None, shown, finish }
    }
}
