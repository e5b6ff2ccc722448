//! The answer of a completion, in OpenAI's shape.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::job::TextDelta;
use super::problem::Problem;
use super::token::Token;
use crate::inference::generate::{Finish, no_candidate};

/// The fields that all objects of an answer have.
#[derive(Serialize)]
pub(super) struct Heading {
    id: String,
    object: &'static str,
    created: u64,
    model: String,
    /// The seed of the texts, unless they continue with the random numbers of a state.
    #[serde(skip_serializing_if = "Option::is_none")]
    seed: Option<u64>,
}

/// An object of an answer: the whole answer, or an event of a stream. A stream has one for each token, so it is
/// serialised without an intermediate tree of values.
#[derive(Serialize)]
pub(super) struct Object<'a> {
    #[serde(flatten)]
    heading: &'a Heading,
    choices: &'a [ChoicePart],
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
pub(super) struct ChoicePart {
    index: usize,
    text: String,
    logprobs: Option<Logprobs>,
    finish_reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<String>,
}

#[derive(Serialize)]
struct Logprobs {
    /// The text that each token adds; they join to the text.
    tokens: Vec<String>,
    token_logprobs: Vec<f64>,
    top_logprobs: Vec<BTreeMap<String, f64>>,
    /// The number of characters before each token.
    text_offset: Vec<usize>,
}

/// A text that is being written.
#[derive(Default)]
pub(super) struct Choice {
    text: String,
    /// Tokens that have not been sent.
    tokens: Vec<Placed>,
    /// The end of the text that belongs to no token yet, which the next token takes: an echoed prompt without tokens.
    pending_text: String,
    /// The number of characters of all tokens.
    characters: usize,
    /// The sum of the log-probabilities of the tokens written, and their number.
    quality: (f64, usize),
    finish: Option<Finish>,
    state: Option<String>,
}

/// A token in its text.
struct Placed {
    token: Token,
    /// The text that it adds.
    text: String,
    /// The number of characters before it.
    offset: usize,
}

impl Heading {
    /// The heading of a new answer.
    pub(super) fn new(model: &str, seed: Option<u64>) -> Self {
        let created = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let id = format!("cmpl-{:032x}", rand::random::<u128>());
        Self { id, object: "text_completion", created: created.as_secs(), model: model.to_string(), seed }
    }

    /// An object with choices.
    pub(super) fn object<'a>(&'a self, choices: &'a [ChoicePart], usage: Option<Usage>) -> Object<'a> {
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

impl ChoicePart {
    /// Whether it has text, log-probabilities or an end.
    pub(super) fn is_worth_sending(&self) -> bool {
        !self.text.is_empty() || self.logprobs.is_some() || self.finish_reason.is_some()
    }
}

impl Choice {
    /// A text whose answer begins with the tokens of its prompt, each with the part of the prompt that it stands for.
    pub(super) fn after(prompt: Vec<(Token, String)>) -> Self {
        let mut choice = Self::default();
        prompt.into_iter().for_each(|(token, text)| choice.place(token, text));
        choice
    }

    /// Append a token that adds `text`.
    fn place(&mut self, token: Token, text: String) {
        let offset = self.characters;
        self.characters += text.chars().count();
        self.tokens.push(Placed { token, text, offset });
    }

    /// Add a piece; `echo` tells whether the prompt is part of the text.
    ///
    /// # Errors
    /// If the model leaves no token to write.
    pub(super) fn add(&mut self, piece: TextDelta, echo: bool) -> Result<(), Problem> {
        if piece.finish == Some(Finish::Failed) {
            return Err(Problem::failure(no_candidate().to_string()));
        }
        if let Some(token) = piece.token.as_ref().filter(|_| piece.written) {
            self.quality.0 += token.logprob;
            self.quality.1 += 1;
        }
        let added = if echo || !piece.is_prompt { piece.shown } else { String::new() };
        self.text.push_str(&added);
        match piece.token {
            Some(token) => {
                let text = std::mem::take(&mut self.pending_text) + &added;
                self.place(token, text);
            }
            // The text of a prompt is that of its tokens, if it has any.
            None if piece.is_prompt && !self.tokens.is_empty() => {}
            None => self.pending_text.push_str(&added),
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
    pub(super) fn take(&mut self, index: usize, logprobs: bool) -> ChoicePart {
        let tokens = std::mem::take(&mut self.tokens);
        // Text that belongs to no token yet is sent with the token that takes it.
        let waits = logprobs && tokens.is_empty() && self.finish.is_none();
        let finish_reason =
            self.finish.map(|finish| if finish == Finish::Length { "length" } else { "stop" });
        ChoicePart {
            index,
            text: if waits { String::new() } else { std::mem::take(&mut self.text) },
            logprobs: (logprobs && (!tokens.is_empty() || self.finish.is_some()))
                .then(|| Logprobs::of(tokens)),
            finish_reason,
            state: self.state.take(),
        }
    }
}

impl Logprobs {
    fn of(tokens: Vec<Placed>) -> Self {
        let mut shown =
            Self { tokens: vec![], token_logprobs: vec![], top_logprobs: vec![], text_offset: vec![] };
        for Placed { token, text, offset } in tokens {
            shown.tokens.push(text);
            shown.token_logprobs.push(token.logprob);
            shown.top_logprobs.push(token.alternatives.into_iter().collect());
            shown.text_offset.push(offset);
        }
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn piece(shown: &str, is_prompt: bool, token: Option<Token>) -> TextDelta {
        let shown = shown.to_string();
        TextDelta { text: 0, shown, is_prompt, written: token.is_some(), token, finish: None, state: None }
    }

    #[test]
    fn echoed_prompt_without_tokens_is_text_of_the_first_token() {
        let mut choice = Choice::default();
        let token = Token { logprob: -1., alternatives: vec![] };
        choice.add(piece("ж ", true, None), true).unwrap_or_else(|_| panic!("the model writes tokens"));
        let waiting = choice.take(0, true);
        assert!(!waiting.is_worth_sending() && waiting.text.is_empty());
        choice
            .add(piece("a", false, Some(token)), true)
            .unwrap_or_else(|_| panic!("the model writes tokens"));
        let part = choice.take(0, true);
        assert_eq!(part.text, "ж a");
        assert_eq!(part.logprobs.unwrap().tokens, ["ж a"]);
    }
}
