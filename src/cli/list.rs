//! `rnn list`: models, built-in data and bundles.

use std::io::Write;
use std::path::{Path, PathBuf};

use rnn_zoo::bundle;
use rnn_zoo::data::source::Builtin;
use rnn_zoo::models::MODELS;
use rnn_zoo::regular_file;
use rnn_zoo::tasks::figures::{ACCURACY, BLEU, F1, MACRO_F1, PERPLEXITY, SMAPE, figure_text};
use rnn_zoo::training::MetricsLine;
use serde_json::{Map, Value, json};

use super::flags::in_flags;
use super::outcome::Outcome;

/// The largest `score.json` that is read, in bytes.
const LARGEST_SCORE: u64 = 1 << 20;

/// List models, built-in data, and the bundles here and in weights/
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn list
  rnn list --json")]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    let bundles = bundles();
    let mut out = std::io::stdout().lock();
    if args.json {
        let models: Vec<Value> = MODELS
            .iter()
            .map(|m| json!({ "name": m.name, "summary": m.summary, "paper": m.paper, "file": m.file }))
            .collect();
        let data: Vec<String> = Builtin::ALL.iter().map(|b| format!("builtin:{}", b.name())).collect();
        writeln!(out, "{}", json!({ "models": models, "data": data, "bundles": bundles }))?;
        return Ok(Outcome::Done);
    }
    writeln!(out, "Models (rnn train MODEL):")?;
    for model in MODELS {
        writeln!(out, "  {:<12} {} ({})", model.name, model.summary, model.paper)?;
    }
    writeln!(out, "\nBuilt-in data (--data builtin:NAME): {}", Builtin::ALL.map(Builtin::name).join(", "))?;
    if !bundles.is_empty() {
        writeln!(out, "\nBundles here:")?;
        for bundle in bundles {
            let text = |key: &str| bundle[key].as_str().unwrap_or_default().to_string();
            if let Some(problem) = bundle["error"].as_str() {
                writeln!(out, "  {:<28} cannot be used: {problem}", text("path"))?;
                continue;
            }
            let score = match (&bundle["score"], bundle["valid_loss"].as_f64()) {
                (Value::Object(score), _) => format!(", {}", score_text(score)),
                (_, Some(loss)) => format!(", validation loss {loss:.4}"),
                (_, None) => String::new(),
            };
            writeln!(out, "  {:<28} {} ({}){score}", text("path"), text("model"), text("task"))?;
        }
    }
    Ok(Outcome::Done)
}

/// Return the bundles in the current folder and in `weights`, by name; with an error if one cannot be used.
fn bundles() -> Vec<Value> {
    let inside =
        |folder: &str| std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    // Hidden folders belong to saves, running or interrupted.
    let hidden =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
    let mut paths: Vec<PathBuf> =
        inside(".").chain(inside("weights")).filter(|path| path.is_dir() && !hidden(path)).collect();
    paths.sort();
    paths.iter().filter_map(|path| describe(path)).collect()
}

/// Return the score of a shipped bundle, as text.
fn score_text(score: &Map<String, Value>) -> String {
    let text = |key: &str| score.get(key).and_then(Value::as_str).unwrap_or_default();
    let number = |key: &str| score.get("scores").and_then(|scores| scores[key].as_f64());
    let split = score.get("scores").and_then(|scores| scores["split"].as_str()).unwrap_or_default();
    let figures = [PERPLEXITY, ACCURACY, MACRO_F1, F1, BLEU, SMAPE].into_iter();
    let figures = figures.filter(|name| *name != ACCURACY || number(PERPLEXITY).is_none());
    let figures: String = figures
        .filter_map(|name| figure_text(name, number(name)?))
        .map(|words| format!(", {words}"))
        .collect();
    let loss = number("loss").map_or(String::new(), |loss| format!("loss {loss:.4}"));
    format!("{} {split}: {loss}{figures}", text("data"))
}

fn describe(path: &Path) -> Option<Value> {
    let path = path.strip_prefix(".").unwrap_or(path);
    let shown = path.display().to_string();
    let loaded = match bundle::load(path).and_then(|loaded| loaded.check().map(|()| loaded)) {
        Ok(loaded) => loaded,
        // Folders that are not bundles are skipped, damaged bundles are not.
        Err(error) => {
            let error = in_flags(error.into()).to_string();
            return bundle::may_be_bundle(path).then(|| json!({ "path": shown, "error": error }));
        }
    };
    let reports =
        loaded.metrics.iter().rev().filter_map(|line| serde_json::from_str::<MetricsLine>(line).ok());
    Some(json!({
        "path": shown,
        "model": loaded.config.model,
        "task": loaded.config.task.name(),
        "valid_loss": reports.into_iter().find(|report| report.best).map(|report| report.loss),
        // Written for shipped bundles by `scripts/reproduce/weights`.
        "score": regular_file::read(&path.join("score.json"), LARGEST_SCORE).ok().and_then(|json| serde_json::from_slice::<Value>(&json).ok()),
    }))
}
