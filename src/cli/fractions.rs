//! The fractions of the data that are held out, as flags.

use rnn_zoo::data::{Corpus, Source, Split};
use rnn_zoo::tasks::DataSpec;

use super::flags::usage;

/// The fractions that the user gave.
#[derive(Clone, Copy, Debug)]
pub struct GivenFractions {
    pub valid: Option<f64>,
    pub test: Option<f64>,
}

/// An error about a fraction of `data`, a folder or a built-in, whose split does not come from a fraction.
fn own_split(flag: &'static str, data: &str, split: Split, exists: bool) -> anyhow::Error {
    let problem = match exists {
        true => format!("{data} has its own {split} split; leave this out"),
        false => format!(
            "a folder's {split} split is its {split} file, which {data} does not have; add one, or leave this out"
        ),
    };
    usage(flag, problem)
}

impl GivenFractions {
    /// Set the given fractions in `spec`.
    pub fn apply(self, spec: &mut DataSpec) {
        spec.fractions.valid = self.valid.unwrap_or(spec.fractions.valid);
        spec.fractions.test = self.test.unwrap_or(spec.fractions.test);
    }

    /// The first flag that was given.
    pub fn given(self) -> Option<&'static str> {
        match self {
            Self { valid: Some(_), .. } => Some("--valid-fraction"),
            Self { test: Some(_), .. } => Some("--test-fraction"),
            Self { valid: None, test: None } => None,
        }
    }

    /// Refuse a fraction that has no effect on the text.
    ///
    /// # Errors
    /// For such a flag.
    pub fn check(self, corpus: &Corpus) -> anyhow::Result<()> {
        for (flag, given, split) in
            [("--valid-fraction", self.valid, Split::Valid), ("--test-fraction", self.test, Split::Test)]
        {
            if given.is_some() && corpus.has_own(split) {
                return Err(own_split(flag, corpus.name(), split, corpus.has(split)?));
            }
        }
        Ok(())
    }

    /// Refuse fractions of built-in sequences, which have their own splits.
    ///
    /// # Errors
    /// For a fraction that was given.
    pub fn check_sequences(self, spec: &DataSpec) -> anyhow::Result<()> {
        match self.given() {
            Some(flag) if !spec.is_text()? && matches!(spec.source()?, Source::Builtin(_)) => {
                Err(usage(flag, format!("{} has its own splits; leave this out", spec.data)))
            }
            _ if self.valid.is_some()
                && spec.is_time_series()?
                && spec.time_series()?.valid_file().is_some() =>
            {
                Err(own_split("--valid-fraction", &spec.data, Split::Valid, true))
            }
            _ if self.test.is_some()
                && !spec.is_text()?
                && matches!(spec.source()?, Source::Directory(_)) =>
            {
                let exists = !spec.is_columns()? || spec.column_corpus(None)?.has(Split::Test)?;
                Err(own_split("--test-fraction", &spec.data, Split::Test, exists))
            }
            _ => Ok(()),
        }
    }
}
