//! Answers of a trained model to sequences: classes, tags, numbers.

use crate::data::Shard;
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::inference::BATCH;
use crate::inference::model::Model;
use crate::tasks::{Answer, Answerer, Questions};
use crate::{Error, Result};

/// Convert texts to the sequences that the model reads.
///
/// # Errors
/// If the model does not read single texts or has no tokenizer, and errors of a foreign tokenizer.
pub fn read_texts(model: &Model, texts: &[String]) -> Result<Dataset> {
    let Some(read) = model.config.task.text_reader() else {
        answerer(model)?;
        let problem =
            format!("is {}, which reads no single texts; give it option `data`", model.config.task.model());
        return Err(model.refuse(problem));
    };
    read(texts, model.names())
}

/// Refuse a language model, which only predicts the next token.
///
/// # Errors
/// If the model is a language model.
pub fn check(model: &Model) -> Result<()> {
    answerer(model).map(drop)
}

fn answerer(model: &Model) -> Result<Answerer> {
    model.config.task.answerer().ok_or_else(|| {
        model.refuse(
            "a language model predicts the next token only: use `generate::write`, `score_lines` or `evaluate`",
        )
    })
}

/// Answer the examples of `data`, in their order.
///
/// # Errors
/// If the model is a language model or an output is NaN or infinite, and errors from candle.
pub fn answer(model: &Model, data: &Dataset) -> Result<Vec<Answer>> {
    let answerer = answerer(model)?;
    let mut answers = Vec::with_capacity(data.len());
    let epoch = data.epoch(Cut { batch_size: BATCH, window: 1, trim: false, vary: false }, None)?;
    for index in 0..epoch.len() {
        let batch = epoch.batch(index, &model.device)?;
        let questions = Questions { batch, before: answers.len(), parts: epoch.parts(index, Shard::WHOLE) };
        let found = answerer(model.network.as_ref(), &questions, model.names());
        answers.extend(found.map_err(|error| match error {
            Error::Message(problem) => model.failed(problem),
            error => error,
        })?);
    }
    Ok(answers)
}
