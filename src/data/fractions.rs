//! The fractions of a single file that are set aside for validation and testing.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Fractions of the bytes or records of a single file. Training text comes first in the file, then that for
/// validation, then that for testing.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fractions {
    /// Fraction for validation.
    pub valid: f64,
    /// Fraction for testing.
    pub test: f64,
}

impl Default for Fractions {
    /// 5 % for validation, 5 % for testing.
    fn default() -> Self {
        Self { valid: 0.05, test: 0.05 }
    }
}

impl Fractions {
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
