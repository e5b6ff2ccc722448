//! `/v1/runs/sample`: a text by the newest checkpoint of a run, also of one that still trains.

use std::path::Path;

use axum::http::StatusCode;
use candle_core::Device;
use serde_json::{Value, json};

use super::problem::Problem;
use super::runs::Run;
use crate::inference::Model;
use crate::inference::generate::{Sampling, write};

/// Tokens of a text.
const LENGTH: usize = 200;

/// Less than 1, so that a text shows what the model has learned rather than how it errs.
const TEMPERATURE: f64 = 0.8;

/// The seed: texts of two checkpoints differ by what they have learned alone.
const SEED: u64 = 1;

/// Write a text with the run named `name` under `folder`.
///
/// # Errors
/// If no run has that name, it has no checkpoint yet, or it is not a language model.
pub(super) fn sample(folder: &Path, name: &str) -> Result<Value, Problem> {
    // A run is found among those that are listed, so that no path of a request reaches the file system.
    let run = Run::all(folder).0.into_iter().find(|run| run.name == name).ok_or_else(|| {
        let problem = format!("run: {name:?} is none of the runs; see /v1/runs");
        Problem::request(StatusCode::NOT_FOUND, problem)
    })?;
    if !run.writes() {
        return Err(Problem::field("run", format!("{name} is not a language model with a checkpoint")));
    }
    let model = Model::load(&run.path, &Device::Cpu)?;
    let sampling = Sampling { temperature: TEMPERATURE, ..Sampling::default() };
    let text = write(&model, "", sampling, LENGTH, SEED)?;
    Ok(json!({ "object": "run.sample", "run": name, "text": text }))
}
