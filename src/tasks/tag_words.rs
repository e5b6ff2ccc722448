//! Sentences of words as data of the tagger.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::data_spec::{DataSpec, Known, Origin, Prepared, TaggingColumns, TokenizerSpec};
use super::names::Names;
use super::shape::NetworkShape;
use super::spans::are_spans;
use super::text;
use crate::data::column_file::{ColumnFile, Sentence};
use crate::data::dataset::Dataset;
use crate::data::divided::{Divided, ItemsOf};
use crate::data::source::Split;
use crate::data::tagged::{TaggedSentence, TaggedSentences};
use crate::listing::listed;
use crate::tokenizer::{Kind, Limits, Tokenizer};
use crate::training::{LossUnit, Splits};
use crate::{Error, Result};

/// Fewest times that a word occurs in training to have an embedding of its own, if the user names no number. The others
/// are unknown, so that the embedding of unknown words is trained.
const FEWEST: u64 = 2;

/// The description of a tagger's inputs and outputs besides its words and tags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct TagSchema {
    /// The characters of the training split, sorted; number 0 is that of all others.
    pub characters: String,
    /// For each further column, the values in the training split, sorted; number 0 is that of all others.
    pub columns: Vec<Vec<String>>,
    /// The columns of the training data.
    pub data: TaggingColumns,
    /// Whether the tags mark spans, as BIO does.
    pub spans: bool,
}

impl TagSchema {
    /// The schema of a model; `None` if it tags built-in sequences.
    ///
    /// # Errors
    /// If the schema is not one of a tagger.
    pub(super) fn read(schema: &Value) -> Result<Option<Self>> {
        match schema {
            Value::Null => Ok(None),
            schema => Self::deserialize(schema)
                .map(Some)
                .map_err(|error| Error::schema(format!("is not one of a tagger: {error}"))),
        }
    }

    /// The schema of a model that reads words alone and gives them these tags.
    pub(super) fn of_words(labels: &[String]) -> Self {
        Self { spans: are_spans(labels.iter().map(String::as_str)), ..Self::default() }
    }

    /// The sizes of the vocabularies of the further columns.
    pub(super) fn column_sizes(&self) -> impl Iterator<Item = usize> {
        self.columns.iter().map(|values| values.len() + 1)
    }

    /// The number of different characters.
    pub(super) fn character_count(&self) -> usize {
        self.characters.chars().count() + 1
    }
}

/// Read training and validation data.
pub(super) fn prepare(data: &DataSpec, origin: Origin, unit: LossUnit) -> Result<Prepared> {
    let corpus = data.column_corpus(None)?;
    let (tokenizer, labels, schema) = match origin {
        Origin::Trained(spec) => learn(&corpus, data, &spec)?,
        Origin::Loaded(Known { tokenizer, labels, schema }) => {
            let tokenizer = *tokenizer.ok_or_else(|| text::unread("sentences of words"))?;
            let schema = TagSchema::read(&schema)?.ok_or_else(|| text::unread("sentences of words"))?;
            (tokenizer, labels, schema)
        }
    };
    let encoder = WordEncoder::new(&tokenizer, &labels, &schema);
    let valid = match corpus.has(Split::Valid)? {
        true => Some(encoder.read(&corpus, Split::Valid, TagRule::Count)?),
        false => None,
    };
    let splits = Splits { train: encoder.read(&corpus, Split::Train, TagRule::Refuse)?, valid };
    Ok(Prepared {
        splits,
        text_column: None,
        shape: NetworkShape {
            vocabulary: Some(tokenizer.vocabulary_size()),
            features: 0,
            outputs: labels.len(),
        },
        unit,
        schema: serde_json::to_value(&schema).map_err(|error| Error::Message(error.to_string()))?,
        tokenizer: Some(tokenizer),
        labels,
    })
}

/// Read a split for a trained model. Without `tagged`, the tags of the data are ignored.
pub(super) fn read_split(
    data: &DataSpec,
    split: Option<Split>,
    names: Names<'_>,
    schema: &TagSchema,
    tagged: bool,
) -> Result<(Dataset, Split)> {
    let corpus = match tagged {
        true => data.column_corpus(Some(&schema.data))?,
        false => data.untagged_corpus(Some(&schema.data))?,
    };
    let split = split.unwrap_or_else(|| corpus.default_split());
    let encoder = WordEncoder::new(text::require(names.tokenizer)?, names.labels, schema);
    let rule = if tagged { TagRule::Count } else { TagRule::Ignore };
    Ok((encoder.read(&corpus, split, rule)?, split))
}

