//! Sentences of words with tags, as numbers.

use std::collections::HashMap;

use candle_core::{Device, Tensor};
use rnn_zoo_models::{Inputs, Words};

use super::batch::{Batch, Examples, Targets};
use crate::Result;
use crate::listing::{counted, has, listed};

/// A sentence as numbers. Each field has one entry for each word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaggedSentence {
    /// Token of each word.
    pub tokens: Vec<u32>,
    /// Number of each word among the distinct words.
    pub spellings: Vec<u32>,
    /// For each further column, its value for each word.
    pub columns: Vec<Vec<u32>>,
    /// Tag of each word.
    pub tags: Vec<u32>,
}

/// Sentences of words with tags.
#[derive(Clone, Debug, Default)]
pub struct TaggedSentences {
    sentences: Vec<TaggedSentence>,
    /// The distinct words.
    words: Vec<String>,
    /// The characters of each distinct word, at least one.
    characters: Vec<Vec<u32>>,
    numbers: HashMap<String, u32>,
    /// The tags that the model does not have.
    foreign: Vec<String>,
    /// The number of words with such a tag.
    foreign_words: usize,
    notes: Vec<String>,
}

impl TaggedSentences {
    /// The number of `word` among the distinct words. A new word gets the next number; `characters` returns its
    /// characters.
    pub fn spelling(&mut self, word: &str, characters: impl FnOnce() -> Vec<u32>) -> u32 {
        if let Some(&number) = self.numbers.get(word) {
            return number;
        }
        let number = self.words.len() as u32;
        self.words.push(word.to_string());
        let mut characters = characters();
        if characters.is_empty() {
            characters.push(0);
        }
        self.characters.push(characters);
        self.numbers.insert(word.to_string(), number);
        number
    }

    /// Count a word with a tag that is none of the `known` tags of the model. Return the tag's number, which follows
    /// those of the model.
    pub fn foreign_tag(&mut self, tag: &str, known: usize) -> u32 {
        self.foreign_words += 1;
        let place = self.foreign.iter().position(|other| other == tag).unwrap_or_else(|| {
            self.foreign.push(tag.to_string());
            self.foreign.len() - 1
        });
        (known + place) as u32
    }

    /// Note the words with a tag that the model does not have, if there are any.
    #[must_use]
    pub fn with_note(mut self) -> Self {
        if self.foreign_words > 0 {
            let tags = listed(self.foreign.iter().map(|tag| format!("{tag:?}")), ", ");
            let (words, has) = (counted(self.foreign_words as u64, "word"), has(self.foreign_words as u64));
            self.notes.push(format!(
                "{words} {has} a tag that the model does not know ({tags}): an error in every metric, and the loss leaves \
                 the sentence out"
            ));
        }
        self
    }

    /// Add a sentence. Its spellings are numbers that [`TaggedSentences::spelling`] returned.
    pub fn push(&mut self, sentence: TaggedSentence) {
        self.sentences.push(sentence);
    }

    /// The words of these sentences, each distinct word once.
    fn words_of(&self, sentences: &[&TaggedSentence], time: usize, device: &Device) -> Result<Words> {
        let shape = (sentences.len(), time);
        let batch = |row: &dyn Fn(&TaggedSentence) -> Vec<u32>| -> Result<Tensor> {
            let rows = sentences.iter().flat_map(|sentence| {
                let mut row = row(sentence);
                row.resize(time, 0);
                row
            });
            Ok(Tensor::from_vec(rows.collect::<Vec<u32>>(), shape, device)?)
        };
        let mut places = HashMap::new();
        let mut distinct = vec![];
        for &spelling in sentences.iter().flat_map(|sentence| &sentence.spellings) {
            places.entry(spelling).or_insert_with(|| {
                distinct.push(&self.characters[spelling as usize]);
                distinct.len() as u32 - 1
            });
        }
        let longest = distinct.iter().map(|characters| characters.len()).max().unwrap_or(1);
        let mut characters = Vec::with_capacity(distinct.len() * longest);
        for word in &distinct {
            characters.extend_from_slice(word);
            characters.resize(characters.len() + longest - word.len(), 0);
        }
        let columns = sentences.first().map_or(0, |sentence| sentence.columns.len());
        Ok(Words {
            tokens: batch(&|sentence| sentence.tokens.clone())?,
            columns: (0..columns)
                .map(|column| batch(&|sentence| sentence.columns[column].clone()))
                .collect::<Result<_>>()?,
            spellings: batch(&|sentence| {
                sentence.spellings.iter().map(|spelling| places[spelling]).collect()
            })?,
            characters: Tensor::from_vec(characters, (distinct.len(), longest), device)?,
            character_counts: distinct.iter().map(|characters| characters.len()).collect(),
        })
    }
}

