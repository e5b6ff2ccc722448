//! One text for one prompt.

use super::batch::{BatchEvent, PromptBatch};
use super::finish::{Finish, no_candidate};
use super::opening::{Opening, TypedPrompt};
use super::sampling::Sampling;
use super::specials::Specials;
use super::text::TextOptions;
use crate::Result;
use crate::inference::model::Model;

/// Write a text of at most `length` tokens after `prompt`, as `rnn generate` does with this seed. Returns the prompt as
/// the model read it, and the text.
///
/// # Errors
/// If the model is not a language model or an option of `sampling` is invalid, and errors from candle.
pub fn write(model: &Model, prompt: &str, sampling: Sampling, length: usize, seed: u64) -> Result<String> {
    sampling.validate()?;
    let Specials { end, banned } = Specials::of(model)?;
    let options = TextOptions { sampling, banned, length, end, logprobs: false, resumable: false };
    let opening = Opening { saved: None, stops: vec![], seed: Some(seed) };
    let prompt = TypedPrompt::new(model, prompt.into())?;
    let mut batch = PromptBatch::new(model, opening, vec![prompt], 1, options)?;
    let mut text = String::new();
    while let Some(events) = batch.step()? {
        for event in events {
            match event {
                BatchEvent::Begun { shown, .. } => text.push_str(&shown),
                BatchEvent::Written(event) if event.finish == Some(Finish::Failed) => {
                    return Err(no_candidate());
                }
                BatchEvent::Written(event) => text.push_str(&event.shown),
            }
        }
    }
    Ok(text)
}
