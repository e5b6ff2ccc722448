//! The model card of a bundle.

use std::fmt::Write;

use super::loss_unit::LossUnit;
use super::trainer::Trainer;
use crate::bundle::{CURVE, Config, RECIPE};
use crate::data::Source;
use crate::tasks::figures::figure_text;
use crate::tasks::{Criterion, DataSpec};

/// Commands that the model card shows, quoted for a shell. Those in [`CardCommands::next`] run in the bundle's
/// directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CardCommands {
    /// The command that repeats the run from `recipe.toml`.
    pub repeat: String,
    /// The name of the command that evaluates a model, without arguments.
    pub evaluate: String,
    /// Commands that use the bundle, in the order in which they are shown.
    pub next: Vec<String>,
}

/// Parts of the card that not every run has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Extras<'a> {
    /// Whether there is a `recipe.toml`.
    pub(super) recipe: bool,
    /// Whether there is a `curve.svg`.
    pub(super) curve: bool,
    /// Commands to show, if the run has any.
    pub(super) commands: Option<&'a CardCommands>,
}

/// Return the model card: the command that made the bundle, the data, the scores, the curve, and how to use it.
pub(super) fn write(
    config: &Config,
    data: &DataSpec,
    trainer: &Trainer,
    unit: &LossUnit,
    extras: Extras<'_>,
) -> String {
    let mut card = origin(config);
    // Writing to a String cannot fail.
    let _ = writeln!(card, "\n| | |\n|---|---|");
    let _ = writeln!(card, "| data | `{}` |", data.data);
    let _ = writeln!(card, "| parameters | {} |", trainer.parameters.count());
    let _ = writeln!(card, "| optimizer steps | {} |", trainer.progress.step);
    let _ = writeln!(card, "| seed | {} |", trainer.options.seed);
    if extras.recipe {
        let again = extras
            .commands
            .map_or(String::new(), |commands| format!("; to repeat it: `{}`", commands.repeat));
        let _ = writeln!(card, "| settings | [{RECIPE}]({RECIPE}){again} |");
    }
    card += &scores(config, trainer, unit, extras.commands);
    if let Some(floor) = unit.floor {
        let _ = writeln!(card, "| least possible loss | {floor:.4} nats a {} |", unit.target);
    }
    if extras.curve {
        let _ = writeln!(card, "\n![Learning curve]({CURVE})");
    }
    if let Some(commands) = extras.commands {
        let place = match data.source() {
            Ok(Source::File(path) | Source::Directory(path)) if path.is_relative() => {
                format!(" (`{}` is the path from the folder where it was trained)", data.data)
            }
            _ => String::new(),
        };
        let _ = writeln!(card, "\nUse it{place}:\n\n    {}", commands.next.join("\n    "));
    }
    card
}

/// Return the title, and the program and commands that made the bundle.
fn origin(config: &Config) -> String {
    let Config { model, task, zoo_version, created_with, .. } = config;
    let title = format!("# {model} ({task})\n\nTrained by rnn-zoo {zoo_version}");
    match created_with.is_empty() {
        true => format!("{title}.\n"),
        false => format!("{title} with\n\n    {}\n", created_with.replace('\n', "\n    ")),
    }
}

/// Return the rows about the saved parameters on the validation split; none if they were not evaluated.
fn scores(config: &Config, trainer: &Trainer, unit: &LossUnit, commands: Option<&CardCommands>) -> String {
    let Some(best) = &trainer.selected_score else { return String::new() };
    let loss = match unit {
        LossUnit { perplexity: true, target, .. } => {
            format!("{:.4} nats a {target}, perplexity {:.2}", best.loss, best.loss.exp())
        }
        LossUnit { nats: true, target, .. } => format!("{:.4} nats a {target}", best.loss),
        LossUnit { name, .. } => format!("{:.5} {name}", best.loss),
    };
    let mut rows = format!("| validation loss | {loss}, at step {} |\n", best.step);
    // Writing to a String cannot fail.
    if config.task.is_language_model() {
        let reading =
            commands.map_or(String::new(), |commands| format!("; `{}` reads a text in 1", commands.evaluate));
        let _ = writeln!(rows, "| validation batch rows | {}{reading} |", trainer.valid_rows);
    }
    // Those of a language model follow from the loss.
    for criterion in config.task.criteria().iter().filter(|_| !unit.perplexity) {
        let figure = criterion.figure.and_then(|name| figure_text(name, best.figures.get(name)?));
        let _ = figure.map_or(Ok(()), |figure| writeln!(rows, "| validation | {figure} |"));
    }
    if trainer.options.metric != Criterion::LOSS.name {
        let _ = writeln!(rows, "| best checkpoint by | {} |", trainer.options.metric);
    }
    rows
}
