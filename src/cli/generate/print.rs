//! Printing of texts that are written side by side: one after another in their order, or as JSON objects.

use std::collections::BTreeMap;
use std::io::{self, StdoutLock, Write};

use rnn_zoo::inference::generate::{Event, Finish, Hypothesis, TextId};
use serde_json::{Value, json};

/// Prints texts in the order in which they began. The first that has not ended is printed as it grows; later ones
/// are kept until then.
pub(super) struct Printer {
    texts: BTreeMap<TextId, Growing>,
    json: bool,
    out: StdoutLock<'static>,
}

/// A text that has not been printed to its end.
struct Growing {
    prompt: String,
    /// The text that is not printed yet. With JSON: the text after the prompt.
    text: String,
    tokens: Vec<u32>,
    logprob: f64,
    finish: Option<Finish>,
}

impl Printer {
    pub(super) fn new(json: bool) -> Self {
        Self { texts: BTreeMap::new(), json, out: io::stdout().lock() }
    }

    /// Add a text, with its prompt as typed and as shown.
    pub(super) fn begin(&mut self, id: TextId, prompt: &str, shown: String) {
        let text = if self.json { String::new() } else { shown };
        let prompt = if self.json { prompt.to_string() } else { String::new() };
        self.texts.insert(id, Growing { prompt, text, tokens: vec![], logprob: 0., finish: None });
    }

    /// Add what a step has added to a text. A text that failed has no end.
    pub(super) fn add(&mut self, event: &Event) {
        let Some(text) = self.texts.get_mut(&event.id) else { return };
        text.text.push_str(&event.shown);
        text.finish = event.finish.filter(|&finish| finish != Finish::Failed);
        if self.json {
            text.tokens.extend(event.token);
            text.logprob += event.logprob.unwrap_or_default();
        }
    }

    /// Print all texts whose predecessors have ended.
    pub(super) fn print(&mut self) -> io::Result<()> {
        while let Some(mut entry) = self.texts.first_entry() {
            let text = entry.get_mut();
            if !self.json {
                self.out.write_all(std::mem::take(&mut text.text).as_bytes())?;
            }
            let Some(finish) = text.finish else { break };
            let Growing { prompt, text, tokens, logprob, .. } = entry.remove();
            match self.json {
                true => writeln!(self.out, "{}", object(&prompt, &text, &tokens, logprob, finish))?,
                false => writeln!(self.out)?,
            }
        }
        self.out.flush()
    }
}

fn object(prompt: &str, text: &str, tokens: &[u32], logprob: f64, finish: Finish) -> Value {
    json!({
        "prompt": prompt, "text": text, "tokens": tokens.len(), "token_ids": tokens, "logprob": logprob,
        "finish_reason": finish,
    })
}

/// The JSON object of a text that a beam search has found.
pub(super) fn hypothesis(prompt: &str, found: &Hypothesis) -> Value {
    let mut value = object(prompt, &found.text, &found.tokens, found.logprob, found.finish);
    value["score"] = json!(found.score);
    value
}
