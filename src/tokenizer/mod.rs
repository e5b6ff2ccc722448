//! Text to token numbers and back: characters, words, byte-pair encoding, or any `tokenizer.json`.
//!
//! Every tokenizer is saved as a Hugging Face `tokenizer.json`, so that other tools read it too. The
//! character and word schemes are simple enough to walk the text directly, some fifty times faster than
//! the general machinery of that format; the two always agree (property tests at the end).
//!
//! | scheme | a token is | `<eos>` stands | decoding gives back |
//! |---|---|---|---|
//! | char | a user-perceived character ([`character`]) | after a record | the text |
//! | word | a run without white space | after each line and record | the text up to white space |
//! | bpe | a run of bytes (GPT-2's byte-level scheme) | after a record | the text |
//!
//! ```
//! use rnn_zoo::data::{End, Piece};
//! use rnn_zoo::tokenizer::{Kind, Tokenizer};
//!
//! let line = Piece { text: "to be or not to be\n".into(), label: None, end: End::Line };
//! let words = Tokenizer::train(&Kind::Word, [Ok(line.clone())].into_iter(), None, false)?;
//! let mut ids = Vec::new();
//! words.encode_piece(&line, &mut ids)?;
//! assert_eq!(ids, [3, 2, 5, 4, 3, 2, 1]); // frequent words first; 0 is <unk>, 1 is <eos>
//! assert_eq!(words.decode(&ids), "to be or not to be\n");
//! # Ok::<(), rnn_zoo::Error>(())
//! ```

pub mod character;
mod decoder;
mod file;
mod form;
mod kind;
mod note;
mod prompt;
mod train;
mod vocabulary;

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

pub use decoder::{Decoder, DecoderState};
pub use kind::Kind;
pub use note::Note;
pub use prompt::Prompt;

use crate::data::{End, Piece};
use crate::{Error, Result};

/// A fixed vocabulary and the rule that cuts text into its tokens.
#[derive(Debug)]
pub struct Tokenizer {
    /// What is saved, and what encodes where there is no faster way.
    inner: tokenizers::Tokenizer,
    scheme: Scheme,
    lowercase: bool,
    /// Token texts by number; `None` where a foreign file leaves a number out.
    tokens: Vec<Option<String>>,
    unknown: Option<u32>,
    end: Option<u32>,
}

/// How text becomes numbers.
#[derive(Debug)]
enum Scheme {
    Characters(CharacterTable),
    Words(HashMap<String, u32>),
    /// Anything else, through the tokenizers crate; `byte_level` where tokens spell out bytes.
    General {
        byte_level: bool,
    },
}

/// Numbers of characters: by code point where a character is one, else by its text.
#[derive(Debug)]
struct CharacterTable {
    single: Vec<u32>,
    composed: HashMap<String, u32>,
    unknown: u32,
}

impl CharacterTable {
    fn new(vocabulary: impl Iterator<Item = (String, u32)>, unknown: u32) -> Self {
        let mut table = Self { single: Vec::new(), composed: HashMap::new(), unknown };
        for (text, id) in vocabulary {
            let mut points = text.chars();
            match (points.next(), points.next()) {
                (Some(point), None) => {
                    let place = point as usize;
                    if place >= table.single.len() {
                        table.single.resize(place + 1, unknown);
                    }
                    table.single[place] = id;
                }
                _ => {
                    table.composed.insert(text, id);
                }
            }
        }
        table
    }

    fn id(&self, character: &str) -> u32 {
        let mut points = character.chars();
        let found = match (points.next(), points.next()) {
            (Some(point), None) => self.single.get(point as usize),
            _ => self.composed.get(character),
        };
        found.copied().unwrap_or(self.unknown)
    }
}

impl Tokenizer {
    /// Number of tokens, specials counted: the size that an embedding needs.
    pub fn vocabulary_size(&self) -> usize {
        self.tokens.len()
    }

