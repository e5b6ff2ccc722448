//! `/v1/score`: the log-probability of texts, as `rnn score --json --tokens` prints it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::engine::Engine;
use super::fields::Fields;
use super::options::Limits;
use super::problem::Problem;
use crate::inference::BATCH;
use crate::inference::score::score_lines;

/// The most texts of a request.
const MOST_TEXTS: usize = 256;

/// Answer a request.
pub(super) async fn score(
    engine: Arc<Engine>,
    model: &str,
    mut fields: Fields,
    limits: &Limits,
) -> Result<Value, Problem> {
    let texts = fields.texts("input", 1, MOST_TEXTS)?;
    let texts = texts.ok_or_else(|| Problem::field("input", "is missing; expected a text to score"))?;
    let tokens = fields.flag("tokens")?;
    fields.end()?;
    let total: usize = texts.iter().map(String::len).sum();
    if total > limits.prompt {
        let problem = format!("has {total} bytes; expected at most {} together", limits.prompt);
        return Err(Problem::field("input", problem));
    }
    let data = engine.compute(move |model, waiting| {
        let mut scored = vec![];
        for texts in texts.chunks(BATCH) {
            waiting.check()?;
            let scores = score_lines(model, texts)?;
            let tokenizer = model.tokenizer()?;
            scored.extend(texts.iter().zip(&scores).map(|(text, score)| score.json(tokenizer, text, tokens)));
        }
        Ok(scored)
    });
    Ok(json!({ "object": "list", "model": model, "data": data.await? }))
}
