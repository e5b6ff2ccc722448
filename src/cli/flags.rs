//! Errors as the user reads them: the library names fields, the command line names flags.

use std::convert::Infallible;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use rnn_zoo::Error;
use rnn_zoo::data::{Split, composed};
use rnn_zoo::formats::{FORMATS, Format};
use rnn_zoo::models::{MODELS, ModelEntry};
use rnn_zoo::tasks::{TASKS, Task};
use serde::de::DeserializeOwned;

/// The flag or argument for each option that an error of the library can name.
const FLAGS: [(&str, &str); 111] = [
    ("accumulate", "--accumulate"),
    ("ar", "--ar"),
    ("attention_score", "--attention-score"),
    ("average", "--average"),
    ("axis", "--x epoch"),
    ("batch_size", "--batch-size"),
    ("beams", "--beams"),
    ("betas", "--betas"),
    ("bidirectional", "--bidirectional"),
    ("bptt", "--bptt"),
    ("cache", "--cache"),
    ("cache.lambda", "--cache-lambda"),
    ("cache.theta", "--cache-theta"),
    ("characters", "--characters"),
    ("class_weights", "--class-weights"),
    ("clip", "--clip"),
    ("columns.label", "--label-column"),
    ("columns.text", "--text-column"),
    ("crf", "--crf"),
    ("data", "--data"),
    ("delimiter", "--delimiter"),
    ("device", "--device"),
    ("dtype", "--dtype"),
    ("dynamic", "--dynamic"),
    ("dynamic.decay", "--dynamic-decay"),
    ("dynamic.lr", "--dynamic-lr"),
    ("dynamic.segment", "--dynamic-segment"),
    ("early_stop", "--early-stop"),
    ("embedding", "--embedding"),
    ("embedding_dropout", "--embedding-dropout"),
    ("encoding", "--encoding"),
    ("epochs", "--epochs"),
    ("eval_every", "--eval-every"),
    ("force", "--force"),
    ("forecasting.calendar", "--calendar"),
    ("forecasting.centre", "--centre"),
    ("forecasting.features", "--features"),
    ("forecasting.horizon", "--horizon"),
    ("forecasting.known", "--known-features"),
    ("forecasting.linear", "--linear"),
    ("forecasting.log", "--log-values"),
    ("forecasting.loss", "--loss"),
    ("forecasting.quantiles", "--quantiles"),
    ("forecasting.rows", "--rows"),
    ("forecasting.scaling", "--scaling"),
    ("forecasting.season", "--season"),
    ("forecasting.segment", "--segment"),
    ("forecasting.start", "--at"),
    ("forecasting.targets", "--target"),
    ("forecasting.time", "--time-column"),
    ("forecasting.wide", "--wide"),
    ("forecasting.window", "--window"),
    ("fractions", "--valid-fraction and --test-fraction"),
    ("fractions.test", "--test-fraction"),
    ("fractions.valid", "--valid-fraction"),
    ("hidden", "--hidden"),
    ("label_smoothing", "--label-smoothing"),
    ("labels", "--labels"),
    ("layers", "--layers"),
    ("length_penalty", "--length-penalty"),
    ("license", "--license"),
    ("log_every", "--log-every"),
    ("lowercase", "--lowercase"),
    ("lr", "--lr"),
    ("max_steps", "--max-steps"),
    ("max_vocab", "--max-vocab"),
    ("metric", "--metric"),
    ("min_count", "--min-count"),
    ("min_p", "--min-p"),
    ("momentum", "--momentum"),
    ("names", "--map"),
    ("nonlinearity", "--nonlinearity"),
    ("optimizer", "--optimizer"),
    ("out", "--out"),
    ("port", "--port"),
    ("precision", "--precision"),
    ("private", "--private"),
    ("quantities", "--metric"),
    ("readout", "--readout"),
    ("reduce", "--reduce"),
    ("repetition_penalty", "--repetition-penalty"),
    ("repetition_window", "--repetition-window"),
    ("repository", "OWNER/NAME"),
    ("revision", "--revision"),
    ("runs", "RUN"),
    ("save_state", "--save-state"),
    ("schedule", "--schedule"),
    ("series_column", "--series-column"),
    ("source_column", "--source-column"),
    ("source_lang", "--source-lang"),
    ("split", "--split"),
    ("state_reset", "--state-reset"),
    ("tagging.features", "--feature-columns"),
    ("tar", "--tar"),
    ("target_column", "--target-column"),
    ("target_lang", "--target-lang"),
    ("target_tokenizer", "--target-tokenizer"),
    ("task", "--task"),
    ("temperature", "--temperature"),
    ("tensorboard", "--tensorboard"),
    ("threads", "--threads"),
    ("tied", "--tied"),
    ("tokenizer", "--tokenizer"),
    ("top_k", "--top-k"),
    ("top_p", "--top-p"),
    ("typical_p", "--typical-p"),
    ("unknown", "--unknown"),
    ("vary_bptt", "--vary-bptt"),
    ("vectors", "--vectors"),
    ("vocabulary", "--vocab"),
    ("with_training", "--with-training"),
];

