//! Encoding a prompt, with substitutes for unknown words.

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
    /// Warnings for the user: what was replaced and what is unknown, each once.
    pub notes: Vec<Note>,
}

impl Tokenizer {
    /// Encodes a prompt, without an end token. A word outside the vocabulary is replaced by its capitalised, lower-case
    /// or upper-case form if that is known, and otherwise by `<unk>`. In a prompt of words, a newline is the end
    /// token.
    ///
    /// # Errors
    /// As [`Tokenizer::encode`].
    pub fn encode_prompt(&self, text: &str) -> Result<Prompt> {
        let mut prompt = Prompt::default();
        match self.encoder {
            Encoder::Words(_) => {
                for (number, line) in self.normalise(text).split('\n').enumerate() {
                    if number > 0 {
                        prompt.ids.extend(self.end);
                    }
                    line.split_whitespace().for_each(|word| self.prompt_word(word, &mut prompt));
                }
            }
            Encoder::Characters(_) => {
                prompt.ids = self.encode(text)?;
                for (character, &id) in character::split(&self.normalise(text)).zip(&prompt.ids) {
                    if Some(id) == self.unknown {
                        note(&mut prompt.notes, Note::Unknown(character.into()));
                    }
                }
            }
            Encoder::General { .. } => {
                prompt.ids = self.encode(text)?;
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
