//! The answer of a completion, in OpenAI's shape.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

use super::job::{Piece, Token};
use super::problem::Problem;
use crate::inference::generate::{Finish, no_candidate};

/// What all objects of an answer have in common.
pub(super) struct Heading {
    /// The identifier of the answer.
    pub id: String,
    /// The name of the model.
    pub model: String,
    /// The seed of the texts, unless they go on with the random numbers of a state.
    pub seed: Option<u64>,
    created: u64,
}

/// Counts of tokens.
#[derive(Clone, Copy, Default)]
pub(super) struct Usage {
    /// Tokens of the prompts.
    pub prompt: usize,
    /// Tokens written.
    pub completion: usize,
}

/// A text as far as it has been written.
#[derive(Default)]
pub(super) struct Choice {
    text: String,
    tokens: Vec<Token>,
    /// The number of characters before each token.
    offsets: Vec<usize>,
    characters: usize,
    finish: Option<Finish>,
    state: Option<String>,
}

impl Heading {
    /// The heading of a new answer.
    pub(super) fn new(model: &str, seed: Option<u64>) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("cmpl-{:032x}", rand::random::<u128>());
        Self { id, model: model.to_string(), seed, created: created.as_secs() }
    }

    /// An object with choices.
    pub(super) fn object(&self, choices: &[Value], usage: Option<Usage>) -> Value {
        let mut object = json!({
            "id": self.id, "object": "text_completion", "created": self.created, "model": self.model,
            "choices": choices,
        });
        if let Some(seed) = self.seed {
            object["seed"] = json!(seed);
        }
        if let Some(Usage { prompt, completion }) = usage {
            object["usage"] = json!({
                "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            });
        }
        object
    }
}

impl Choice {
    /// Add a piece; `echo` tells whether the prompt is part of the text.
    ///
    /// # Errors
    /// If the model leaves no token to write.
    pub(super) fn add(&mut self, piece: Piece, echo: bool) -> Result<(), Problem> {
        if piece.finish == Some(Finish::Failed) {
            return Err(Problem::failure(no_candidate().to_string()));
        }
        if let Some(token) = piece.token {
            self.tokens.push(token);
            self.offsets.push(self.characters);
        }
        if echo || !piece.is_prompt {
            self.characters += piece.shown.chars().count();
            self.text.push_str(&piece.shown);
        }
        self.finish = self.finish.or(piece.finish);
        self.state = self.state.take().or(piece.state);
        Ok(())
    }

    /// Whether there is something to send.
    pub(super) fn is_news(&self) -> bool {
        !self.text.is_empty() || !self.tokens.is_empty() || self.finish.is_some()
    }

    /// Whether the text has ended.
    pub(super) fn is_ended(&self) -> bool {
        self.finish.is_some()
    }

    /// The mean log-probability of its tokens, by which the best of several texts are chosen.
    pub(super) fn quality(&self) -> f64 {
        let total: f64 = self.tokens.iter().map(|token| token.logprob).sum();
        total / self.tokens.len().max(1) as f64
    }

    /// Its object, and nothing more to send of it. `logprobs` tells whether tokens are shown.
    pub(super) fn take(&mut self, index: usize, logprobs: bool) -> Value {
        let tokens = std::mem::take(&mut self.tokens);
        let offsets = std::mem::take(&mut self.offsets);
        let reason = self.finish.map(|finish| if finish == Finish::Length { "length" } else { "stop" });
        let mut object = json!({
            "index": index,
            "text": std::mem::take(&mut self.text),
            "logprobs": logprobs.then(|| shown_tokens(&tokens, &offsets)),
            "finish_reason": reason,
        });
        if let Some(state) = self.state.take() {
            object["state"] = json!(state);
        }
        object
    }
}

fn shown_tokens(tokens: &[Token], offsets: &[usize]) -> Value {
    let top = |token: &Token| -> Value {
        let pairs = token.alternatives.iter().map(|(text, logprob)| (text.clone(), json!(logprob)));
        Value::Object(pairs.collect())
    };
    json!({
        "tokens": tokens.iter().map(|token| &token.text).collect::<Vec<_>>(),
        "token_logprobs": tokens.iter().map(|token| token.logprob).collect::<Vec<_>>(),
        "top_logprobs": tokens.iter().map(top).collect::<Vec<_>>(),
        "text_offset": offsets,
    })
}
