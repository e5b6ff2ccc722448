//! The answer of a completion, in OpenAI's shape.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::job::Piece;
use super::problem::Problem;
use super::token::Token;
use crate::inference::generate::{Finish, no_candidate};

/// What all objects of an answer have in common.
#[derive(Serialize)]
pub(super) struct Heading {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    /// The seed of the texts, unless they go on with the random numbers of a state.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// An object of an answer: the whole answer, or an event of a stream. A stream has one for each token, so it is written
/// without a tree of values between.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    #[serde(flatten)]
    heading: &'a Heading,
    choices: &'a [Sent],
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<Usage>,
}

/// Counts of tokens.
#[derive(Clone, Copy, Serialize)]
pub(super) struct Usage {
    #[serde(rename = "prompt_tokens")]
    prompt: usize,
    #[serde(rename = "completion_tokens")]
    completion: usize,
    #[serde(rename = "total_tokens")]
    total: usize,
}

/// A part of a text that is sent, or all of it.
#[derive(Serialize)]
pub(super) struct Sent {
    index: usize,
    text: String,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

#[derive(Serialize)]
struct Logprobs {
    tokens: Vec<String>,
    token_logprobs: Vec<f64>,
    top_logprobs: Vec<BTreeMap<String, f64>>,
    /// The number of characters before each token.
    text_offset: Vec<usize>,
}

/// A text as far as it has been written.
#[derive(Default)]
pub(super) struct Choice {
    text: String,
    /// Tokens that have not been sent, each with the number of characters before it.
    tokens: Vec<(Token, usize)>,
    characters: usize,
    /// The sum of the log-probabilities of the tokens written, and their number.
    quality: (f64, usize),
    finish: Option<Finish>,
    state: Option<String>,
}

impl Heading {
    /// The heading of a new answer.
    pub(super) fn new(model: &str, seed: Option<u64>) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("cmpl-{:032x}", rand::random::<u128>());
        Self { id, object: "text_completion", created: created.as_secs(), model: model.to_string(), seed }
    }

    /// An object with choices.
    pub(super) fn object<'a>(&'a self, choices: &'a [Sent], usage: Option<Usage>) -> Object<'a> {
        Object { heading: self, choices, usage }
    }
}

impl Usage {
    /// The counts of prompts of so many tokens, before the first token is written.
    pub(super) fn of_prompts(prompt: usize) -> Self {
        Self { prompt, completion: 0, total: prompt }
    }

    /// Count a token written.
    pub(super) fn add(&mut self) {
        self.completion += 1;
        self.total += 1;
    }
}

impl Sent {
    /// Whether there is something to send.
    pub(super) fn is_news(&self) -> bool {
        !self.text.is_empty() || self.logprobs.is_some() || self.finish_reason.is_some()
    }
}

impl Choice {
    /// A text whose answer begins with the tokens of its prompt.
    pub(super) fn after(prompt: Vec<(Token, usize)>) -> Self {
        Self { tokens: prompt, ..Self::default() }
    }

    /// Add a piece; `echo` tells whether the prompt is part of the text.
    ///
    /// # Errors
    /// If the model leaves no token to write.
    pub(super) fn add(&mut self, piece: Piece, echo: bool) -> Result<(), Problem> {
        if piece.finish == Some(Finish::Failed) {
            return Err(Problem::failure(no_candidate().to_string()));
        }
        if let Some(token) = piece.token {
            self.quality.0 += token.logprob;
            self.quality.1 += 1;
            self.tokens.push((token, self.characters));
        }
        if echo || !piece.is_prompt {
            self.characters += piece.shown.chars().count();
            self.text.push_str(&piece.shown);
        }
        self.finish = self.finish.or(piece.finish);
        self.state = self.state.take().or(piece.state);
        Ok(())
    }

    /// Whether the text has ended.
    pub(super) fn is_ended(&self) -> bool {
        self.finish.is_some()
    }

    /// The mean log-probability of the tokens written, by which the best of several texts are chosen.
    pub(super) fn quality(&self) -> f64 {
        let (total, count) = self.quality;
        total / count.max(1) as f64
    }

    /// Take the part of it that has not been sent. `logprobs` tells whether tokens are shown.
    pub(super) fn take(&mut self, index: usize, logprobs: bool) -> Sent {
        let tokens = std::mem::take(&mut self.tokens);
        let finish_reason =
            self.finish.map(|finish| if finish == Finish::Length { "length" } else { "stop" });
        Sent {
            index,
            text: std::mem::take(&mut self.text),
            logprobs: (logprobs && (!tokens.is_empty() || self.finish.is_some()))
                .then(|| Logprobs::of(tokens)),
            finish_reason,
            state: self.state.take(),
        }
    }
}

impl Logprobs {
    fn of(tokens: Vec<(Token, usize)>) -> Self {
        let mut shown =
            Self { tokens: vec![], token_logprobs: vec![], top_logprobs: vec![], text_offset: vec![] };
        for (token, offset) in tokens {
            shown.tokens.push(token.text);
            shown.token_logprobs.push(token.logprob);
            shown.top_logprobs.push(token.alternatives.into_iter().collect());
            shown.text_offset.push(offset);
        }
        shown
    }
}
