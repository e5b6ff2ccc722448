//! Reading text whose line ends or Unicode form are not those of the vocabulary.

use super::encode::Tokenizer;
use super::encoder::Encoder;
use super::normalizer::{LineEnd, Normalizer};
use crate::Result;

impl Tokenizer {
    /// This tokenizer for inference: line ends become the one that the vocabulary knows, and text with unknown tokens
    /// is read in the Unicode form that leaves the fewest unknown. Text that has neither keeps its tokens.
    #[must_use]
    pub fn adapted(self) -> Self {
        let tries_forms = self.normalizer.form.is_none();
        Self { tries_forms, ..self.with_known_line_ends() }
    }

    /// This tokenizer, which also converts line ends to the one that the vocabulary knows.
    ///
    /// A tokenizer that [`Tokenizer::train`] builds does so already. Those of older bundles do not, and a run that is
    /// resumed must read its data as before, so only inference and new runs convert.
    #[must_use]
    pub fn with_known_line_ends(mut self) -> Self {
        if self.normalizer.line_end.is_none()
            && let Some(line_end) = self.known_line_end()
        {
            self.convert_line_ends(line_end);
        }
        self
    }

    /// The only line end that the vocabulary knows; `None` if it knows several, or tokens of a foreign file contain
    /// `\r\n`.
    fn known_line_end(&self) -> Option<LineEnd> {
        let knows = |token: &str| self.id(token).is_some();
        match self.encoder {
            Encoder::Words(_) => Some(LineEnd::Lf),
            Encoder::Characters(_) => match ["\n", "\r\n", "\r"].map(knows) {
                [_, false, false] => Some(LineEnd::Lf),
                [false, true, false] => Some(LineEnd::CrLf),
                [false, false, true] => Some(LineEnd::Cr),
                _ => None,
            },
            Encoder::General { byte_level: true } if self.has_token_with("čĊ") => {
                // A tokenizer of this program was trained on Windows line ends.
                (self.unknown == Some(0) && self.end == Some(1)).then_some(LineEnd::CrLf)
            }
            Encoder::General { .. } if self.has_token_with("\r") => None,
            Encoder::General { .. } => Some(LineEnd::Lf),
        }
    }

    fn has_token_with(&self, text: &str) -> bool {
        self.tokens.iter().flatten().any(|token| token.contains(text))
    }

    /// Convert the line ends of text from now on, before the other steps of the normalizer.
    pub(super) fn convert_line_ends(&mut self, line_end: LineEnd) {
        let before = self.inner.get_normalizer().cloned();
        let steps = match Normalizer::from_wrapper(before.as_ref()) {
            Some(normalizer) => Normalizer { line_end: Some(line_end), ..normalizer }.to_wrapper(),
            None => line_end.before(before),
        };
        // It fails only if an added token cannot be normalized; then the library keeps what it had.
        if self.inner.with_normalizer(steps).is_ok() {
            self.normalizer.line_end = Some(line_end);
        }
    }

    /// Whether a line of running text ends with a token that was a target in training. That is the end token for
    /// words, and otherwise the token of the line end, if the vocabulary knows it.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn ends_lines(&self) -> Result<bool> {
        Ok(match self.encoder {
            Encoder::Words(_) => true,
            Encoder::Characters(_) | Encoder::General { .. } => self.encode_counting("\n")?.1.total() == 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Kind;

    /// A tokenizer as older versions of this program built it, from text with these line ends.
    fn old(kind: &Kind, text: &str) -> Tokenizer {
        let text = [Ok(text.to_string())].into_iter();
        let tokenizer = Tokenizer::train(kind, text, None, false).unwrap();
        let mut json: serde_json::Value = serde_json::from_str(&tokenizer.to_json().unwrap()).unwrap();
        json["normalizer"] = serde_json::Value::Null;
        Tokenizer::from_json(json.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn old_vocabularies_read_every_line_end() {
        let text = "over cat red\nand then house\n";
        let windows = text.replace('\n', "\r\n");
        for kind in [Kind::Char, Kind::Word, Kind::Bpe(280)] {
            let expected = old(&kind, text).encode(text).unwrap();
            let tokenizer = old(&kind, text).adapted();
            for other in [text, &windows, &text.replace('\n', "\r")] {
                assert_eq!(tokenizer.encode(other).unwrap(), expected, "{kind}: {other:?}");
            }
            assert!(tokenizer.ends_lines().unwrap());
        }
    }

    #[test]
    fn text_in_an_unknown_form_is_read_in_the_known_one() {
        let (composed, decomposed) =
            ("한글 été", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af} e\u{301}te\u{301}");
        for kind in [Kind::Char, Kind::Word] {
            for (known, other) in [(composed, decomposed), (decomposed, composed)] {
                let expected = old(&kind, known).encode(known).unwrap();
                let tokenizer = old(&kind, known);
                assert!(tokenizer.encode_counting(other).unwrap().1.tokens > 0, "{kind}");
                let (ids, unknown) = tokenizer.adapted().encode_counting(other).unwrap();
                assert_eq!((ids, unknown.tokens), (expected, 0), "{kind}");
            }
        }
    }
}
