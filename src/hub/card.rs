//! The metadata of a model card: the YAML in front of it, by which the hub finds and shows a model.

use std::fmt::Write;
use std::path::Path;

use serde_json::{Map, Value};

use super::address::FileAddress;
use crate::bundle::Loaded;
use crate::tasks::figures;
use crate::{Error, Result};

/// The line before and after the metadata.
const FENCE: &str = "---\n";

/// The figures that the metadata has: the name in a report, the hub's identifier of the metric, and its title.
const METRICS: [(&str, &str, &str); 12] = [
    (figures::PERPLEXITY, "perplexity", "Perplexity"),
    (figures::ACCURACY, "accuracy", "Accuracy"),
    (figures::MACRO_F1, "f1", "Macro F1"),
    (figures::PRECISION, "precision", "Precision"),
    (figures::RECALL, "recall", "Recall"),
    (figures::F1, "f1", "F1"),
    (figures::BLEU, "bleu", "BLEU"),
    (figures::CHRF, "chrf", "chrF"),
    (figures::MAE, "mae", "MAE"),
    (figures::MSE, "mse", "MSE"),
    (figures::SMAPE, "smape", "sMAPE"),
    (figures::MASE, "mase", "MASE"),
];

/// Return the model card of a bundle with metadata in front, for the repository `name`. Metadata that the card has
/// already stays; `license` replaces the licence in it.
///
/// # Errors
/// If `license` cannot be the identifier of a licence.
pub(super) fn with_metadata(
    card: &str,
    bundle: &Loaded,
    name: &str,
    license: Option<&str>,
) -> Result<String> {
    let license = license.map(license_line).transpose()?.unwrap_or_default();
    // Editors on Windows end lines with both characters.
    let card = card.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    if let Some((metadata, rest)) = card.strip_prefix(FENCE).and_then(|card| card.split_once("\n---\n")) {
        let is_kept = |line: &&str| license.is_empty() || !line.starts_with("license:");
        let kept: String = metadata.lines().filter(is_kept).map(|line| format!("{line}\n")).collect();
        return Ok(format!("{FENCE}{license}{kept}{FENCE}{rest}"));
    }
    Ok(format!("{FENCE}{license}{}{FENCE}\n{card}", metadata(&card, bundle, name)))
}

fn license_line(license: &str) -> Result<String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    if (1..=64).contains(&license.len()) && license.chars().all(is_plain) {
        return Ok(format!("license: {license}\n"));
    }
    let problem = format!(
        "`{license}` is no identifier of a licence on the hub; expected one as `mit` or `apache-2.0`"
    );
    Err(Error::invalid("license", problem))
}

/// The lines of the metadata, without the licence. A string in JSON is one in YAML too.
fn metadata(card: &str, bundle: &Loaded, name: &str) -> String {
    let config = &bundle.config;
    let pipeline = config.task.pipeline_tag(config.tokenizer.is_some());
    let mut lines = String::from("library_name: rnn-zoo\n");
    // Writing to a String cannot fail.
    if let Some(pipeline) = pipeline {
        let _ = writeln!(lines, "pipeline_tag: {pipeline}");
    }
    let _ = writeln!(lines, "tags:\n- rnn-zoo\n- candle\n- {}", quoted(&config.model));
    let Some(data) = card_data(card) else { return lines };
    let address = FileAddress::parse(data);
    if let Some(address) = &address {
        let _ = writeln!(lines, "datasets:\n- {}", address.repo);
    }
    let scores = scores(card, &bundle.metrics);
    if scores.is_empty() {
        return lines;
    }
    // A path of the machine that the model was trained on says less than its last part.
    let file = Path::new(data).file_name().map_or(data.into(), |name| name.to_string_lossy());
    let dataset = address.map_or(file.into_owned(), |address| address.repo.to_string());
    let dataset = quoted(&dataset);
    let mut kinds: Vec<&str> = scores.iter().map(|(kind, ..)| *kind).collect();
    kinds.dedup();
    let _ = writeln!(lines, "metrics:\n- {}", kinds.join("\n- "));
    let task = pipeline.unwrap_or(config.task.name());
    let _ =
        writeln!(lines, "model-index:\n- name: {}\n  results:\n  - task:\n      type: {task}", quoted(name));
    let _ = writeln!(
        lines,
        "    dataset:\n      name: {dataset}\n      type: {dataset}\n      split: validation"
    );
    let _ = writeln!(lines, "    metrics:");
    for (kind, title, value) in scores {
        let _ = writeln!(lines, "    - type: {kind}\n      name: {title}\n      value: {value}");
    }
    lines
}

/// The data that a model card names.
fn card_data(card: &str) -> Option<&str> {
    card.lines().find_map(|line| line.strip_prefix("| data | `")?.strip_suffix("` |"))
}

/// The scores of the saved parameters on the validation split: metric, title, value. The card names their step.
fn scores(card: &str, reports: &[String]) -> Vec<(&'static str, &'static str, f64)> {
    let row = card.lines().find_map(|line| line.strip_prefix("| validation loss | ")?.strip_suffix(" |"));
    let step = row.and_then(|row| row.rsplit_once("at step ")?.1.parse::<u64>().ok());
    let is_report = |report: &Map<String, Value>| {
        step.is_some()
            && report.get("step").and_then(Value::as_u64) == step
            && report.get("split") == Some(&"valid".into())
    };
    let report = reports.iter().rev().filter_map(|line| serde_json::from_str(line).ok()).find(is_report);
    let value = |name| report.as_ref()?.get(name)?.as_f64();
    METRICS.into_iter().filter_map(|(name, kind, title)| Some((kind, title, value(name)?))).collect()
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CARD: &str = "# gru (lm)\n\n| | |\n|---|---|\n| data | `/home/me/book.txt` |\n\
                        | validation loss | 1.0728 nats a word, perplexity 2.92, at step 20 |\n";

    #[test]
    fn scores_are_those_of_the_step_that_the_card_names() {
        let report = |step: u64, split: &str, perplexity: f64| {
            format!(
                "{{\"step\":{step},\"split\":\"{split}\",\"loss\":1.0,\"perplexity\":{perplexity},\"lr\":0.1}}"
            )
        };
        let reports = [
            report(10, "valid", 4.),
            report(20, "train", 5.),
            report(20, "valid", 2.5),
            report(30, "valid", 3.),
        ];
        assert_eq!(scores(CARD, &reports), [("perplexity", "Perplexity", 2.5)]);
        assert!(scores("", &reports).is_empty());
        assert_eq!(card_data(CARD), Some("/home/me/book.txt"));
    }

    #[test]
    fn licences_are_identifiers() {
        assert_eq!(license_line("apache-2.0").unwrap(), "license: apache-2.0\n");
        for wrong in ["", "MIT", "mit\nx: y", "a: b", &"a".repeat(65)] {
            let error = license_line(wrong).unwrap_err().to_string();
            assert!(error.starts_with("license: ") && error.contains("apache-2.0"), "{error}");
        }
    }
}
