//! Answers of a trained model to sequences: classes, tags, numbers.

use crate::Result;
use crate::data::batch::{Cut, Dataset};
use crate::inference::model::Model;
use crate::tasks::Answer;

/// Number of sequences in a batch.
const BATCH: usize = 64;

/// Answers `texts`, in their order.
///
/// # Errors
/// If the model does not read single texts, and errors from candle.
pub fn answer_texts(model: &Model, texts: &[String]) -> Result<Vec<Answer>> {
    let Some(read) = model.config.task.text_reader() else {
        let problem = format!(
            "its task is {}: it gives text no class; train with option `task = classify`",
            model.config.task
        );
        return Err(model.refuse(problem));
    };
    let tokenizer = model.tokenizer()?;
    let examples = texts.iter().map(|text| read(text, tokenizer)).collect::<Result<_>>()?;
    answer(model, &Dataset::Examples(examples))
}

/// Refuses a language model, which only predicts the next token.
///
/// # Errors
/// If the model is a language model.
pub fn check(model: &Model) -> Result<()> {
    match model.config.task.is_language_model() {
        true => Err(model.refuse(
            "a language model predicts the next token only: use `rnn generate`, `rnn score` or `rnn eval`",
        )),
        false => Ok(()),
    }
}

/// Answers the examples of `data`, in their order.
///
/// # Errors
/// If the model is a language model, and errors from candle.
pub fn answer(model: &Model, data: &Dataset) -> Result<Vec<Answer>> {
    check(model)?;
    let mut answers = Vec::with_capacity(data.len());
    let epoch = data.epoch(Cut { batch_size: BATCH, window: 1, trim: false, vary: false }, None)?;
    for index in 0..epoch.len() {
        let batch = epoch.batch(index, &model.device)?;
        answers.extend(model.config.task.answer(model.network.as_ref(), &batch, model.names())?);
    }
    Ok(answers)
}
