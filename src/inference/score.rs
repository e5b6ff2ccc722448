//! Log-probabilities of single lines, each on its own, as needed to rank the hypotheses of a recogniser or
//! translator.

use crate::data::batch::Windows;
use crate::inference::carry::Carried;
use crate::inference::evaluate::WINDOW;
use crate::inference::model::Model;
use crate::tokenizer::{End, Scheme};
use crate::training::loss;
use crate::{Error, Result};

/// The log-probability of one line.
#[derive(Clone, Debug, PartialEq)]
pub struct LineScore {
    /// The tokens of the line; the last is the line's end.
    pub tokens: Vec<u32>,
    /// The log-probability of each token given the tokens before it, in nats.
    pub logprobs: Vec<f64>,
    /// The number of unknown tokens.
    pub unknown: usize,
}

impl LineScore {
    /// The log-probability of the whole line, including its end, in nats.
    pub fn logprob(&self) -> f64 {
        self.logprobs.iter().sum()
    }
}

/// Scores `lines`, which have no line ends, in their order. Each is read from a state of zero after the start
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
    let tokens = lines.iter().map(|line| tokens_of(model, line)).collect::<Result<Vec<_>>>()?;
    let logprobs = logprobs(model, &tokens)?;
    if let Some((line, value)) = not_finite(&logprobs) {
        let problem = format!(
            "a log-probability in {:?} is {value}: numbers overflow in the network, whose parameters are finite but \
             too large",
            lines[line]
        );
        return Err(Error::file(model.path(), problem));
    }
    let score = |(tokens, logprobs): (Vec<u32>, Vec<f64>)| {
        let unknown = tokens.iter().filter(|&&token| Some(token) == tokenizer.unknown()).count();
        LineScore { tokens, logprobs, unknown }
    };
    Ok(tokens.into_iter().zip(logprobs).map(score).collect())
}

/// The first value that is NaN or infinite, with the index of its line.
fn not_finite(logprobs: &[Vec<f64>]) -> Option<(usize, f64)> {
    let mut values =
        logprobs.iter().enumerate().flat_map(|(line, values)| values.iter().map(move |v| (line, *v)));
    values.find(|(_, value)| !value.is_finite())
}

/// The tokens of a line and of its end, which is a line end or a record end as in the model's training data. For
/// a model that has seen no newline, the line ends as a record.
fn tokens_of(model: &Model, line: &str) -> Result<Vec<u32>> {
    let tokenizer = model.tokenizer()?;
    let is_record = Some(model.start_token()?) == tokenizer.end() && tokenizer.scheme() != Scheme::Word;
    let mut tokens = vec![];
    match is_record {
        true => tokenizer.append_ended(line, End::Record, &mut tokens)?,
        false => tokenizer.append_ended(&format!("{line}\n"), End::Line, &mut tokens)?,
    }
    Ok(tokens)
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
