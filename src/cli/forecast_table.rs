//! Forecasts as a table: a row for each step.

use std::io::Write;

use rnn_zoo::tasks::Answer;

/// Write the steps of forecasts as CSV: series, time, mean, and a column for each level of quantiles.
pub fn forecast_table(out: &mut impl Write, answers: &[Answer]) -> anyhow::Result<()> {
    let levels: Vec<String> = answers
        .first()
        .and_then(|answer| answer.json["quantiles"].as_object())
        .map_or_else(Vec::new, |quantiles| quantiles.keys().cloned().collect());
    let names = ["series", "time", "mean"].map(String::from).into_iter().chain(levels.iter().cloned());
    writeln!(out, "{}", names.collect::<Vec<_>>().join(","))?;
    for Answer { json, .. } in answers {
        let steps = json["mean"].as_array().map_or(0, Vec::len);
        for step in 0..steps {
            let series = csv_field(json["series"].as_str().unwrap_or_default());
            let time = csv_field(json["times"][step].as_str().unwrap_or_default());
            let quantiles = levels.iter().map(|level| json["quantiles"][level][step].to_string());
            let fields = [series, time, json["mean"][step].to_string()].into_iter().chain(quantiles);
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
