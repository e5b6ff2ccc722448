//! Encoding a prompt, with substitutes for unknown words.

use std::collections::BTreeSet;

use super::character;
use super::encode::Tokenizer;
use super::encoder::Encoder;
use super::note::Note;
use crate::Result;

/// A prompt as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Warnings for the user, one for each distinct word or character that is replaced, unknown or left out.
    pub notes: Vec<Note>,
}

impl Tokenizer {
    /// Encode a prompt, without an end token. A word outside the vocabulary is replaced by its capitalised, lower-case
    /// or upper-case form if that is known, and otherwise by `<unk>`. In a prompt of words, a newline is the end
    /// token.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str) -> Result<Prompt> {
        let mut prompt = Prompt::default();
        match self.encoder {
            Encoder::Words(_) => {
                for (number, line) in self.normalize(text).split('\n').enumerate() {
                    if number > 0 {
                        prompt.ids.extend(self.end);
                    }
                    line.split_whitespace().for_each(|word| self.prompt_word(word, &mut prompt));
                }
            }
            Encoder::Characters(_) => {
                self.append(text, None, &mut prompt.ids)?;
                for (character, &id) in character::split(&self.normalize(text)).zip(&prompt.ids) {
                    if Some(id) == self.unknown {
                        prompt.notes.push(Note::Unknown(character.into()));
                    }
                }
            }
            Encoder::General { .. } => {
                let unknown = self.append(text, None, &mut prompt.ids)?;
                if unknown.tokens > 0 {
                    prompt.notes.push(Note::UnknownTokens(unknown.tokens as usize));
                }
                prompt.notes.extend(self.dropped(text).into_iter().map(Note::Dropped));
            }
        }
        let mut seen = BTreeSet::new();
        prompt.notes.retain(|note| seen.insert(note.clone()));
        Ok(prompt)
    }

    fn prompt_word(&self, word: &str, prompt: &mut Prompt) {
        if let Some(id) = self.id(word) {
            return prompt.ids.push(id);
        }
        let variants = [capitalised(word), word.to_lowercase(), word.to_uppercase()];
        let known = variants.iter().find_map(|variant| Some((variant, self.id(variant)?)));
        if let Some((variant, id)) = known {
            prompt.ids.push(id);
            prompt.notes.push(Note::Replaced(word.into(), variant.clone()));
        } else {
            prompt.ids.extend(self.unknown);
            prompt.notes.push(Note::Unknown(word.into()));
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters.flat_map(char::to_lowercase)).collect()
}
