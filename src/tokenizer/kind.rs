//! The choice of tokenizer, by name.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use crate::{Error, Result};

/// The choice of tokenizer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A token per user-perceived character.
    Char,
    /// A token per run without white space.
    Word,
    /// A token per word, with punctuation and contractions as tokens of their own.
    Treebank,
    /// Byte-level byte-pair encoding with a vocabulary of this size.
    Bpe(usize),
    /// An existing `tokenizer.json`.
    File(PathBuf),
}

/// The smallest vocabulary of byte pairs: the 256 bytes and the two special tokens.
const SMALLEST_BPE: usize = 258;

/// The largest vocabulary of byte pairs. Training allocates memory for all of it.
const LARGEST_BPE: usize = 1_000_000;

impl Kind {
    /// Whether the vocabulary holds words, which are counted.
    pub fn is_of_words(&self) -> bool {
        matches!(self, Self::Word | Self::Treebank)
    }
}

impl FromStr for Kind {
    type Err = Error;

    /// Parse `char`, `word`, `treebank`, `bpe:N`, or the path of a `tokenizer.json`.
    ///
    /// # Errors
    /// If the text is none of these, or the file does not exist.
    fn from_str(text: &str) -> Result<Self> {
        let wrong = |problem: String| Err(Error::invalid("tokenizer", problem));
        match text {
            "char" => return Ok(Self::Char),
            "word" => return Ok(Self::Word),
            "treebank" => return Ok(Self::Treebank),
            "bpe" => return wrong("bpe needs a vocabulary size, as in bpe:8000".into()),
            _ => {}
        }
        if let Some(size) = text.strip_prefix("bpe:") {
            return match size.parse() {
                Ok(size @ SMALLEST_BPE..=LARGEST_BPE) => Ok(Self::Bpe(size)),
                Ok(size) if size > LARGEST_BPE => {
                    wrong(format!("a vocabulary has at most {LARGEST_BPE} tokens, not {size}"))
                }
                Ok(size) => {
                    wrong(format!("a byte-level vocabulary has at least {SMALLEST_BPE} tokens, not {size}"))
                }
                Err(_) => {
                    wrong(format!("`{size}` is not a vocabulary size; expected a number, as in bpe:8000"))
                }
            };
        }
        let path = PathBuf::from(text);
        match path.is_file() {
            true => Ok(Self::File(path)),
            false => {
                wrong(format!("`{text}` is not char, word, treebank, bpe:N or an existing tokenizer.json"))
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Char => f.write_str("char"),
            Self::Word => f.write_str("word"),
            Self::Treebank => f.write_str("treebank"),
            Self::Bpe(size) => write!(f, "bpe:{size}"),
            Self::File(path) => write!(f, "{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn display_and_parse_round_trip() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let kinds = [Kind::Char, Kind::Word, Kind::Treebank, Kind::Bpe(8000), Kind::File(file.path().into())];
        for kind in kinds {
            assert_eq!(kind.to_string().parse::<Kind>().unwrap(), kind);
        }
    }

    #[test]
    fn invalid_names_are_usage_errors_with_the_valid_forms() {
        for (text, expected) in [
            ("bpe", "bpe:8000"),
            ("bpe:many", "bpe:8000"),
            ("bpe:100", "at least 258"),
            ("bpe:10000000000000", "at most 1000000"),
            ("bpe:99999999999999999999999", "not a vocabulary size"),
            ("chars", "not char, word, treebank, bpe:N"),
        ] {
            let error = text.parse::<Kind>().unwrap_err();
            assert!(matches!(error, Error::Invalid { field: "tokenizer", .. }));
            assert!(error.to_string().contains(expected), "{error}");
        }
    }
}
