//! Commands that use a trained bundle, printed after training and shown on its model card.

use rnn_zoo::bundle::{Config, RECIPE};
use rnn_zoo::data::{Source, Split};
use rnn_zoo::tasks::{DataSpec, FirstUse};
use rnn_zoo::training::{CardCommands, Run};

use super::quote::{quoted_path, with_value};

/// Return the commands for the model card of a run.
pub(super) fn for_card(run: &Run) -> CardCommands {
    CardCommands {
        repeat: format!("rnn train --recipe {RECIPE} --out BUNDLE"),
        evaluate: "rnn eval".to_string(),
        next: next_commands(run, ".").into(),
    }
}

/// Return a command for the first use of the bundle at the path `bundle`, and one that evaluates it.
pub(super) fn next_commands(run: &Run, bundle: &str) -> [String; 2] {
    let (config, data) = (run.config(), run.data());
    let bundle = quoted_path(bundle);
    let read = data_flags(data);
    let split = split_to_score(config, data).map_or(String::new(), |split| format!(" --split {split}"));
    let first = match config.task.first_use(&config.schema) {
        FirstUse::Generate { length } => format!("rnn generate {bundle} --length {length}"),
        FirstUse::AnswerText if config.tokenizer.is_some() => {
            format!("rnn predict {bundle} --text 'some text'")
        }
        FirstUse::AnswerText | FirstUse::AnswerData => format!("rnn predict {bundle} {read}"),
        FirstUse::DrawForecast => format!("rnn plot {bundle} --forecast {read} --out forecast.svg"),
    };
    [first, format!("rnn eval {bundle} {read}{split}")]
}

/// Return the flags that name the data.
fn data_flags(data: &DataSpec) -> String {
    let mut flags = with_value("--data", &data.data);
    let delimiter = data.delimiter.map(|delimiter| delimiter.to_string());
    let encoding = data.encoding.map(|encoding| encoding.to_string());
    for (flag, value) in [
        ("--text-column", &data.columns.text),
        ("--label-column", &data.columns.label),
        ("--delimiter", &delimiter),
        ("--encoding", &encoding),
    ] {
        if let Some(value) = value {
            flags.push_str(&format!(" {}", with_value(flag, value)));
        }
    }
    if data.seed != DataSpec::new("").seed && matches!(data.source(), Ok(Source::Builtin(_))) {
        flags.push_str(&format!(" --seed {}", data.seed));
    }
    flags
}

/// Return the split that a model is scored on, where it must be named: a folder and a built-in have a test split, and a
/// file of which nothing is held out is scored as a whole.
fn split_to_score(config: &Config, data: &DataSpec) -> Option<Split> {
    let held_out = config.data.as_ref()?.held_out;
    match data.source().ok()? {
        Source::Builtin(_) => None,
        Source::Directory(_) => Some(held_out).filter(|split| *split != Split::Test),
        Source::File(_) | Source::Hub(_) => Some(held_out),
    }
}
