//! The tokens of a prompt with the model's most probable tokens in their places, for an answer that has them (`echo`
//! with `logprobs`).

use candle_core::{DType, Tensor};
use rnn_zoo_models::State;

use super::token::Token;
use crate::Result;
use crate::inference::Model;
use crate::inference::evaluate::WINDOW;
use crate::inference::generate::TypedPrompt;
use crate::logits::log_probability;

/// Read a prompt from a state of zero. Return each token with its `count` most probable alternatives, and the part of
/// the prompt that it stands for; the parts join to the prompt as it is shown.
///
/// # Errors
/// If a log-probability is NaN or infinite, and errors from candle.
pub(super) fn prompt_tokens(
    model: &Model,
    prompt: &TypedPrompt,
    count: usize,
) -> Result<Vec<(Token, String)>> {
    let (network, tokenizer) = (model.network.as_ref(), model.tokenizer()?);
    let mut decoder = tokenizer.decoder();
    let (mut last, mut state) = (model.start_token()?, None::<State>);
    let mut found = Vec::with_capacity(prompt.ids().len());
    for window in prompt.ids().chunks(WINDOW) {
        let read: Vec<u32> = [last].iter().chain(window).copied().take(window.len()).collect();
        last = window[window.len() - 1];
        let inputs = Tensor::new(read, &model.device)?.unsqueeze(0)?; // (1, time)
        let (hidden, after) = network.encode(&inputs.into(), state.as_ref(), None)?;
        state = Some(after.detach());
        let scores = network.outputs(&hidden.detach().squeeze(0)?)?; // (time, vocabulary)
        for (scores, &token) in scores.to_dtype(DType::F32)?.to_vec2::<f32>()?.iter().zip(window) {
            let logprob = log_probability(scores, token);
            if !logprob.is_finite() {
                return Err(model.failed("the scores are NaN or infinite; train the model anew"));
            }
            found.push(Token::new(tokenizer, &decoder, logprob, scores, count));
            decoder.push(token);
        }
    }
    Ok(found.into_iter().zip(prompt.parts(tokenizer)).collect())
}
