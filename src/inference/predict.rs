//! Answers of a trained model to sequences: classes, tags, numbers.

use candle_core::{D, DType};
use serde::Serialize;

use crate::Result;
use crate::data::batch::{Cut, Dataset, Example, Input, Target};
use crate::inference::model::Model;
use crate::tasks::Task;

/// Sequences that are answered side by side.
const BATCH: usize = 64;

/// A model's answer to one sequence.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// The likeliest class and its probability.
    Class {
        /// Its name.
        label: String,
        /// Its share.
        probability: f64,
    },
    /// One tag a step.
    Tags(Vec<u32>),
    /// Numbers.
    Values(Vec<f64>),
}

/// Answers to `texts`, in their order.
///
/// # Errors
/// A model that does not classify text.
pub fn classify(model: &Model, texts: Vec<String>) -> Result<Vec<Answer>> {
    if model.config.task != Task::Classify {
        let problem = format!(
            "its task is {}: it gives text no class; train with option `task = classify`",
            model.config.task
        );
        return Err(model.refuse(problem));
    }
    let tokenizer = model.tokenizer()?;
    let example = |text: String| {
        Ok(Example { input: Input::Tokens(tokenizer.encode(&text)?), target: Target::Class(0) })
    };
    answer(model, &Dataset::Examples(texts.into_iter().map(example).collect::<Result<_>>()?))
}

/// Refuses a language model, which answers nothing but the next token.
///
/// # Errors
/// For such a model.
pub fn check(model: &Model) -> Result<()> {
    match model.config.task {
        Task::Lm => Err(model.refuse(
            "a language model predicts the next token only: use `rnn generate`, `rnn score` or `rnn eval`",
        )),
        _ => Ok(()),
    }
}

/// Answers to the examples of `data`, in their order.
///
/// # Errors
/// A language model, which answers nothing but the next token; and those of the device.
pub fn answer(model: &Model, data: &Dataset) -> Result<Vec<Answer>> {
    check(model)?;
    let mut answers = Vec::with_capacity(data.len());
    let epoch = data.epoch(Cut { batch_size: BATCH, window: 1, trim: false, vary: false }, None)?;
    for index in 0..epoch.len() {
        let batch = epoch.batch(index, &model.device)?;
        let lengths = batch.lengths.as_deref();
        let (hidden, _) = model.network.encode(&batch.inputs, None, lengths)?;
        let outputs = model.network.decode(&hidden)?.to_dtype(DType::F64)?;
        match model.config.task {
            Task::Tag => {
                let tags = outputs.argmax(D::Minus1)?.to_vec2::<u32>()?;
                let time = outputs.dim(1)?;
                answers.extend(tags.into_iter().enumerate().map(|(row, mut tags)| {
                    tags.truncate(lengths.map_or(time, |lengths| lengths[row]));
                    Answer::Tags(tags)
                }));
            }
            Task::Forecast => answers.extend(outputs.to_vec2::<f64>()?.into_iter().map(Answer::Values)),
            Task::Classify | Task::Lm => {
                let shares = candle_nn::ops::softmax(&outputs, D::Minus1)?.to_vec2::<f64>()?;
                answers.extend(shares.iter().map(|row| likeliest(row, &model.config.labels)));
            }
        }
    }
    Ok(answers)
}

fn likeliest(shares: &[f64], labels: &[String]) -> Answer {
    let best = shares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1));
    let (class, &probability) = best.unwrap_or((0, &0.));
    Answer::Class { label: labels.get(class).cloned().unwrap_or_default(), probability }
}
