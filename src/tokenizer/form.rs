//! Unicode normal forms: text that looks the same can be spelt with composed (NFC) or decomposed characters (NFD).

use std::borrow::Cow;

use tokenizers::NormalizedString;

use super::Tokenizer;
use super::note::Note;
use super::prompt::Prompt;
use crate::Result;

impl Tokenizer {
    /// Encodes a prompt as [`Tokenizer::encode_prompt`] does; if tokens are unknown, in the Unicode normal form
    /// that leaves the fewest unknown. Returns the prompt in that form too. A note says if it is another one.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_prompt`].
    pub fn encode_prompt_in_known_form<'t>(&self, text: &'t str) -> Result<(Cow<'t, str>, Prompt)> {
        let unknown = |prompt: &Prompt| prompt.ids.iter().filter(|&&id| Some(id) == self.unknown()).count();
        let mut best = (Cow::Borrowed(text), self.encode_prompt(text)?);
        if unknown(&best.1) == 0 || text.is_ascii() {
            return Ok(best);
        }
        for (name, normal) in [("NFC", composed(text)), ("NFD", decomposed(text))] {
            let mut prompt = self.encode_prompt(&normal)?;
            if unknown(&prompt) < unknown(&best.1) {
                prompt.notes.insert(0, Note::Form(name));
                best = (Cow::Owned(normal), prompt);
            }
        }
        Ok(best)
    }
}

fn composed(text: &str) -> String {
    NormalizedString::from(text).nfc().get().to_string()
}

fn decomposed(text: &str) -> String {
    NormalizedString::from(text).nfd().get().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokenizer::Kind;

    #[test]
    fn unknown_prompts_are_read_in_the_form_of_the_vocabulary() {
        let (composed, decomposed) =
            ("한글 été", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af} e\u{301}te\u{301}");
        for kind in [Kind::Char, Kind::Word] {
            for (known, other, name) in [(composed, decomposed, "NFC"), (decomposed, composed, "NFD")] {
                let tokenizer = Tokenizer::train(&kind, [Ok(known.into())].into_iter(), None, false).unwrap();
                let expected = tokenizer.encode_prompt(known).unwrap();
                let (form, prompt) = tokenizer.encode_prompt_in_known_form(other).unwrap();
                assert_eq!((&*form, &prompt.ids), (known, &expected.ids), "{kind}");
                assert_eq!(prompt.notes, [Note::Form(name)]);
                // In its own form, and if no form helps, it stays as it is.
                let own = tokenizer.encode_prompt_in_known_form(known).unwrap();
                assert_eq!((&*own.0, own.1), (known, expected));
                let (form, prompt) = tokenizer.encode_prompt_in_known_form("ñ").unwrap();
                assert_eq!((&*form, prompt.notes), ("ñ", vec![Note::Unknown("ñ".into())]));
            }
        }
    }
}
