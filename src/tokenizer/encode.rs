//! A tokenizer: a fixed vocabulary, and text to token numbers.

use std::borrow::Cow;
use std::collections::HashMap;
use std::path::Path;

use super::encoder::Encoder;
use super::end::End;
use super::normalizer::{Normalizer, UnicodeForm};
use super::scheme::Scheme;
use super::special::are_characters;
use super::unknown::Unknown;
use super::{byte_level, character};
use crate::contain::contain;
use crate::{Error, Result};

/// A fixed vocabulary and the rule that cuts text into its tokens.
#[derive(Clone, Debug)]
pub struct Tokenizer {
    /// The tokenizer that is saved, and that encodes if there is no faster way.
    pub(super) inner: tokenizers::Tokenizer,
    pub(super) encoder: Encoder,
    /// The steps before text is cut. A foreign file may have others, which only `inner` applies.
    pub(super) normalizer: Normalizer,
    /// Whether text with unknown tokens is encoded in the Unicode form that leaves the fewest unknown.
    pub(super) tries_forms: bool,
    /// Whether `inner` drops characters that it has no token for.
    pub(super) drops_text: bool,
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
        self.normalizer.lowercase
    }

    /// Whether characters without a token are left out, because there is no unknown token either. See
    /// [`Tokenizer::dropped`].
    pub fn drops_text(&self) -> bool {
        self.drops_text
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

    /// The text of a token, for people to read; `None` if the vocabulary has no such number. It is the spelling of
    /// the token, but the text of the bytes that a byte-level token spells, with `\xNN` for a part of a character.
    pub fn token_text(&self, id: u32) -> Option<Cow<'_, str>> {
        let token = self.token(id)?;
        Some(match self.encoder {
            Encoder::General { byte_level: true } => Cow::Owned(byte_level::escaped(token)),
            _ => Cow::Borrowed(token),
        })
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
        self.encode_counting(text).map(|(ids, _)| ids)
    }

    /// The tokens of a text, without an end token, and the counts of what is unknown in it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_counting(&self, text: &str) -> Result<(Vec<u32>, Unknown)> {
        let mut ids = Vec::new();
        let unknown = self.append_in_known_form(text, None, &mut ids)?;
        Ok((ids, unknown))
    }

    /// Append the tokens of a text to `ids`, followed by the end token where one is due: for words after each line
    /// (whose newline is dropped) and record, for the other schemes after each record. Returns the counts of what is
    /// unknown in the text.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn append_ended(&self, text: &str, end: End, ids: &mut Vec<u32>) -> Result<Unknown> {
        self.append_in_known_form(text, Some(end), ids)
    }

    /// Append tokens as [`Tokenizer::append`] does. If some are unknown and the tokenizer tries Unicode forms, append
    /// those of the form that leaves the fewest unknown.
    fn append_in_known_form(&self, text: &str, end: Option<End>, ids: &mut Vec<u32>) -> Result<Unknown> {
        let start = ids.len();
        let mut fewest = self.append(text, end, ids)?;
        if !self.tries_forms || fewest.tokens == 0 || text.is_ascii() {
            return Ok(fewest);
        }
        for form in UnicodeForm::ALL {
            let mut in_form = vec![];
            let unknown = self.append(&form.of(text), end, &mut in_form)?;
            if unknown.tokens < fewest.tokens {
                fewest = unknown;
                ids.truncate(start);
                ids.append(&mut in_form);
            }
        }
        Ok(fewest)
    }

    /// Append the tokens of a text to `ids`. With `end`, an end token follows where one is due.
    pub(super) fn append(&self, text: &str, end: Option<End>, ids: &mut Vec<u32>) -> Result<Unknown> {
        let start = ids.len();
        let mut dropped = 0;
        match &self.encoder {
            Encoder::Characters(table) => {
                ids.extend(character::split(&self.normalize(text)).map(|character| table.id(character)));
            }
            Encoder::Words(table) => self.append_words(table, text, end, ids),
            Encoder::General { .. } => {
                // The library is given foreign files, some of which make it panic at certain texts.
                let encoding = contain(|| self.inner.encode_fast(text, false))
                    .map_err(|panic| cannot_encode(&panic, "repair the tokenizer's file, or use another"))?
                    .map_err(|error| {
                        let missing = self.missing(text).unwrap_or_else(|| error.to_string());
                        cannot_encode(&missing, "use one that has an unknown token")
                    })?;
                ids.extend_from_slice(encoding.get_ids());
                dropped = self.dropped(text).len() as u64;
            }
        }
        let unknown = ids[start..].iter().filter(|&&id| Some(id) == self.unknown).count() as u64;
        let is_ended = match end {
            None | Some(End::None) => false,
            Some(End::Line) => self.scheme() == Scheme::Word,
            Some(End::Record) => true,
        };
        if is_ended {
            ids.extend(self.end);
        }
        Ok(Unknown { tokens: unknown, dropped })
    }

    /// Name the first character or word of a text that has no token; `None` if each has one by itself.
    fn missing(&self, text: &str) -> Option<String> {
        let fails = |part: &&str| contain(|| self.inner.encode_fast(*part, false).is_err()).unwrap_or(true);
        let (unit, part) = match are_characters(self.tokens.iter().flatten().map(String::as_str)) {
            true => ("character", character::split(text).find(fails)?),
            false => ("word", text.split_whitespace().find(fails)?),
        };
        Some(format!("the {unit} {part:?} is not in the vocabulary"))
    }

    /// Append the tokens of words. In running text with the line end `\r`, an end token follows each line but the last:
    /// such text comes in pieces of several lines.
    fn append_words(&self, table: &HashMap<String, u32>, text: &str, end: Option<End>, ids: &mut Vec<u32>) {
        let unknown = self.unknown.unwrap_or_default();
        let append = |line: &str, ids: &mut Vec<u32>| {
            ids.extend(line.split_whitespace().map(|word| table.get(word).copied().unwrap_or(unknown)));
        };
        let normal = self.normalize(text);
        let is_running = matches!(end, Some(End::Line | End::None));
        let Some(line_end) = self.normalizer.line_end.filter(|_| is_running && text.contains('\r')) else {
            return append(&normal, ids);
        };
        let lines = match end {
            Some(End::Line) => normal.strip_suffix(line_end.text()).unwrap_or(&normal),
            _ => &normal,
        };
        for (number, line) in lines.split(line_end.text()).enumerate() {
            if number > 0 {
                ids.extend(self.end);
            }
            append(line, ids);
        }
    }

    /// The text as it is cut into characters or words: with the line ends, the Unicode form and the case of the
    /// vocabulary. The tokenizers library does this itself for other tokenizers.
    pub(super) fn normalize<'t>(&self, text: &'t str) -> Cow<'t, str> {
        self.normalizer.apply(text)
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

    /// Write `tokenizer.json`. The write is not atomic, unlike that of a bundle.
    ///
    /// # Errors
    /// If the file cannot be written; the message names it.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        std::fs::write(&path, self.to_json()?).map_err(|error| Error::file(path, error))
    }
}

fn cannot_encode(problem: &impl std::fmt::Display, advice: &str) -> Error {
    Error::Message(format!("the tokenizer cannot encode this text: {problem}; {advice}"))
}
