//! The work that a request sends to the thread of a bundle, and the pieces of text that it receives.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::mpsc::UnboundedSender;

use super::token::Token;
use crate::inference::generate::{Finish, Opening, TextOptions, TypedPrompt};

/// The places of the texts of a request. They are free when the texts have ended and the client has been given all of
/// the answer, so that unread answers do not use memory without limit.
pub(super) type Places = Arc<OwnedSemaphorePermit>;

/// Texts to write.
pub(super) struct Job {
    /// The prompts.
    pub prompts: Vec<TypedPrompt>,
    /// What they have in common.
    pub opening: Opening,
    /// The number of texts for each prompt.
    pub count: usize,
    /// The options of each text.
    pub options: TextOptions,
    /// The number of alternatives to each token that are returned.
    pub alternatives: usize,
    /// The channel of the pieces of the texts. It holds at most as many pieces as tokens were asked for. The job ends
    /// when the receiver is dropped.
    pub pieces: UnboundedSender<TextDelta>,
    /// When the job ends at the latest.
    pub deadline: Instant,
    /// When the request came.
    pub arrived: Instant,
    /// The places of the texts.
    pub places: Places,
}

impl Job {
    /// The number of texts.
    pub(super) fn texts(&self) -> usize {
        self.prompts.len() * self.count
    }
}

/// An addition to a text of a job.
#[derive(Debug)]
pub(super) struct TextDelta {
    /// The number of the text: those of the first prompt, then those of the second, ...
    pub text: usize,
    /// What can be shown.
    pub shown: String,
    /// Whether `shown` is the prompt, or text that came before it.
    pub is_prompt: bool,
    /// Whether a token was written.
    pub written: bool,
    /// The token with its alternatives, if [log-probabilities](TextOptions::logprobs) were asked for.
    pub token: Option<Token>,
    /// Why the text has ended, if it has.
    pub finish: Option<Finish>,
    /// The state of a text that has ended, if it was asked for.
    pub state: Option<String>,
}
