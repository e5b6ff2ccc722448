//! Token numbers back to text, one at a time.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use super::{Scheme, Tokenizer};

/// Turns tokens into text as they come, holding back only what is not yet a whole character. Its memory
/// does not grow with the number of tokens.
///
/// To continue a prompt, push the prompt's tokens first and drop what they give.
#[derive(Clone, Debug)]
pub struct Decoder<'t> {
    tokenizer: &'t Tokenizer,
    state: State,
}

/// What a decoder holds back, to be kept and gone on from by [`Tokenizer::resume_decoder`].
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DecoderState(State);

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum State {
    Characters,
    /// Whether the next word opens a line and takes no space before it.
    Words {
        at_start: bool,
    },
    /// Bytes that do not yet make a whole character.
    Bytes(Vec<u8>),
    /// For decoders that look at neighbours: the newest tokens, the text of the first `settled` of
    /// which has been given out already.
    Window {
        ids: Vec<u32>,
        settled: usize,
    },
}

/// How many tokens may wait for a character to become whole; UTF-8 needs four bytes at most.
const PATIENCE: usize = 8;

/// What stands for an unknown character or broken bytes.
const REPLACEMENT: char = '\u{FFFD}';

impl<'t> Decoder<'t> {
    pub(super) fn new(tokenizer: &'t Tokenizer) -> Self {
        let state = match tokenizer.scheme {
            Scheme::Characters(_) => State::Characters,
            Scheme::Words(_) => State::Words { at_start: true },
            Scheme::General { byte_level: true } => State::Bytes(Vec::new()),
            Scheme::General { byte_level: false } => State::Window { ids: Vec::new(), settled: 0 },
        };
        Self { tokenizer, state }
    }

    /// Goes on from where another decoder was; `None` where that was of another scheme.
    pub(super) fn resume(tokenizer: &'t Tokenizer, DecoderState(state): DecoderState) -> Option<Self> {
        let decoder = Self::new(tokenizer);
        let fits = match (&decoder.state, &state) {
            (State::Window { .. }, State::Window { ids, settled }) => *settled <= ids.len(),
            (own, state) => std::mem::discriminant(own) == std::mem::discriminant(state),
        };
        fits.then_some(Self { state, ..decoder })
    }

    /// What is held back now.
    pub fn state(&self) -> DecoderState {
        DecoderState(self.state.clone())
    }

    /// The text that `id` completes; perhaps empty.
    pub fn push(&mut self, id: u32) -> String {
        if Some(id) == self.tokenizer.end {
            let mut text = self.finish();
            text.push('\n');
            return text;
        }
        let Some(token) = self.tokenizer.token(id) else { return String::new() };
        match &mut self.state {
            State::Characters if Some(id) == self.tokenizer.unknown => REPLACEMENT.to_string(),
            State::Characters => token.to_string(),
            State::Words { at_start } => match std::mem::replace(at_start, false) {
                true => token.to_string(),
                false => format!(" {token}"),
            },
            State::Bytes(bytes) => {
                append_bytes(token, bytes);
                whole_characters(bytes)
            }
            State::Window { ids, settled } => {
                ids.push(id);
                slide(&self.tokenizer.inner, ids, settled)
            }
        }
    }

    /// What is left: the start of a character that never became whole shows as U+FFFD. The decoder then
    /// stands at the start of a line.
    pub fn finish(&mut self) -> String {
        match &mut self.state {
            State::Characters => String::new(),
            State::Words { at_start } => {
                *at_start = true;
                String::new()
            }
            State::Bytes(bytes) => String::from_utf8_lossy(&std::mem::take(bytes)).into_owned(),
            State::Window { ids, settled } => {
                let (ids, settled) = (std::mem::take(ids), std::mem::take(settled));
                let given = text_of(&self.tokenizer.inner, &ids[..settled]);
                let all = text_of(&self.tokenizer.inner, &ids);
                all.get(given.len()..).unwrap_or_default().to_string()
            }
        }
    }
}

/// Appends the bytes that a byte-level token spells. A token outside that alphabet, such as a special
/// one of a foreign file, stands for its own text.
fn append_bytes(token: &str, bytes: &mut Vec<u8>) {
    let start = bytes.len();
    for letter in token.chars() {
        match BYTE_OF_LETTER.get(&letter) {
            Some(&byte) => bytes.push(byte),
            None => {
                bytes.truncate(start);
                bytes.extend_from_slice(token.as_bytes());
                return;
            }
        }
    }
}

/// The letters with which GPT-2 writes the 256 bytes: printable Latin-1 for itself, and for the other
/// bytes, in order, the code points from U+0100 on.
static BYTE_OF_LETTER: LazyLock<HashMap<char, u8>> = LazyLock::new(|| {
    let mut stand_ins = '\u{100}'..;
    let letter = |byte| match byte {
        b'!'..=b'~' | 0xA1..=0xAC | 0xAE..=0xFF => char::from(byte),
        _ => stand_ins.next().expect("invariant: a range without end"),
    };
    (0..=u8::MAX).map(letter).zip(0..=u8::MAX).collect()
});

/// Takes the whole characters off the front of `bytes`; what can never become one is U+FFFD.
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

/// Gives out what the newest token adds to the text of the window, then lets go of the tokens before the
/// last ones given out: they stay as the context in which the next token is decoded.
fn slide(inner: &tokenizers::Tokenizer, ids: &mut Vec<u32>, settled: &mut usize) -> String {
    let given = text_of(inner, &ids[..*settled]);
    let all = text_of(inner, ids);
    let waits = all.ends_with(REPLACEMENT) && ids.len() - *settled < PATIENCE;
    if waits || all.len() <= given.len() && ids.len() - *settled < PATIENCE {
        return String::new();
    }
    ids.drain(..*settled);
    *settled = ids.len();
    all.get(given.len()..).unwrap_or_default().to_string()
}

fn text_of(inner: &tokenizers::Tokenizer, ids: &[u32]) -> String {
    inner.decode(ids, false).unwrap_or_default()
}