/// Read texts, each a sentence of words between blanks.
pub(super) fn read_texts(texts: &[String], names: Names<'_>) -> Result<Dataset> {
    let schema = TagSchema::read(names.schema)?.unwrap_or_default();
    if !schema.columns.is_empty() {
        let columns = listed(schema.data.features.iter().map(ToString::to_string), ", ");
        let problem = format!(
            "the model also reads column {columns} of each word, which plain text does not have; give it a column file"
        );
        return Err(Error::Message(problem));
    }
    let encoder = WordEncoder::new(text::require(names.tokenizer)?, names.labels, &schema);
    let sentences = texts.iter().map(|text| {
        let words: Vec<String> = text.split_whitespace().map(String::from).collect();
        Ok(Sentence { words, ..Sentence::default() })
    });
    encoder.encode(Box::new(sentences.collect::<Vec<_>>().into_iter()), "the text", TagRule::Ignore)
}

/// The tokenizer, the tags and the schema of the training split.
fn learn(
    corpus: &Divided<ColumnFile>,
    data: &DataSpec,
    spec: &TokenizerSpec,
) -> Result<(Tokenizer, Vec<String>, TagSchema)> {
    if spec.kind != Kind::Word {
        let problem = "a tagger of column files reads words; leave it out, or use option `tokenizer = word`";
        return Err(Error::invalid("tokenizer", problem));
    }
    let mut words = vec![];
    let (mut tags, mut characters) = (BTreeSet::new(), BTreeSet::new());
    let mut columns: Vec<BTreeSet<String>> = vec![];
    for sentence in corpus.items(Split::Train)? {
        let sentence = sentence?;
        tags.extend(sentence.tags);
        columns.resize(sentence.features.len(), BTreeSet::new());
        for (known, values) in columns.iter_mut().zip(sentence.features) {
            known.extend(values);
        }
        for word in sentence.words {
            characters.extend(word.chars());
            words.push(word);
        }
    }
    if tags.len() < 2 {
        let found = listed(tags.iter(), ", ");
        let problem = format!("the training split has one tag ({found}); expected at least two");
        return Err(Error::file(&data.data, problem));
    }
    // If no word occurs twice, all words are known instead of none.
    let mut seen = HashSet::new();
    let default = words.iter().any(|word| !seen.insert(word)).then_some(FEWEST);
    let limits = Limits { min_count: spec.limits.min_count.or(default), ..spec.limits };
    let texts = words.into_iter().map(Ok);
    let tokenizer = Tokenizer::train(&Kind::Word, texts, limits, spec.lowercase)?;
    let schema = TagSchema {
        characters: characters.into_iter().collect(),
        columns: columns.into_iter().map(|values| values.into_iter().collect()).collect(),
        data: data.tagging.clone().unwrap_or_default(),
        spans: are_spans(&tags),
    };
    Ok((tokenizer, tags.into_iter().collect(), schema))
}

/// The treatment of the tags of sentences.
#[derive(Clone, Copy)]
enum TagRule {
    /// A tag that the model does not know is an error: it cannot be learned.
    Refuse,
    /// A tag that the model does not know gets a number beyond those of the model, so that it counts as an error.
    Count,
    /// The tags are not read.
    Ignore,
}

/// Converts sentences to numbers.
struct WordEncoder<'a> {
    tokenizer: &'a Tokenizer,
    labels: &'a [String],
    /// The number of each tag. Those of a converted model are in the order of its outputs.
    numbers: HashMap<&'a str, u32>,
    schema: &'a TagSchema,
    characters: HashMap<char, u32>,
}

impl<'a> WordEncoder<'a> {
    fn new(tokenizer: &'a Tokenizer, labels: &'a [String], schema: &'a TagSchema) -> Self {
        let characters = schema.characters.chars().zip(1..).collect();
        let numbers = labels.iter().map(String::as_str).zip(0..).collect();
        Self { tokenizer, labels, numbers, schema, characters }
    }

    fn read(&self, corpus: &Divided<ColumnFile>, split: Split, rule: TagRule) -> Result<Dataset> {
        let path = corpus.path().display();
        let name = match split {
            Split::All => path.to_string(),
            Split::Train | Split::Valid | Split::Test => format!("the {split} split of {path}"),
        };
        self.encode(corpus.items(split)?, &name, rule)
    }

