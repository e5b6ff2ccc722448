//! Forecasts as a table: a row for each step.

use std::io::Write;

use rnn_zoo::tasks::Answer;
use serde_json::Value;

/// Write the steps of forecasts as CSV: series, target (if there are several), time, mean, and a column for each level
/// of quantiles.
pub fn forecast_table(out: &mut impl Write, answers: &[Answer]) -> anyhow::Result<()> {
    let levels: Vec<String> = answers
        .first()
        .and_then(|answer| answer.json["quantiles"].as_object())
        .map_or_else(Vec::new, |quantiles| quantiles.keys().cloned().collect());
    let several = answers.iter().any(|answer| answer.json["target"].is_string());
    let target = several.then_some("target");
    let names = ["series"].into_iter().chain(target).chain(["time", "mean"]).map(String::from);
    let names = names.chain(levels.iter().cloned());
    writeln!(out, "{}", names.collect::<Vec<_>>().join(","))?;
    for Answer { json, .. } in answers {
        let steps = json["mean"].as_array().map_or(0, Vec::len);
        for step in 0..steps {
            let text = |value: &Value| csv_field(value.as_str().unwrap_or_default());
            let target = several.then(|| text(&json["target"]));
            let names = [text(&json["series"])].into_iter().chain(target).chain([text(&json["times"][step])]);
            let quantiles = levels.iter().map(|level| json["quantiles"][level][step].to_string());
            let fields = names.chain([json["mean"][step].to_string()]).chain(quantiles);
            writeln!(out, "{}", fields.collect::<Vec<_>>().join(","))?;
        }
    }
    Ok(())
}

/// A field in quotes where it needs them.
fn csv_field(field: &str) -> String {
    match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_string(),
    }
}
