//! What `rnn generate` prints: texts in their order, however they grow, or a JSON object for each.

use std::io::{self, StdoutLock, Write};

use rnn_zoo::inference::generate::{Finish, Gain, Hypothesis};
use serde_json::{Value, json};

/// Prints texts that grow side by side in their order: of the first that is not whole yet, every token as it comes.
pub(super) struct Printer<'a> {
    texts: Vec<Growing<'a>>,
    /// The first text that is not whole.
    current: usize,
    json: bool,
    out: StdoutLock<'static>,
}

/// A text that has not been printed to its end.
struct Growing<'a> {
    prompt: &'a str,
    /// What is not printed yet; of JSON, the text behind the prompt.
    text: String,
    tokens: Vec<u32>,
    logprob: f64,
    finish: Option<Finish>,
}

impl<'a> Printer<'a> {
    /// Of prompts as they were typed and as they are shown.
    pub(super) fn new(prompts: impl Iterator<Item = (&'a str, String)>, json: bool) -> io::Result<Self> {
        let growing = |(prompt, shown)| {
            let text = if json { String::new() } else { shown };
            Growing { prompt, text, tokens: vec![], logprob: 0., finish: None }
        };
        let texts = prompts.map(growing).collect();
        let mut printer = Self { texts, current: 0, json, out: io::stdout().lock() };
        printer.print()?;
        Ok(printer)
    }

    /// A text has grown.
    pub(super) fn gain(&mut self, gain: &Gain<'_>) -> io::Result<()> {
        let text = &mut self.texts[gain.text];
        text.text.push_str(gain.shown);
        text.finish = gain.finish.or(text.finish);
        if self.json {
            text.tokens.extend(gain.token);
            text.logprob += gain.logprob;
        }
        if gain.text == self.current { self.print() } else { Ok(()) }
    }

    fn print(&mut self) -> io::Result<()> {
        while let Some(text) = self.texts.get_mut(self.current) {
            if !self.json {
                self.out.write_all(std::mem::take(&mut text.text).as_bytes())?;
            }
            let Some(finish) = text.finish else { break };
            match self.json {
                true => {
                    let Growing { prompt, text, tokens, logprob, .. } = text;
                    writeln!(self.out, "{}", object(prompt, text, tokens, *logprob, finish))?;
                }
                false => writeln!(self.out)?,
            }
            self.current += 1;
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

/// A text that beam search found.
pub(super) fn hypothesis(prompt: &str, found: &Hypothesis) -> Value {
    let mut value = object(prompt, &found.text, &found.tokens, found.logprob, found.finish);
    value["score"] = json!(found.score);
    value
}
