//! Log-probabilities of single lines, each on its own, as needed to rank the hypotheses of a recogniser or
//! translator.

use serde_json::{Value, json};

use crate::data::windows::Windows;
use crate::error::overflow;
use crate::inference::carry::Carried;
use crate::inference::evaluate::WINDOW;
use crate::inference::model::Model;
use crate::tokenizer::{End, Tokenizer, Unknown};
use crate::training::loss;
use crate::{Error, Result};

/// The log-probability of one line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineScore {
    /// The tokens of the line. The last is the line's end, if that was a target in training.
    pub tokens: Vec<u32>,
    /// The log-probability of each token given the tokens before it, in nats.
    pub logprobs: Vec<f64>,
    /// Counts of what is unknown in the line.
    pub unknown: Unknown,
}

impl LineScore {
    /// The log-probability of the whole line, including its end, in nats.
    pub fn logprob(&self) -> f64 {
        self.logprobs.iter().sum()
    }

    /// Return the object that is printed for the line `text`, with each token if `tokens` is set.
    pub fn json(&self, tokenizer: &Tokenizer, text: &str, tokens: bool) -> Value {
        let mut line = json!({
            "logprob": self.logprob(),
            "tokens": self.tokens.len(),
            "unknown": self.unknown.total(),
            "text": text,
        });
        if tokens {
            let texts: Vec<_> =
                self.tokens.iter().map(|&id| tokenizer.token_text(id).unwrap_or_default()).collect();
            line["token_texts"] = json!(texts);
            line["token_logprobs"] = json!(self.logprobs);
        }
        line
    }
}

/// Score `lines`, which have no line ends, in their order. Each is read from a state of zero after the start
/// token, as `rnn eval` reads a file of that line alone. The lines form one batch, so their number is limited by
/// memory; it changes no score.
///
/// # Errors
/// If the model is not a language model, a foreign tokenizer cannot encode a line, or a log-probability is NaN or
/// infinite, and errors from candle.
pub fn score_lines(model: &Model, lines: &[String]) -> Result<Vec<LineScore>> {
    if !model.config.task.is_language_model() {
        let problem = format!("its task is {}; only a language model scores lines", model.config.task);
        return Err(model.refuse(problem));
    }
    let tokenizer = model.tokenizer()?;
    let end = ScoredEnd::of(model)?;
    let encoded = lines.iter().map(|line| end.encode(tokenizer, line)).collect::<Result<Vec<_>>>()?;
    let (tokens, unknown): (Vec<_>, Vec<_>) = encoded.into_iter().unzip();
    let logprobs = logprobs(model, &tokens)?;
    if let Some((line, value)) = not_finite(&logprobs) {
        let result = format!("a log-probability in {:?} is {value}", lines[line]);
        return Err(Error::file(model.path(), overflow(result)));
    }
    let lines = tokens.into_iter().zip(logprobs).zip(unknown);
    Ok(lines.map(|((tokens, logprobs), unknown)| LineScore { tokens, logprobs, unknown }).collect())
}

/// The first value that is NaN or infinite, with the index of its line.
fn not_finite(logprobs: &[Vec<f64>]) -> Option<(usize, f64)> {
    let mut values =
        logprobs.iter().enumerate().flat_map(|(line, values)| values.iter().map(move |v| (line, *v)));
    values.find(|(_, value)| !value.is_finite())
}

/// The end of a line that is scored.
#[derive(Clone, Copy)]
enum ScoredEnd {
    /// The end of a record.
    Record,
    /// A line end in running text.
    Line,
    /// None: the model was trained on running text, and its vocabulary has no line end. The end token was not a target
    /// in training, so its score means nothing.
    None,
}

impl ScoredEnd {
    /// The end that lines had in the model's training data.
    fn of(model: &Model) -> Result<Self> {
        Ok(match model.config.text_column {
            Some(_) => Self::Record,
            None if model.tokenizer()?.ends_lines()? => Self::Line,
            None => Self::None,
        })
    }

    /// The tokens of a line and of its end.
    fn encode(self, tokenizer: &Tokenizer, line: &str) -> Result<(Vec<u32>, Unknown)> {
        let mut tokens = vec![];
        let unknown = match self {
            Self::Record => tokenizer.append_ended(line, End::Record, &mut tokens)?,
            Self::Line => tokenizer.append_ended(&format!("{line}\n"), End::Line, &mut tokens)?,
            Self::None => tokenizer.append_ended(line, End::None, &mut tokens)?,
        };
        Ok((tokens, unknown))
    }
}

/// The log-probability of every token of every sequence, each sequence from a state of zero.
fn logprobs(model: &Model, sequences: &[Vec<u32>]) -> Result<Vec<Vec<f64>>> {
    let start = model.start_token()?;
    let longest = sequences.iter().map(Vec::len).max().unwrap_or_default();
    let mut logprobs = vec![vec![]; sequences.len()];
    let mut carried = Carried::default();
    for from in (0..longest).step_by(WINDOW) {
        let width = WINDOW.min(longest - from);
        let lengths: Vec<usize> =
            sequences.iter().map(|tokens| tokens.len().saturating_sub(from).min(width)).collect();
        let mut windows = Windows::of(width);
        for (tokens, &length) in sequences.iter().zip(&lengths) {
            windows.push((from == 0).then_some(start), length, |before, span| {
                span.copy_from_slice(&tokens[from - before..from + length]);
                Ok(())
            })?;
        }
        let batch = windows.batch(from == 0, &model.device)?;
        let hidden = carried.encode(model.network.as_ref(), &batch)?;
        let mut losses = loss::each(model.network.as_ref(), &hidden, &batch)?.into_iter();
        for (logprobs, length) in logprobs.iter_mut().zip(lengths) {
            logprobs.extend(losses.by_ref().take(length).map(|loss| -loss));
        }
    }
    Ok(logprobs)
}