impl Examples for TaggedSentences {
    fn len(&self) -> usize {
        self.sentences.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch> {
        let sentences: Vec<&TaggedSentence> = rows.iter().map(|&row| &self.sentences[row]).collect();
        let lengths: Vec<usize> = sentences.iter().map(|sentence| sentence.tokens.len()).collect();
        let time = lengths.iter().copied().max().unwrap_or(0).max(1);
        let tags = sentences.iter().flat_map(|sentence| {
            let mut tags = sentence.tags.clone();
            tags.resize(time, 0);
            tags
        });
        let tags = Tensor::from_vec(tags.collect::<Vec<u32>>(), (sentences.len(), time), device)?;
        Ok(Batch {
            inputs: Inputs::Words(self.words_of(&sentences, time, device)?),
            targets: Targets::Classes(tags),
            lengths: lengths.iter().any(|&length| length < time).then_some(lengths),
            fresh: true,
        })
    }

    fn hash(&self, add: &mut dyn FnMut(u32)) {
        for TaggedSentence { tokens, spellings, columns, tags } in &self.sentences {
            add(tokens.len() as u32);
            let numbers = columns.iter().chain([tokens, spellings, tags]);
            numbers.flatten().for_each(|&number| add(number));
        }
        self.characters.iter().flatten().for_each(|&character| add(character));
    }

    fn for_each_token(&self, visit: &mut dyn FnMut(u32)) {
        self.sentences.iter().flat_map(|sentence| &sentence.tokens).for_each(|&token| visit(token));
    }

    fn foreign_labels(&self) -> &[String] {
        &self.foreign
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }

    fn parts(&self, row: usize) -> Vec<String> {
        let spellings = self.sentences[row].spellings.iter();
        spellings.map(|&spelling| self.words[spelling as usize].clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sentences() -> TaggedSentences {
        let mut data = TaggedSentences::default();
        for (words, tags) in [(["to", "be", "to"].as_slice(), [1, 2, 1].as_slice()), (&["go"], &[3])] {
            let characters = |word: &str| word.bytes().map(u32::from).collect();
            let spellings: Vec<u32> =
                words.iter().map(|word| data.spelling(word, || characters(word))).collect();
            let tokens = spellings.iter().map(|spelling| spelling + 10).collect();
            data.push(TaggedSentence {
                tokens,
                spellings,
                columns: vec![tags.to_vec()],
                tags: tags.to_vec(),
            });
        }
        data
    }

    #[test]
    fn a_batch_spells_each_distinct_word_once() {
        let data = sentences();
        let Batch { inputs, targets, lengths, .. } = data.batch(&[1, 0], &Device::Cpu).unwrap();
        let words = inputs.as_words().unwrap();
        let rows = |tensor: &Tensor| tensor.to_vec2::<u32>().unwrap();
        assert_eq!(rows(&words.tokens), [[12, 0, 0], [10, 11, 10]]);
        assert_eq!(rows(&words.spellings), [[0, 0, 0], [1, 2, 1]]);
        assert_eq!(rows(&words.columns[0]), [[3, 0, 0], [1, 2, 1]]);
        let spelled: Vec<Vec<u32>> =
            ["go", "to", "be"].iter().map(|word| word.bytes().map(u32::from).collect()).collect();
        assert_eq!((rows(&words.characters), &words.character_counts), (spelled, &vec![2; 3]));
        let Targets::Classes(tags) = targets else { panic!("tags are classes") };
        assert_eq!((rows(&tags), lengths), (vec![vec![3, 0, 0], vec![1, 2, 1]], Some(vec![1, 3])));
        assert_eq!(data.parts(0), ["to", "be", "to"]);
    }

    #[test]
    fn every_change_of_the_data_changes_the_hash() {
        let hash = |change: fn(&mut TaggedSentences)| {
            let mut data = sentences();
            change(&mut data);
            let mut words = vec![];
            data.hash(&mut |word| words.push(word));
            words
        };
        let plain = hash(|_| {});
        assert_eq!(plain, hash(|_| {}));
        assert_ne!(plain, hash(|data| data.sentences[0].tags[1] = 5));
        assert_ne!(plain, hash(|data| data.sentences[1].tokens[0] = 5));
        assert_ne!(plain, hash(|data| data.sentences[0].columns[0][2] = 5));
        assert_ne!(plain, hash(|data| data.characters[1][0] = 5));
    }
}