/// The command for each function of the library that an error can recommend.
const COMMANDS: [(&str, &str); 7] = [
    ("Checkpoint::resume", "rnn train --resume BUNDLE"),
    ("Run::start", "rnn train lstm --out BUNDLE"),
    ("Run::start_from", "rnn train --from BUNDLE"),
    ("SavedText::save", "rnn generate --save-state FILE"),
    ("evaluate", "rnn eval"),
    ("generate::write", "rnn generate"),
    ("score_lines", "rnn score"),
];

/// The words before the name of an option in an error of the library.
const OPTION: &str = "option `";

/// A flag or argument that cannot be used as given; the program exits with 2.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {problem}")]
pub struct Usage {
    /// The flag or argument, as the user types it.
    pub flag: String,
    /// The problem, and the values that are valid.
    pub problem: String,
}

/// Return an error about a flag or argument.
pub fn usage(flag: impl Into<String>, problem: impl Into<String>) -> anyhow::Error {
    Usage { flag: flag.into(), problem: problem.into() }.into()
}

/// Return the same error, with flags in place of the library's options and commands in place of its functions.
pub fn in_flags(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Error>() {
        Ok(Error::Invalid { field, problem }) => usage(flag(field).unwrap_or(field), translated(&problem)),
        Ok(Error::Unsuited { model, problem }) => usage(model, translated(&problem)),
        Ok(Error::File { path, problem }) => Error::file(path, translated(&problem)).into(),
        Ok(error @ (Error::Message(_) | Error::Diverged { .. })) => {
            Error::Message(translated(&error.to_string())).into()
        }
        Ok(error @ Error::Tensor(_)) => error.into(),
        Err(error) => error,
    }
}

/// Replace each "option `FIELD`" by `FLAG`, "option `FIELD = VALUE`" by `FLAG VALUE`, and a function of [`COMMANDS`]
/// by its command. Other names stay.
pub fn translated(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPTION) {
        shown.push_str(before);
        let known = after.split_once('`').and_then(|(option, after)| Some((setting(option)?, after)));
        let (flag, after) = known.unwrap_or_else(|| (OPTION.into(), after));
        shown.push_str(&flag);
        rest = after;
    }
    shown.push_str(rest);
    let in_commands = |text: String, (function, command): &(&str, &str)| {
        text.replace(&format!("`{function}`"), &format!("`{command}`"))
    };
    COMMANDS.iter().fold(shown, in_commands)
}

/// `FIELD` or `FIELD = VALUE` as the user types it; `None` if the field has no flag.
fn setting(option: &str) -> Option<String> {
    match option.split_once(" = ") {
        Some((field, value)) => Some(format!("{} {value}", flag(field)?.split(' ').next()?)),
        None => flag(option).map(String::from),
    }
}

/// Return the flag that sets a field.
fn flag(field: &str) -> Option<&'static str> {
    FLAGS.iter().find(|(name, _)| *name == field).map(|(_, flag)| *flag)
}

/// Parse the value of a flag as the library does. The error is the problem alone: clap names the flag.
pub fn parsed<T: FromStr<Err = Error>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: Error| match in_flags(error.into()).downcast::<Usage>() {
        Ok(Usage { problem, .. }) => problem,
        Err(error) => error.to_string(),
    })
}

/// The name of a column, with composed characters as the columns of data have.
pub fn column(text: &str) -> Result<String, Infallible> {
    Ok(composed(text.to_string()))
}

/// Parse the name of a split; help and shell completions list all names.
pub fn split() -> impl TypedValueParser<Value = Split> {
    one_of(Split::ALL.map(|split| (split, split.name(), split.summary())).to_vec())
}

/// Parse the name of a task; help and shell completions list all names.
pub fn task() -> impl TypedValueParser<Value = &'static dyn Task> {
    one_of(TASKS.iter().map(|&task| (task, task.name(), task.summary())).collect())
}

/// Parse the name of a format that an export writes; help and shell completions list all names.
pub fn format() -> impl TypedValueParser<Value = &'static dyn Format> {
    one_of(FORMATS.iter().map(|&format| (format, format.name(), format.export_summary())).collect())
}

/// Parse the name of a cell; help and shell completions list all names.
pub fn cell() -> impl TypedValueParser<Value = &'static ModelEntry> {
    let cells = MODELS.iter().filter(|entry| entry.stack.is_some());
    one_of(cells.map(|entry| (entry, entry.name, entry.summary)).collect())
}

/// Parse one of `names` as the configuration file has it; help shows them in its text.
pub fn named<T: DeserializeOwned + Clone + Send + Sync + 'static>(
    names: &'static [&'static str],
) -> impl TypedValueParser<Value = T> {
    let names = names.iter().map(|&name| PossibleValue::new(name));
    PossibleValuesParser::new(names.collect::<Vec<_>>()).try_map(|name| serde_json::from_value(name.into()))
}

/// Parse one of the `named` values, each with its name and a line of help.
fn one_of<T: Copy + Send + Sync + 'static>(
    named: Vec<(T, &'static str, &'static str)>,
) -> impl TypedValueParser<Value = T> {
    let names = named.iter().map(|&(_, name, summary)| PossibleValue::new(name).help(summary));
    let names: Vec<PossibleValue> = names.collect();
    PossibleValuesParser::new(names).map(move |given| {
        let value = named.iter().find(|(_, name, _)| *name == given).map(|(value, ..)| *value);
        value.expect("invariant: clap accepts only the names that it was given")
    })
}

#[cfg(test)]
mod tests;
