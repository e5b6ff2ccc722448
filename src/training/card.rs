//! The model card of a bundle, and the commands that use the bundle.

use std::fmt::Write;

use super::loss_unit::LossUnit;
use super::trainer::Trainer;
use crate::bundle::{CURVE, Config, RECIPE};
use crate::data::{Source, Split};
use crate::tasks::figures::in_words;
use crate::tasks::{Criterion, DataSpec, FirstUse};

/// Files of the bundle that its card can link to.
#[derive(Clone, Copy, Debug)]
pub struct Beside {
    /// Whether there is a `recipe.toml`.
    pub recipe: bool,
    /// Whether there is a `curve.svg`.
    pub curve: bool,
}

/// Return the model card: the command that made the bundle, the data, the scores, the curve, and how to use it.
pub fn write(config: &Config, data: &DataSpec, trainer: &Trainer, unit: &LossUnit, beside: Beside) -> String {
    let mut card =
        format!("# {} ({})\n\nTrained by rnn-zoo {} with\n\n", config.model, config.task, config.zoo_version);
    // Writing to a String cannot fail.
    for command in config.created_with.lines() {
        let _ = writeln!(card, "    {command}");
    }
    let _ = writeln!(card, "\n| | |\n|---|---|");
    let _ = writeln!(card, "| data | `{}` |", data.data);
    let _ = writeln!(card, "| parameters | {} |", trainer.parameters.count());
    let _ = writeln!(card, "| optimizer steps | {} |", trainer.progress.step);
    let _ = writeln!(card, "| seed | {} |", trainer.options.seed);
    if beside.recipe {
        let again = format!("rnn train --recipe {RECIPE} --out BUNDLE");
        let _ = writeln!(card, "| settings | [{RECIPE}]({RECIPE}); to repeat it: `{again}` |");
    }
    if let Some(best) = &trainer.shipped_score {
        let loss = match unit {
            LossUnit { perplexity: true, target, .. } => {
                format!("{:.4} nats a {target}, perplexity {:.2}", best.loss, best.loss.exp())
            }
            LossUnit { nats: true, target, .. } => format!("{:.4} nats a {target}", best.loss),
            LossUnit { name, .. } => format!("{:.5} {name}", best.loss),
        };
        let _ = writeln!(card, "| validation loss | {loss}, at step {} |", best.step);
        if config.task.is_language_model() {
            let lanes = trainer.lanes;
            let _ = writeln!(card, "| validation lanes | {lanes}; `rnn eval` reads a text in 1 |");
        }
        // Those of a language model follow from the loss.
        for criterion in config.task.criteria().iter().filter(|_| !unit.perplexity) {
            let figure = criterion.figure.and_then(|name| in_words(name, best.figures.get(name)?));
            let _ = figure.map_or(Ok(()), |figure| writeln!(card, "| validation | {figure} |"));
        }
        if trainer.options.metric != Criterion::LOSS.name {
            let _ = writeln!(card, "| best checkpoint by | {} |", trainer.options.metric);
        }
    }
    if let Some(floor) = unit.floor {
        let _ = writeln!(card, "| least possible loss | {floor:.4} nats a {} |", unit.target);
    }
    if beside.curve {
        let _ = writeln!(card, "\n![Learning curve]({CURVE})");
    }
    let _ = writeln!(card, "\nUse it:\n\n{}", next_commands(config, data, "."));
    card
}

/// Commands that use a bundle, indented.
pub fn next_commands(config: &Config, data: &DataSpec, bundle: &str) -> String {
    let bundle = quoted_path(bundle);
    let mut read = with_value("--data", &data.data);
    let delimiter = data.delimiter.map(|delimiter| delimiter.to_string());
    let encoding = data.encoding.map(|encoding| encoding.to_string());
    for (flag, value) in [
        ("--text-column", &data.columns.text),
        ("--label-column", &data.columns.label),
        ("--delimiter", &delimiter),
        ("--encoding", &encoding),
    ] {
        if let Some(value) = value {
            read.push_str(&format!(" {}", with_value(flag, value)));
        }
    }
    if data.seed != DataSpec::new("").seed && matches!(data.source(), Ok(Source::Builtin(_))) {
        read.push_str(&format!(" --seed {}", data.seed));
    }
    let split = split_to_score(config, data).map_or(String::new(), |split| format!(" --split {split}"));
    let first = match config.task.first_use() {
        FirstUse::Generate { length } => format!("rnn generate {bundle} --length {length}"),
        FirstUse::AnswerText if config.tokenizer.is_some() => {
            format!("rnn predict {bundle} --text 'some text'")
        }
        FirstUse::AnswerText | FirstUse::AnswerData => format!("rnn predict {bundle} {read}"),
    };
    format!("    {first}\n    rnn eval {bundle} {read}{split}")
}

/// The split that a model is scored on, where it must be named: a folder and a built-in have a test split, and a file
/// of which nothing is held out is scored as a whole.
fn split_to_score(config: &Config, data: &DataSpec) -> Option<Split> {
    let held_out = config.data.as_ref()?.held_out;
    match data.source().ok()? {
        Source::Builtin(_) => None,
        Source::Directory(_) => Some(held_out).filter(|split| *split != Split::Test),
        Source::File(_) | Source::Hub { .. } => Some(held_out),
    }
}

/// Return an argument quoted for a shell.
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,@+".contains(c);
    match !word.is_empty() && word.chars().all(plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// Return a path quoted for a shell, with `./` in front where it would be taken for a flag.
pub fn quoted_path(path: &str) -> String {
    match path.starts_with('-') {
        true => quoted(&format!("./{path}")),
        false => quoted(path),
    }
}

/// Return a flag with its value, quoted for a shell.
fn with_value(flag: &str, value: &str) -> String {
    let separator = if value.starts_with('-') { '=' } else { ' ' };
    format!("{flag}{separator}{}", quoted(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_can_be_typed_whatever_they_begin_with() {
        assert_eq!(quoted_path("-dash"), "./-dash");
        assert_eq!(quoted_path("- dash"), "'./- dash'");
        assert_eq!(quoted_path("runs/m"), "runs/m");
        assert_eq!(with_value("--data", "-x.csv"), "--data=-x.csv");
        assert_eq!(with_value("--data", "it's"), r"--data 'it'\''s'");
        assert_eq!(quoted(""), "''");
    }
}