    /// `char`, `word`, or `subword` for everything else.
    pub fn scheme_name(&self) -> &'static str {
        match self.scheme {
            Scheme::Characters(_) => "char",
            Scheme::Words(_) => "word",
            Scheme::General { .. } => "subword",
        }
    }

    /// Whether upper case is folded away before text is cut.
    pub fn folds_case(&self) -> bool {
        self.lowercase
    }

    /// What one token is: `character`, `word` or `token`.
    pub fn unit(&self) -> &'static str {
        match self.scheme {
            Scheme::Characters(_) => "character",
            Scheme::Words(_) => "word",
            Scheme::General { .. } => "token",
        }
    }

    /// The number of a token, spelt exactly as in the vocabulary.
    pub fn id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// The spelling of a token; `None` where the vocabulary has no such number.
    pub fn token(&self, id: u32) -> Option<&str> {
        self.tokens.get(id as usize)?.as_deref()
    }

    /// The token for text outside the vocabulary; our own tokenizers have it at 0.
    pub fn unknown(&self) -> Option<u32> {
        self.unknown
    }

    /// The token that ends a sequence: `<eos>` (ours, at 1), or in a foreign file the first it has of
    /// `</s>`, `<|endoftext|>` and `[SEP]`.
    pub fn end(&self) -> Option<u32> {
        self.end
    }

    /// Appends the tokens of a piece to `ids`, and the end token where one is due: for words after each
    /// line (whose newline is dropped) and record, for the other schemes after each record.
    ///
    /// # Errors
    /// Only a foreign tokenizer can fail, on text that it has no token for.
    pub fn encode_piece(&self, piece: &Piece, ids: &mut Vec<u32>) -> Result<()> {
        self.encode_text(&piece.text, ids)?;
        let ends = match piece.end {
            End::None => false,
            End::Line => matches!(self.scheme, Scheme::Words(_)),
            End::Record => true,
        };
        if ends {
            ids.extend(self.end);
        }
        Ok(())
    }

    /// Appends the tokens of `text` alone; never an end token.
    pub(crate) fn encode_text(&self, text: &str, ids: &mut Vec<u32>) -> Result<()> {
        match &self.scheme {
            Scheme::Characters(table) => {
                ids.extend(character::split(&self.normalise(text)).map(|character| table.id(character)));
            }
            Scheme::Words(table) => {
                let unknown = self.unknown.unwrap_or_default();
                let text = self.normalise(text);
                ids.extend(text.split_whitespace().map(|word| table.get(word).copied().unwrap_or(unknown)));
            }
            Scheme::General { .. } => {
                let encoding = self.inner.encode_fast(text, false).map_err(|error| cannot_encode(&error))?;
                ids.extend_from_slice(encoding.get_ids());
            }
        }
        Ok(())
    }

    /// Lower-cases as the saved file does: each code point for itself, a final sigma too.
    fn normalise<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.lowercase {
            true => Cow::Owned(text.chars().flat_map(char::to_lowercase).collect()),
            false => Cow::Borrowed(text),
        }
    }

    /// The text of `ids`. Words stand one space apart, an end token starts a new line, an unknown
    /// character is U+FFFD, and a number outside the vocabulary is nothing.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut decoder = self.decoder();
        let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
        text.push_str(&decoder.finish());
        text
    }

    /// A decoder that gives text out as tokens come in.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder::new(self)
    }

    /// A decoder that goes on where another was; `None` where that was one of another kind of tokenizer.
    pub fn resume_decoder(&self, state: DecoderState) -> Option<Decoder<'_>> {
        Decoder::resume(self, state)
    }

    /// The contents of `tokenizer.json`; the same bytes for the same tokenizer.
    ///
    /// # Errors
    /// Only if the tokenizers crate cannot write its own format.
    pub fn to_json(&self) -> Result<String> {
        self.inner
            .to_string(true)
            .map_err(|error| Error::Message(format!("the tokenizer cannot be written as JSON: {error}")))
    }

    /// Writes `tokenizer.json`. Not atomic: a checkpoint writes [`to_json`](Self::to_json) its own way.
    ///
    /// # Errors
    /// Names the file when it cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        std::fs::write(&path, self.to_json()?).map_err(|error| Error::file(path, error))
    }
}

fn cannot_encode(error: &tokenizers::Error) -> Error {
    Error::Message(format!(
        "the tokenizer cannot encode this text: {error}; use one that has an unknown token"
    ))
}

#[cfg(test)]
mod tests;
