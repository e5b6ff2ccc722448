//! The kind of token that a tokenizer cuts text into.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The kind of token that a tokenizer cuts text into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scheme {
    /// User-perceived characters.
    Char,
    /// Words separated by white space.
    Word,
    /// Anything else: byte pairs, or the tokens of a foreign file.
    Subword,
}

impl Scheme {
    /// The name in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Char => "char",
            Self::Word => "word",
            Self::Subword => "subword",
        }
    }

    /// The noun for one token, in reports.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Char => "character",
            Self::Word => "word",
            Self::Subword => "token",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_is_the_serialized_form() {
        for scheme in [Scheme::Char, Scheme::Word, Scheme::Subword] {
            assert_eq!(serde_json::to_value(scheme).unwrap(), scheme.name());
            assert_eq!(format!("{scheme:>8}"), format!("{:>8}", scheme.name()));
        }
    }
}
