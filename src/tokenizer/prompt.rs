//! A user's prompt, met halfway.

use super::note::Note;
use super::{Scheme, Tokenizer, character};
use crate::Result;

/// A prompt as tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// The tokens.
    pub ids: Vec<u32>,
    /// Warnings for the user: what was replaced and what is unknown, each once.
    pub notes: Vec<Note>,
}

impl Tokenizer {
    /// Encodes a prompt. A word outside the vocabulary is tried capitalised, in lower and in upper case
    /// before it becomes `<unk>`; a line end in a prompt of words is the end token. Nothing is appended.
    ///
    /// # Errors
    /// As [`Tokenizer::encode_piece`].
    pub fn encode_prompt(&self, text: &str) -> Result<Prompt> {
        let mut prompt = Prompt::default();
        match self.scheme {
            Scheme::Words(_) => {
                for (number, line) in self.normalise(text).split('\n').enumerate() {
                    if number > 0 {
                        prompt.ids.extend(self.end);
                    }
                    line.split_whitespace().for_each(|word| self.prompt_word(word, &mut prompt));
                }
            }
            Scheme::Characters(_) => {
                self.encode_text(text, &mut prompt.ids)?;
                for (character, &id) in character::split(&self.normalise(text)).zip(&prompt.ids) {
                    if Some(id) == self.unknown {
                        note(&mut prompt.notes, Note::Unknown(character.into()));
                    }
                }
            }
            Scheme::General { .. } => {
                self.encode_text(text, &mut prompt.ids)?;
                let unknown = prompt.ids.iter().filter(|&&id| Some(id) == self.unknown).count();
                if unknown > 0 {
                    prompt.notes.push(Note::UnknownTokens(unknown));
                }
            }
        }
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
            note(&mut prompt.notes, Note::Replaced(word.into(), variant.clone()));
        } else {
            prompt.ids.extend(self.unknown);
            note(&mut prompt.notes, Note::Unknown(word.into()));
        }
    }
}

fn capitalised(word: &str) -> String {
    let mut letters = word.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters.flat_map(char::to_lowercase)).collect()
}

/// Says everything once, however often it occurs.
fn note(notes: &mut Vec<Note>, note: Note) {
    if !notes.contains(&note) {
        notes.push(note);
    }
}
