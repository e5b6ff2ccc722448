//! Tokens to text, up to a stop string.

use serde::{Deserialize, Serialize};

use super::stop::StopFilter;
use crate::tokenizer::{Decoder, DecoderState, Prompt, Scheme, Tokenizer};

/// Decodes the tokens of a text, and ends it at a stop string.
#[derive(Clone, Debug)]
pub struct Transcript<'t> {
    decoder: Decoder<'t>,
    stop: StopFilter,
    words: bool,
}

/// Text that a transcript holds back: the bytes of incomplete characters, and text that may begin a stop string.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct HeldBack {
    decoder: DecoderState,
    text: String,
}

impl<'t> Transcript<'t> {
    /// A transcript of a text that ends before any of `stops`.
    pub fn new(tokenizer: &'t Tokenizer, stops: &[String]) -> Self {
        Self::of(tokenizer, tokenizer.decoder(), StopFilter::new(stops, String::new()))
    }

    fn of(tokenizer: &Tokenizer, decoder: Decoder<'t>, stop: StopFilter) -> Self {
        Self { decoder, stop, words: tokenizer.scheme() == Scheme::Word }
    }

    /// A transcript that continues another, which held `held` back. Returns `None` if that was of another kind of
    /// tokenizer.
    pub(super) fn resume(tokenizer: &'t Tokenizer, stops: &[String], held: HeldBack) -> Option<Self> {
        let decoder = tokenizer.resume_decoder(held.decoder)?;
        Some(Self::of(tokenizer, decoder, StopFilter::new(stops, held.text)))
    }

    pub(super) fn held_back(&self) -> HeldBack {
        HeldBack { decoder: self.decoder.state(), text: self.stop.held().to_string() }
    }

    /// The decoder of its tokens.
    pub fn decoder(&self) -> &Decoder<'t> {
        &self.decoder
    }

    /// Append a prompt, in which no stop string is searched for. Returns the text to show for it, after all that
    /// was held back.
    pub fn prompt(&mut self, text: &str, prompt: &Prompt) -> String {
        if prompt.ids.is_empty() && text.is_empty() {
            return String::new();
        }
        let mut shown = self.stop.take();
        if !self.words {
            shown.push_str(&self.decoder.finish());
        }
        let read: String = prompt.ids.iter().map(|&id| self.decoder.push(id)).collect();
        // Words may have been replaced by others of the vocabulary. Any other prompt is shown as typed.
        shown.push_str(if self.words { &read } else { text });
        shown
    }

    /// Return text that an earlier transcript held back and that can be shown now.
    pub(super) fn begin(&mut self) -> String {
        self.stop.push("")
    }

    /// Append a token; returns the text that can be shown.
    pub(super) fn push(&mut self, token: u32) -> String {
        self.stop.push(&self.decoder.push(token))
    }

    /// Whether a stop string has been found.
    pub(super) fn stopped(&self) -> bool {
        self.stop.stopped()
    }

    /// End the text; returns what was held back.
    pub(super) fn finish(&mut self) -> String {
        let mut text = self.stop.push(&self.decoder.finish());
        text.push_str(&self.stop.finish());
        text
    }
}
