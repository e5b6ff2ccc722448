//! Token numbers back to text, one at a time.

use serde::{Deserialize, Serialize};

use super::byte_level::append_bytes;
use super::encode::Tokenizer;
use super::encoder::Encoder;
use crate::contain::contain;

/// A decoder that turns tokens into text one by one, and withholds only incomplete characters. Its memory does not grow
/// with the number of tokens.
///
/// To continue a prompt, push the tokens of the prompt first and discard their text.
#[derive(Clone, Debug)]
pub struct Decoder<'t> {
    tokenizer: &'t Tokenizer,
    state: Withheld,
}

/// The withheld part of a decoder's text, from which [`Tokenizer::resume_decoder`] continues.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecoderState(Withheld);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Withheld {
    Characters,
    /// `at_start` tells whether the next word begins a line and takes no space before it.
    Words {
        at_start: bool,
    },
    /// The bytes of an incomplete character.
    Bytes(Vec<u8>),
    /// For decoders whose text depends on neighbouring tokens: the newest tokens. The text of the first `settled`
    /// has been returned already.
    Window {
        ids: Vec<u32>,
        settled: usize,
    },
}

/// The number of tokens that wait for a character to be completed; UTF-8 needs four bytes at most.
const MOST_WAITING: usize = 8;

/// The replacement for an unknown character or invalid bytes.
const REPLACEMENT: char = '\u{FFFD}';

impl Tokenizer {
    /// The text of `ids`. Words are separated by single spaces, an end token becomes a newline, an unknown character
    /// becomes U+FFFD, and numbers outside the vocabulary are skipped.
    pub fn decode(&self, ids: &[u32]) -> String {
        let mut decoder = self.decoder();
        let mut text: String = ids.iter().map(|&id| decoder.push(id)).collect();
        text.push_str(&decoder.finish());
        text
    }

    /// A decoder for tokens that arrive one by one.
    pub fn decoder(&self) -> Decoder<'_> {
        Decoder::new(self)
    }

    /// A decoder that continues from the state of another; `None` if that was of another scheme.
    pub fn resume_decoder(&self, state: DecoderState) -> Option<Decoder<'_>> {
        Decoder::resume(self, state)
    }
}

impl<'t> Decoder<'t> {
    fn new(tokenizer: &'t Tokenizer) -> Self {
        let state = match tokenizer.encoder {
            Encoder::Characters(_) => Withheld::Characters,
            Encoder::Words(_) => Withheld::Words { at_start: true },
            Encoder::General { byte_level: true } => Withheld::Bytes(Vec::new()),
            Encoder::General { byte_level: false } => Withheld::Window { ids: Vec::new(), settled: 0 },
        };
        Self { tokenizer, state }
    }

    /// Continue from the state of another decoder; `None` if that was of another scheme.
    fn resume(tokenizer: &'t Tokenizer, DecoderState(state): DecoderState) -> Option<Self> {
        let decoder = Self::new(tokenizer);
        let fits = match (&decoder.state, &state) {
            (Withheld::Window { .. }, Withheld::Window { ids, settled }) => *settled <= ids.len(),
            (expected, found) => std::mem::discriminant(expected) == std::mem::discriminant(found),
        };
        fits.then_some(Self { state, ..decoder })
    }

    /// The withheld part of the text.
    pub fn state(&self) -> DecoderState {
        DecoderState(self.state.clone())
    }

    /// Return the text that `id` completes, which may be empty.
    pub fn push(&mut self, id: u32) -> String {
        if Some(id) == self.tokenizer.end {
            let mut text = self.finish();
            text.push('\n');
            return text;
        }
        let Some(token) = self.tokenizer.token(id) else { return String::new() };
        match &mut self.state {
            Withheld::Characters if Some(id) == self.tokenizer.unknown => REPLACEMENT.to_string(),
            Withheld::Characters => token.to_string(),
            Withheld::Words { at_start } => match std::mem::replace(at_start, false) {
                true => token.to_string(),
                false => format!(" {token}"),
            },
            Withheld::Bytes(bytes) => {
                append_bytes(token, bytes);
                whole_characters(bytes)
            }
            Withheld::Window { ids, settled } => {
                ids.push(id);
                slide(self.tokenizer, ids, settled)
            }
        }
    }

    /// Return the withheld text, with U+FFFD for an incomplete character. The decoder is then at the start of a
    /// line.
    pub fn finish(&mut self) -> String {
        match &mut self.state {
            Withheld::Characters => String::new(),
            Withheld::Words { at_start } => {
                *at_start = true;
                String::new()
            }
            Withheld::Bytes(bytes) => String::from_utf8_lossy(&std::mem::take(bytes)).into_owned(),
            Withheld::Window { ids, settled } => {
                let (ids, settled) = (std::mem::take(ids), std::mem::take(settled));
                let given = text_of(self.tokenizer, &ids[..settled]);
                let all = text_of(self.tokenizer, &ids);
                all.get(given.len()..).unwrap_or_default().to_string()
            }
        }
    }
}

/// Remove the complete characters at the front of `bytes`, and return them; bytes that cannot begin a character become
/// U+FFFD.
fn whole_characters(bytes: &mut Vec<u8>) -> String {
    let mut text = String::new();
    let mut used = 0;
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        used += chunk.valid().len();
        let broken = chunk.invalid();
        let at_the_end = used + broken.len() == bytes.len();
        let may_grow = std::str::from_utf8(broken).is_err_and(|error| error.error_len().is_none());
        if broken.is_empty() || at_the_end && may_grow {
            continue;
        }
        text.push(REPLACEMENT);
        used += broken.len();
    }
    bytes.drain(..used);
    text
}

/// Return the text that the newest token adds to the window, then drop the tokens before those last returned, which
/// stay as the context of the next token.
fn slide(tokenizer: &Tokenizer, ids: &mut Vec<u32>, settled: &mut usize) -> String {
    let given = text_of(tokenizer, &ids[..*settled]);
    let all = text_of(tokenizer, ids);
    let waits = all.ends_with(REPLACEMENT) && ids.len() - *settled < MOST_WAITING;
    if waits || all.len() <= given.len() && ids.len() - *settled < MOST_WAITING {
        return String::new();
    }
    ids.drain(..*settled);
    *settled = ids.len();
    all.get(given.len()..).unwrap_or_default().to_string()
}

/// The text of tokens of a foreign file. If its decoder fails or panics, the tokens as they are spelt.
fn text_of(tokenizer: &Tokenizer, ids: &[u32]) -> String {
    let spelt = || ids.iter().filter_map(|&id| tokenizer.token(id)).collect();
    match contain(|| tokenizer.inner.decode(ids, false)) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) | Err(_) => spelt(),
    }
}
