//! The rule by which a tokenizer turns text into token numbers.

use std::collections::HashMap;

/// The rule by which a tokenizer turns text into token numbers.
#[derive(Clone, Debug)]
pub(super) enum Encoder {
    Characters(CharacterTable),
    Words(HashMap<String, u32>),
    /// Encodes with the tokenizers library. `byte_level` tells whether tokens spell bytes.
    General {
        byte_level: bool,
    },
}

/// Token numbers of characters.
#[derive(Clone, Debug)]
pub(super) struct CharacterTable {
    /// Characters of one code point, by code point.
    single: Vec<u32>,
    /// Characters of several code points.
    composed: HashMap<String, u32>,
    unknown: u32,
}

impl CharacterTable {
    pub(super) fn new(vocabulary: impl Iterator<Item = (String, u32)>, unknown: u32) -> Self {
        let mut table = Self { single: Vec::new(), composed: HashMap::new(), unknown };
        for (text, id) in vocabulary {
            match single_code_point(&text) {
                Some(point) => {
                    let index = point as usize;
                    if index >= table.single.len() {
                        table.single.resize(index + 1, unknown);
                    }
                    table.single[index] = id;
                }
                None => {
                    table.composed.insert(text, id);
                }
            }
        }
        table
    }

    /// The number of a character, or of the unknown token.
    pub(super) fn id(&self, character: &str) -> u32 {
        let found = match single_code_point(character) {
            Some(point) => self.single.get(point as usize),
            None => self.composed.get(character),
        };
        found.copied().unwrap_or(self.unknown)
    }
}

/// The only code point of `text`; `None` if there are more or fewer.
fn single_code_point(text: &str) -> Option<char> {
    let mut points = text.chars();
    points.next().filter(|_| points.next().is_none())
}
