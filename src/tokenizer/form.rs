//! Prompts in another Unicode normal form: text that looks the same can be spelt with composed (NFC) or decomposed
//! characters (NFD).

use std::borrow::Cow;

use super::Tokenizer;
use super::normalizer::UnicodeForm;
use super::note::Note;
use super::prompt::Prompt;
use crate::Result;

impl Tokenizer {
    /// Encode a prompt as [`Tokenizer::encode_prompt`] does, in the Unicode form of the training text. If that is not
    /// known and tokens are unknown, it is the form that leaves the fewest unknown. Returns the prompt in that form
    /// and with the line ends of the vocabulary too. A note says if the form is another one.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_prompt`].
    pub fn encode_prompt_in_known_form<'t>(&self, text: &'t str) -> Result<(Cow<'t, str>, Prompt)> {
        let normal = self.normalizer.apply_but_case(text);
        let mut best = (normal.clone(), self.encode_prompt(&normal)?);
        if let Some(form) = self.normalizer.form {
            let is_other = form.of(text) != text;
            best.1.notes.splice(0..0, is_other.then_some(Note::Form(form.name())));
            return Ok(best);
        }
        let unknown = |prompt: &Prompt| prompt.ids.iter().filter(|&&id| Some(id) == self.unknown()).count();
        if unknown(&best.1) == 0 || text.is_ascii() {
            return Ok(best);
        }
        for form in UnicodeForm::ALL {
            let normal = form.of(&normal);
            let mut prompt = self.encode_prompt(&normal)?;
            if unknown(&prompt) < unknown(&best.1) {
                prompt.notes.insert(0, Note::Form(form.name()));
                best = (Cow::Owned(normal.into_owned()), prompt);
            }
        }
        Ok(best)
    }
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
                // A prompt in the known form stays as it is.
                let unchanged = tokenizer.encode_prompt_in_known_form(known).unwrap();
                assert_eq!((&*unchanged.0, unchanged.1), (known, expected));
                // Unknown characters stay unknown in the known form.
                let (_, prompt) = tokenizer.encode_prompt_in_known_form("ñ").unwrap();
                assert!(prompt.notes.iter().any(|note| matches!(note, Note::Unknown(_))), "{prompt:?}");
            }
        }
    }
}
