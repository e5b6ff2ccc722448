//! `/v1/inspect`: the values of the hidden units of a language model while it reads a text, the bits of each token, and
//! the gates of a unit.

use std::sync::Arc;

use candle_core::{DType, IndexOp, Tensor};
use serde_json::{Map, Value, json};

use super::engine::{CancellationToken, Engine};
use super::fields::Fields;
use super::problem::Problem;
use crate::inference::Model;
use crate::logits::log_probability;
use crate::{Error, Result};

/// The longest text, in tokens: the answer has a number for each token and unit.
const MOST_TOKENS: usize = 2000;

/// Values are sent with this many levels on either side of zero.
const LEVELS: f32 = 1000.;

/// Answer a request.
pub(super) async fn inspect(engine: Arc<Engine>, model: &str, mut fields: Fields) -> Result<Value, Problem> {
    let text = fields.text("input")?;
    let text = text.ok_or_else(|| Problem::field("input", "is missing; expected a text to read"))?;
    let unit = fields.whole("unit", 0, u64::from(u32::MAX))?;
    fields.end()?;
    let compute = move |model: &Model, cancellation: &CancellationToken| match unit {
        None => all_units(model, &text, cancellation),
        Some(unit) => gates(model, &text, unit),
    };
    let mut object = engine.compute(compute).await?;
    object["model"] = json!(model);
    Ok(object)
}

/// The tokens of a text, with the values of all units and the bits of each token.
fn all_units(model: &Model, text: &str, cancellation: &CancellationToken) -> Result<Value, Problem> {
    let tokens = tokens(model, text)?;
    let hidden = states(model, &tokens)?;
    let mut all_bits = Vec::with_capacity(tokens.len());
    for (at, &token) in tokens.iter().enumerate() {
        cancellation.check()?;
        all_bits.push(bits(model, &hidden, at, token)?);
    }
    let tokenizer = model.tokenizer()?;
    let shown: Vec<String> =
        tokens.iter().map(|&token| tokenizer.token_text(token).unwrap_or_default().into_owned()).collect();
    Ok(json!({ "tokens": shown, "bits": all_bits, "scale": LEVELS, "units": levels(&hidden)? }))
}

/// The gates of a unit after each token of a text.
fn gates(model: &Model, text: &str, unit: usize) -> Result<Value, Problem> {
    let tokens = tokens(model, text)?;
    let gates = model.network.gates(&inputs(model, &tokens)?.into()).map_err(Error::from)?;
    let mut found = Map::new();
    for (name, values) in gates {
        let units = values.dims()[2];
        if unit >= units {
            return Err(Problem::field("unit", format!("is {unit}; expected 0 to {}", units - 1)));
        }
        found.insert(name.into(), json!(of_unit(&values, unit)?));
    }
    Ok(json!({ "unit": unit, "gates": found }))
}

/// The values of a unit after each token, from (1, 1 + time, hidden).
fn of_unit(values: &Tensor, unit: usize) -> Result<Vec<f32>> {
    Ok(values.i((0, 1.., unit))?.to_dtype(DType::F32)?.to_vec1()?)
}

/// The tokens of a text that may be inspected.
fn tokens(model: &Model, text: &str) -> Result<Vec<u32>, Problem> {
    if !model.config.task.is_language_model() {
        let problem = format!("its task is {}; only a language model is inspected", model.config.task);
        return Err(Problem::field("model", problem));
    }
    let tokens = model.tokenizer()?.encode_prompt_in_known_form(text)?.1.ids;
    if !(1..=MOST_TOKENS).contains(&tokens.len()) {
        let problem = format!("has {} tokens; expected 1 to {MOST_TOKENS}", tokens.len());
        return Err(Problem::field("input", problem));
    }
    Ok(tokens)
}

/// The start token and the tokens of a text, (1, 1 + time).
fn inputs(model: &Model, tokens: &[u32]) -> Result<Tensor> {
    let read: Vec<u32> = [model.start_token()?].into_iter().chain(tokens.iter().copied()).collect();
    Ok(Tensor::new(read, &model.device)?.unsqueeze(0)?)
}

/// The outputs of the top layer after the start token and after each token, (1 + time, hidden).
fn states(model: &Model, tokens: &[u32]) -> Result<Tensor> {
    let (hidden, _) = model.network.encode(&inputs(model, tokens)?.into(), None, None)?;
    Ok(hidden.detach().squeeze(0)?.to_dtype(DType::F32)?)
}

/// The bits that a token costs after the `at` tokens before it.
fn bits(model: &Model, hidden: &Tensor, at: usize, token: u32) -> Result<f64> {
    let scores = model.network.outputs(&hidden.i(at..at + 1)?)?.to_dtype(DType::F32)?;
    let logprob = log_probability(&scores.flatten_all()?.to_vec1::<f32>()?, token);
    match logprob.is_finite() {
        true => Ok(-logprob / std::f64::consts::LN_2),
        false => Err(model.failed("the scores are NaN or infinite; train the model anew")),
    }
}

/// The outputs after each token, a row for each unit, as whole numbers of [`LEVELS`].
fn levels(hidden: &Tensor) -> Result<Vec<Vec<i32>>> {
    let units = hidden.i(1..)?.t()?.contiguous()?.to_vec2::<f32>()?; // (hidden, time)
    let levels = |unit: Vec<f32>| unit.into_iter().map(|value| (value * LEVELS).round() as i32).collect();
    Ok(units.into_iter().map(levels).collect())
}
