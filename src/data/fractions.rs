//! The fractions of the data that are set aside for validation and testing.

use serde::{Deserialize, Serialize};

use super::archive_names::is_training_file;
use super::source::Source;
use crate::{Error, Result};

/// Fractions of the bytes or records of a file: of a single file for validation and testing, of a folder's training
/// file for validation, if the folder has no validation file.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fractions {
    /// Fraction for validation.
    pub valid: f64,
    /// Fraction for testing.
    pub test: f64,
}

/// Return the number of records in `fraction` of `count` records, rounded up.
pub(crate) fn records_in(fraction: f64, count: u64) -> u64 {
    // The allowance keeps a fraction that is whole but for rounding from gaining a record.
    (fraction * count as f64 - 1e-6).ceil().max(0.) as u64
}

impl Default for Fractions {
    /// 5 % for validation, 5 % for testing.
    fn default() -> Self {
        Self { valid: 0.05, test: 0.05 }
    }
}

impl Fractions {
    /// The fractions of a source where the user names none: the default, and 10 % for the validation of a folder
    /// or of a training file with a test file beside it.
    pub fn of(source: &Source) -> Self {
        let usual = Self::default();
        match source {
            Source::File(path) if is_training_file(path) => Self { valid: 0.1, ..usual },
            Source::Directory(_) => Self { valid: 0.1, ..usual },
            _ => usual,
        }
    }

    /// Check that both fractions are valid and leave text for training.
    ///
    /// # Errors
    /// If one is negative or not a number, or their sum is not below 1.
    pub fn validate(self) -> Result<()> {
        let Self { valid, test } = self;
        if valid >= 0.0 && test >= 0.0 && valid + test < 1.0 {
            return Ok(());
        }
        let problem = format!(
            "cannot set aside shares of {valid} and {test}; expected numbers of at least 0 that leave something to \
             train on"
        );
        Err(Error::invalid("fractions", problem))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_records_are_rounded_up_unless_whole_but_for_rounding() {
        for (fraction, count, expected) in [
            (0.05, 5000, 250),
            (0.05, 5001, 251),
            (0.07, 100, 7),
            (0.29, 100, 29),
            (0.1, 1, 1),
            (0., 9, 0),
            (0.5, 0, 0),
        ] {
            assert_eq!(records_in(fraction, count), expected, "{fraction} of {count}");
        }
    }
}
