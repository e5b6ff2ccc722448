//! The model card of a bundle, and the commands that use the bundle.

use std::fmt::Write;

use super::loss_unit::LossUnit;
use super::trainer::Trainer;
use crate::bundle::{CURVE, Config, RECIPE};
use crate::tasks::DataSpec;

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
    if let Some(best) = trainer.shipped_score {
        let loss = match unit.nats {
            true => {
                format!("{:.4} nats a {}, perplexity {:.2}", best.loss, unit.target, best.loss.exp())
            }
            false => format!("{:.5} {}", best.loss, unit.name),
        };
        let _ = writeln!(card, "| validation loss | {loss}, at step {} |", best.step);
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
    for (flag, column) in [("--text-column", &data.columns.text), ("--label-column", &data.columns.label)] {
        if let Some(column) = column {
            read.push_str(&format!(" {}", with_value(flag, column)));
        }
    }
    format!("    {}\n    rnn eval {bundle} {read}", config.task.command(&bundle, &read))
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