    /// Convert sentences. `name` is that of the data in errors.
    fn encode(&self, sentences: ItemsOf<Sentence>, name: &str, rule: TagRule) -> Result<Dataset> {
        let mut data = TaggedSentences::default();
        let mut tokens = HashMap::new();
        let mut first_values = vec![];
        let mut is_known = vec![false; self.schema.columns.len()];
        for sentence in sentences {
            let sentence = sentence?;
            if first_values.is_empty() {
                first_values =
                    sentence.features.iter().filter_map(|values| values.first().cloned()).collect();
            }
            let spell =
                |word: &str| word.chars().map(|c| self.characters.get(&c).copied().unwrap_or(0)).collect();
            let spellings: Vec<u32> =
                sentence.words.iter().map(|word| data.spelling(word, || spell(word))).collect();
            for (word, &spelling) in sentence.words.iter().zip(&spellings) {
                if let std::collections::hash_map::Entry::Vacant(entry) = tokens.entry(spelling) {
                    entry.insert(self.token(word)?);
                }
            }
            let tags = match rule {
                TagRule::Ignore => vec![0; spellings.len()],
                TagRule::Refuse => {
                    self.tags(&sentence, |place| Err(self.unknown_tag(&sentence, place, name)))?
                }
                TagRule::Count => {
                    let known = self.labels.len();
                    self.tags(&sentence, |place| Ok(data.foreign_tag(&sentence.tags[place], known)))?
                }
            };
            let columns = self.columns(&sentence);
            for (is_known, values) in is_known.iter_mut().zip(&columns) {
                *is_known |= values.iter().any(|&value| value > 0);
            }
            let tokens = spellings.iter().map(|spelling| tokens[spelling]).collect();
            data.push(TaggedSentence { tokens, columns, tags, spellings });
        }
        if let Some((column, (_, first))) =
            is_known.iter().zip(&first_values).enumerate().find(|(_, (is_known, _))| !**is_known)
        {
            return Err(self.foreign_column(column, first, name));
        }
        Ok(Dataset::Examples(Box::new(data.with_note())))
    }

    /// The token of a word, which may hold blanks.
    fn token(&self, word: &str) -> Result<u32> {
        let unknown = self.tokenizer.unknown();
        match (self.tokenizer.encode(word)?.as_slice(), unknown) {
            (&[token], _) | (_, Some(token)) => Ok(token),
            (_, None) => Err(Error::Message(format!(
                "the tokenizer has no token for the word {word:?}; use one with an unknown token"
            ))),
        }
    }

    fn columns(&self, sentence: &Sentence) -> Vec<Vec<u32>> {
        let number =
            |known: &[String], value: &String| known.binary_search(value).map_or(0, |place| place as u32 + 1);
        let columns = self.schema.columns.iter().zip(&sentence.features);
        columns.map(|(known, values)| values.iter().map(|value| number(known, value)).collect()).collect()
    }

    /// The numbers of the tags. `foreign` gives that of a word whose tag the model does not know, by its place.
    fn tags(&self, sentence: &Sentence, mut foreign: impl FnMut(usize) -> Result<u32>) -> Result<Vec<u32>> {
        let number = |(place, tag): (usize, &String)| match self.numbers.get(tag.as_str()) {
            Some(&number) => Ok(number),
            None => foreign(place),
        };
        sentence.tags.iter().enumerate().map(number).collect()
    }

    /// An error about a further column without any value of training, such as one that holds the tags.
    fn foreign_column(&self, column: usize, first: &str, name: &str) -> Error {
        let place = self.schema.data.features.get(column).map(ToString::to_string).unwrap_or_default();
        let tags = if self.labels.iter().any(|tag| tag == first) { "tags such as " } else { "" };
        let known = listed(&self.schema.columns[column], ", ");
        let problem = format!(
            "column {place} of {name} holds {tags}{first:?} and none of the values that the model was trained on ({known}); \
             name the columns that hold those"
        );
        Error::invalid("tagging.features", problem)
    }

    /// An error about the tag of the word at `place`.
    fn unknown_tag(&self, sentence: &Sentence, place: usize, name: &str) -> Error {
        let (word, tag) = (&sentence.words[place], &sentence.tags[place]);
        Error::Message(format!(
            "{name} has the tag {tag:?} (word {word:?} of the sentence from line {} on), but the model knows only {}; \
             leave such sentences out, or train a new model on all tags",
            sentence.line,
            listed(self.labels, ", ")
        ))
    }
}
