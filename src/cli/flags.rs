//! Errors as the user reads them: the library names fields, the command line names flags.

use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use rnn_zoo::Error;
use rnn_zoo::data::Split;
use rnn_zoo::tasks::{TASKS, Task};

/// The flag or argument that sets each field which an error of the library can name.
const FLAGS: [(&str, &str); 47] = [
    ("accumulate", "--accumulate"),
    ("ar", "--ar"),
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
    ("columns.label", "--label-column"),
    ("columns.text", "--text-column"),
    ("data", "--data"),
    ("device", "--device"),
    ("dynamic", "--dynamic"),
    ("dynamic.decay", "--dynamic-decay"),
    ("dynamic.lr", "--dynamic-lr"),
    ("dynamic.segment", "--dynamic-segment"),
    ("embedding_dropout", "--embedding-dropout"),
    ("epochs", "--epochs"),
    ("fractions", "--valid-fraction and --test-fraction"),
    ("label_smoothing", "--label-smoothing"),
    ("length_penalty", "--length-penalty"),
    ("lowercase", "--lowercase"),
    ("lr", "--lr"),
    ("max_vocab", "--max-vocab"),
    ("min_p", "--min-p"),
    ("momentum", "--momentum"),
    ("optimizer", "--optimizer"),
    ("quantities", "--metric"),
    ("repetition_penalty", "--repetition-penalty"),
    ("repetition_window", "--repetition-window"),
    ("runs", "RUN"),
    ("schedule", "--schedule"),
    ("split", "--split"),
    ("state_reset", "--state-reset"),
    ("tar", "--tar"),
    ("temperature", "--temperature"),
    ("threads", "--threads"),
    ("tied", "--tied"),
    ("tokenizer", "--tokenizer"),
    ("top_k", "--top-k"),
    ("top_p", "--top-p"),
    ("typical_p", "--typical-p"),
    ("vary_bptt", "--vary-bptt"),
];

/// A flag or argument that cannot be used as given; the program exits with 2.
#[derive(Debug, thiserror::Error)]
#[error("{flag}: {problem}")]
pub struct Usage {
    /// The flag or argument, as the user types it.
    pub flag: String,
    /// The problem, and the values that are valid.
    pub problem: String,
}

/// An error about a flag or argument.
pub fn usage(flag: impl Into<String>, problem: impl Into<String>) -> anyhow::Error {
    Usage { flag: flag.into(), problem: problem.into() }.into()
}

/// The same error, with flags in place of the library's fields.
pub fn in_flags(error: anyhow::Error) -> anyhow::Error {
    match error.downcast::<Error>() {
        Ok(Error::Invalid { field, problem }) => usage(flag(field), problem),
        Ok(Error::Unsuited { model, problem }) => usage(model, problem),
        Ok(error) => error.into(),
        Err(error) => error,
    }
}

/// The flag that sets a field.
fn flag(field: &str) -> &str {
    FLAGS.iter().find(|(name, _)| *name == field).map_or(field, |(_, flag)| flag)
}

/// Parse the value of a flag as the library does.
pub fn parsed<T: FromStr<Err = Error>>(text: &str) -> anyhow::Result<T> {
    text.parse().map_err(|error: Error| in_flags(error.into()))
}

/// Parse the name of a split; help and shell completions list all names.
pub fn split() -> impl TypedValueParser<Value = Split> {
    one_of(Split::ALL.map(|split| (split, split.name(), split.summary())).to_vec())
}

/// Parse the name of a task; help and shell completions list all names.
pub fn task() -> impl TypedValueParser<Value = &'static dyn Task> {
    one_of(TASKS.iter().map(|&task| (task, task.name(), task.summary())).collect())
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
mod tests {
    use std::collections::BTreeSet;
    use std::path::{Path, PathBuf};

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    /// The Rust files below `folder` that belong to the library.
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("src/cli") {
                sources(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }

    #[test]
    fn every_field_of_an_error_has_a_flag() {
        let mut files = vec![];
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut files);
        let mut fields = BTreeSet::new();
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            for call in text.split("Error::invalid(").skip(1) {
                let literal = call.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next());
                let problem = format!("{}: Error::invalid takes the field as a literal", file.display());
                fields.insert(literal.expect(&problem).to_string());
            }
        }
        let known: BTreeSet<String> = FLAGS.iter().map(|(field, _)| field.to_string()).collect();
        assert_eq!(fields, known);
    }

    #[test]
    fn every_flag_exists() {
        let command = Cli::command();
        let arguments: BTreeSet<String> = command
            .get_subcommands()
            .flat_map(clap::Command::get_arguments)
            .map(|argument| match argument.get_long() {
                Some(long) => format!("--{long}"),
                None => argument.get_value_names().map_or_else(String::new, |names| names[0].to_string()),
            })
            .collect();
        for (field, flags) in FLAGS {
            for flag in flags.split(" and ") {
                let name = flag.split(' ').next().unwrap();
                assert!(arguments.contains(name), "{field}: there is no {flag}");
            }
        }
    }

    #[test]
    fn fields_become_flags() {
        let shown = |error: Error| in_flags(error.into()).to_string();
        assert_eq!(shown(Error::invalid("columns.text", "is missing")), "--text-column: is missing");
        assert_eq!(shown(Error::file("a.csv", "is empty")), "a.csv: is empty");
        let unsuited = Error::Unsuited { model: "lstm-story".into(), problem: "is no tagger".into() };
        assert!(in_flags(unsuited.into()).is::<Usage>());
    }
}
