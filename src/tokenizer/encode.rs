//! A tokenizer: a fixed vocabulary, and text to token numbers.

use std::borrow::Cow;
use std::path::Path;

use super::character;
use super::encoder::Encoder;
use super::end::End;
use super::scheme::Scheme;
use crate::{Error, Result};

/// A fixed vocabulary and the rule that cuts text into its tokens.
#[derive(Debug)]
pub struct Tokenizer {
    /// The tokenizer that is saved, and that encodes if there is no faster way.
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) encoder: Encoder,
    pub(super) lowercase: bool,
    /// Token texts by number; `None` if a foreign file leaves a number out.
    pub(super) tokens: Vec<Option<String>>,
    pub(super) unknown: Option<u32>,
    pub(super) end: Option<u32>,
}

impl Tokenizer {
    /// Number of tokens, including special tokens: the number of rows of an embedding.
    pub fn vocabulary_size(&self) -> usize {
        self.tokens.len()
    }

    /// The kind of tokens.
    pub fn scheme(&self) -> Scheme {
        match self.encoder {
            Encoder::Characters(_) => Scheme::Char,
            Encoder::Words(_) => Scheme::Word,
            Encoder::General { .. } => Scheme::Subword,
        }
    }

    /// Whether text is lower-cased before it is cut into tokens.
    pub fn folds_case(&self) -> bool {
        self.lowercase
    }

    /// The noun for one token: `character`, `word` or `token`.
    pub fn unit(&self) -> &'static str {
        self.scheme().unit()
    }

    /// The number of a token, spelt exactly as in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The spelling of a token; `None` if the vocabulary has no such number.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize)?.as_deref()
    }

    /// The token for text outside the vocabulary; number 0 in tokenizers of this program.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// The token that ends a sequence: `<eos>` (number 1 in tokenizers of this program), or in a foreign file the
    /// first of `</s>`, `<|endoftext|>` and `[SEP]` that it has.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// The token that a language model reads before the first token of a text: the end of an imagined text before
    /// it. That is a newline for running text of characters or byte pairs, which contains no `<eos>` (byte-level
    /// vocabularies spell the newline `Ċ`), and the end token for words and for `records`.
    pub fn start(&self, records: bool) -> u32 {
        let newline = || ["\n", "Ċ"].into_iter().find_map(|newline| self.id(newline));
        let start = match records || self.scheme() == Scheme::Word {
            true => self.end,
            false => newline().or(self.end),
        };
        start.unwrap_or(0)
    }

    /// The tokens of a text, without an end token.
    ///
    /// # Errors
    /// If a foreign tokenizer has no token for the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let mut ids = Vec::new();
        self.append(text, &mut ids)?;
        Ok(ids)
    }

    /// Appends the tokens of a text to `ids`, followed by the end token where one is due: for words after each line
    /// (whose newline is dropped) and record, for the other schemes after each record.
    ///
    /// # Errors
    /// If a foreign tokenizer has no token for the text.
    pub fn append_ended(&self, text: &str, end: End, ids: &mut Vec<u32>) -> Result<()> {
        self.append(text, ids)?;
        let ends = match end {
            End::None => false,
            End::Line => self.scheme() == Scheme::Word,
            End::Record => true,
        };
        if ends {
            ids.extend(self.end);
        }
        Ok(())
    }

    /// Appends the tokens of a text to `ids`, without an end token.
    fn append(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        match &self.encoder {
            Encoder::Characters(table) => {
                ids.extend(character::split(&self.normalise(text)).map(|character| table.id(character)));
            }
            Encoder::Words(table) => {
                let unknown = self.unknown.unwrap_or_default();
                let text = self.normalise(text);
                ids.extend(text.split_whitespace().map(|word| table.get(word).copied().unwrap_or(unknown)));
            }
            Encoder::General { .. } => {
                let encoding = self.inner.encode_fast(text, false).map_err(|error| cannot_encode(&error))?;
                ids.extend_from_slice(encoding.get_ids());
            }
        }
        Ok(())
    }

    /// Lower-cases as the saved file does: each code point on its own, including a final sigma.
    pub(super) fn normalise<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.lowercase {
            true => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
            false => Cow::Borrowed(text),
        }
    }

    /// The contents of `tokenizer.json`; the same bytes for the same tokenizer.
    ///
    /// # Errors
    /// If the tokenizers library cannot write its own format.
    pub fn to_json(&self) -> Result<String> {
        self.inner
            .to_string(true)
            .map_err(|error| Error::Message(format!("the tokenizer cannot be written as JSON: {error}")))
    }

    /// Writes `tokenizer.json`. The write is not atomic, unlike that of a bundle.
    ///
    /// # Errors
    /// If the file cannot be written; the message names it.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        std::fs::write(&path, self.to_json()?).map_err(|error| Error::file(path, error))
    }
}

fn cannot_encode(error: &tokenizers::Error) -> Error {
    Error::Message(format!(
        "the tokenizer cannot encode this text: {error}; use one that has an unknown token"
    ))
}
