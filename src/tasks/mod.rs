//! The tasks, and the data of a run: from the name of a source to splits that the training loop reads.

use std::fmt;
use std::sync::Arc;

use candle_core::Device;
use serde::{Deserialize, Serialize};

use crate::data::batch::{Dataset, Example, Input, Target};
use crate::data::builtin::{self, adding, copy, reber, story};
use crate::data::source::{Builtin, Source, Split};
use crate::data::tokens::TokenStream;
use crate::data::{Columns, Corpus, Fractions};
use crate::rng::{self, Purpose};
use crate::tokenizer::{Kind, Scheme, Tokenizer};
use crate::training::{LossUnit, Sampler, Splits};
use crate::{Error, Result};

/// Steps of a sequence of `builtin:adding`.
pub const ADDING_STEPS: usize = 100;

/// Symbols to remember and steps to wait in `builtin:copy`.
pub const COPY: (usize, usize) = (10, 40);

/// Tokens that validation during training reads at most, from the beginning of its split: enough to tell
/// checkpoints apart, whatever the size of the text. `rnn eval` reads all.
const VALIDATION_TOKENS: u64 = 250_000;

/// Sequences of the built-in tasks: training, validation, test.
const EXAMPLES: [usize; 3] = [20_000, 1_000, 1_000];

/// What a model is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Task {
    /// Predict the next token.
    Lm,
    /// One class for a whole text.
    Classify,
    /// One tag for every step.
    Tag,
    /// Numbers from numbers.
    Forecast,
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl Task {
    /// All tasks, in the order in which they are listed to users.
    pub const ALL: [Self; 4] = [Self::Lm, Self::Classify, Self::Tag, Self::Forecast];

    /// The name on the command line and in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lm => "lm",
            Self::Classify => "classify",
            Self::Tag => "tag",
            Self::Forecast => "forecast",
        }
    }

    /// One line about it, for help texts.
    pub fn summary(self) -> &'static str {
        match self {
            Self::Lm => "Predict the next token",
            Self::Classify => "One class for a whole text",
            Self::Tag => "One tag for every step",
            Self::Forecast => "Numbers from numbers",
        }
    }
}

/// Where a run's data comes from and how it is read; kept in a checkpoint, so that a resumed run reads
/// the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DataSpec {
    /// The name of the source.
    pub data: String,
    /// Columns of records.
    pub columns: Columns,
    /// Shares of a single file that are held out.
    pub fractions: Fractions,
    /// Seed of built-in data.
    pub seed: u64,
}

/// Where the tokenizer of a run comes from.
pub enum TokenizerSource {
    /// There is one already, with a model; `None` where the data is no text.
    Loaded(Option<Box<Tokenizer>>),
    /// It is built from the training split.
    Trained(TokenizerSpec),
}

/// How text becomes tokens.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenizerSpec {
    /// Characters, words, byte pairs or a file.
    pub kind: Kind,
    /// Most frequent tokens to keep.
    pub max_vocab: Option<usize>,
    /// Whether upper case is folded away.
    pub lowercase: bool,
}

/// Data that a model can be trained on.
pub struct Prepared {
    /// Training and validation.
    pub splits: Splits,
    /// How text becomes tokens; `None` where the data is none.
    pub tokenizer: Option<Tokenizer>,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// The column of records that the text is read from; `None` for running text.
    pub text_column: Option<String>,
    /// Inputs and outputs of the network.
    pub shape: Shape,
    /// What the loss means.
    pub unit: LossUnit,
}

/// What goes into a network and comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Tokens that can be read; `None` where features are.
    pub vocabulary: Option<usize>,
    /// Features of a step; where there are none the embedding's width decides.
    pub features: usize,
    /// Classes, tags or values.
    pub outputs: usize,
}

impl DataSpec {
    /// The task that the data itself asks for.
    ///
    /// # Errors
    /// If `data` names no source.
    pub fn natural_task(&self) -> Result<Task> {
        Ok(match self.source()? {
            Source::Builtin(Builtin::Adding) => Task::Forecast,
            Source::Builtin(Builtin::Copy) => Task::Tag,
            _ if self.columns.label.is_some() => Task::Classify,
            _ => Task::Lm,
        })
    }

    /// Where the data is.
    ///
    /// # Errors
    /// If `data` names no source.
    pub fn source(&self) -> Result<Source> {
        self.data.parse()
    }

    /// The text, for tasks that read text.
    ///
    /// # Errors
    /// Where it cannot be read, or is no text.
    pub fn corpus(&self) -> Result<Corpus> {
        Corpus::open(&self.source()?, &self.columns, self.seed)?.with_fractions(self.fractions)
    }

    /// The least loss that a model can reach on `split` of this data, in nats a token of `tokenizer`, where
    /// that is known: not where the tokenizer hides a part of the text, for what is left is easier.
    ///
    /// # Errors
    /// If `data` names no source.
    pub fn floor(&self, tokenizer: &Tokenizer, split: &Dataset) -> Result<Option<f64>> {
        let hides = match split {
            Dataset::Stream { tokens, .. } => tokens.unknown_count() > 0,
            Dataset::Examples(_) => true,
        };
        if hides || tokenizer.folds_case() {
            return Ok(None);
        }
        let floor: builtin::Floor = match self.source()? {
            Source::Builtin(Builtin::Story) => story::floor(),
            Source::Builtin(Builtin::Reber) => reber::floor(),
            _ => return Ok(None),
        };
        Ok(match tokenizer.scheme() {
            Scheme::Char => Some(floor.nats_per_character()),
            Scheme::Word => Some(floor.nats_per_word()),
            Scheme::Subword => None,
        })
    }

    /// Reads training and validation data for `task`; `labels` are the classes of a model that there is already.
    ///
    /// # Errors
    /// Where the data cannot be read, or does not suit the task.
    pub fn prepare(&self, task: Task, tokenizer: TokenizerSource, labels: Vec<String>) -> Result<Prepared> {
        self.check(task)?;
        if matches!(task, Task::Tag | Task::Forecast) {
            let splits =
                Splits { train: self.generate(Split::Train)?, valid: Some(self.generate(Split::Valid)?) };
            return Ok(Prepared {
                splits,
                tokenizer: None,
                labels,
                text_column: None,
                shape: task.builtin_shape(),
                unit: task.unit(),
            });
        }
        let corpus = self.corpus()?;
        let tokenizer = match tokenizer {
            TokenizerSource::Loaded(Some(tokenizer)) => *tokenizer,
            TokenizerSource::Loaded(None) => {
                return Err(Error::invalid("data", "is text, which the model does not read"));
            }
            TokenizerSource::Trained(TokenizerSpec { kind, max_vocab, lowercase }) => {
                Tokenizer::train(&kind, corpus.texts(Split::Train)?, max_vocab, lowercase)?
            }
        };
        let labels = match task {
            Task::Classify if labels.is_empty() => collect_labels(&corpus)?,
            _ => labels,
        };
        let read = |split| read(task, &corpus, split, &tokenizer, &labels);
        let train = read(Split::Train)?;
        let valid = if corpus.has(Split::Valid)? { Some(read(Split::Valid)?) } else { None };
        let mut valid = valid.filter(|valid| !valid.is_empty());
        if let Some(Dataset::Stream { tokens, .. }) = &mut valid {
            tokens.truncate(VALIDATION_TOKENS);
        }
        let vocabulary = tokenizer.vocabulary_size();
        let outputs = if task == Task::Lm { vocabulary } else { labels.len() };
        let mut unit = task.unit();
        if task == Task::Lm {
            unit.target = tokenizer.unit();
            unit.floor = self.floor(&tokenizer, &train)?;
        }
        let shape = Shape { vocabulary: Some(vocabulary), features: 0, outputs };
        let (splits, text_column) = (Splits { train, valid }, corpus.text_column().map(String::from));
        Ok(Prepared { splits, tokenizer: Some(tokenizer), labels, text_column, shape, unit })
    }

    /// Reads one split for a trained model.
    ///
    /// # Errors
    /// Where the data cannot be read, does not suit the task, or the split is empty.
    pub fn read_split(
        &self,
        task: Task,
        split: Option<Split>,
        tokenizer: Option<&Tokenizer>,
        labels: &[String],
    ) -> Result<(Dataset, Split)> {
        self.check(task)?;
        let Some(tokenizer) = tokenizer.filter(|_| matches!(task, Task::Lm | Task::Classify)) else {
            let split = split.unwrap_or(Split::Test);
            return Ok((self.generate(split)?, split));
        };
        let corpus = self.corpus()?;
        let split = split.unwrap_or_else(|| corpus.default_split());
        let dataset = read(task, &corpus, split, tokenizer, labels)?;
        if dataset.is_empty() {
            let problem = format!("its {split} split is empty; use more text or option `split = all`");
            return Err(Error::file(&self.data, problem));
        }
        Ok((dataset, split))
    }

    /// Refuses data that does not suit the task.
    fn check(&self, task: Task) -> Result<()> {
        let natural = self.natural_task()?;
        let own = |task| matches!(task, Task::Tag | Task::Forecast);
        if natural != task && (own(natural) || own(task)) {
            let fitting = match task {
                Task::Tag => "builtin:copy".to_string(),
                Task::Forecast => "builtin:adding".to_string(),
                _ => "text".to_string(),
            };
            let problem = format!("option `task = {}` needs {fitting}, not {}", task.name(), self.data);
            return Err(Error::invalid("data", problem));
        }
        if task == Task::Classify && self.columns.label.is_none() {
            let problem = "option `task = classify` needs the column that holds the classes, such as option \
                           `columns.label = label`";
            return Err(Error::invalid("columns.label", problem));
        }
        Ok(())
    }

    /// The sequences of a built-in task.
    fn generate(&self, split: Split) -> Result<Dataset> {
        let purposes = match split {
            Split::Train => vec![(Purpose::Train, EXAMPLES[0])],
            Split::Valid => vec![(Purpose::Valid, EXAMPLES[1])],
            Split::Test => vec![(Purpose::Test, EXAMPLES[2])],
            Split::All => {
                let purposes = [Purpose::Train, Purpose::Valid, Purpose::Test];
                purposes.into_iter().zip(EXAMPLES).collect()
            }
        };
        let copies = self.source()? == Source::Builtin(Builtin::Copy);
        let mut examples = vec![];
        for (purpose, count) in purposes {
            let rng = rng::stream(self.seed, purpose, 0);
            examples.extend(if copies { copy_examples(rng, count) } else { adding_examples(rng, count)? });
        }
        Ok(Dataset::Examples(examples))
    }
}

impl Task {
    /// The shape of the built-in data for a task that does not read text.
    fn builtin_shape(self) -> Shape {
        match self {
            Self::Tag => {
                let vocabulary = copy::VOCABULARY;
                Shape { vocabulary: Some(vocabulary), features: 0, outputs: vocabulary }
            }
            _ => Shape { vocabulary: None, features: 2, outputs: 1 },
        }
    }

    /// What the loss of this task means, before anything is known of the data.
    pub fn unit(self) -> LossUnit {
        let target = match self {
            Self::Lm => "token",
            Self::Classify => "text",
            Self::Tag => "tag",
            Self::Forecast => "sequence",
        };
        LossUnit { target, nats: self != Self::Forecast, floor: None }
    }
}

/// Samples of a run's model, as it learns to write.
pub fn sampler(tokenizer: Arc<Tokenizer>, records: bool, seed: u64, device: &Device) -> Sampler {
    let length = match tokenizer.scheme() {
        Scheme::Char => 200,
        _ => 40,
    };
    Sampler { start: tokenizer.start(records), tokenizer, length, seed, device: device.clone() }
}

fn read(
    task: Task,
    corpus: &Corpus,
    split: Split,
    tokenizer: &Tokenizer,
    labels: &[String],
) -> Result<Dataset> {
    if task == Task::Lm {
        let tokens = TokenStream::encode(corpus, split, tokenizer)?;
        return Ok(Dataset::Stream { tokens, start: tokenizer.start(corpus.is_records()) });
    }
    let examples = corpus.pieces(split)?.map(|piece| {
        let piece = piece?;
        let label = piece.label.unwrap_or_default();
        let Ok(class) = labels.binary_search(&label) else {
            let problem = format!(
                "its {split} split has the class {label:?}, but the model knows only {}; leave such records out, or \
                 train anew on all classes",
                labels.join(", ")
            );
            return Err(Error::file(corpus.name(), problem));
        };
        let input = Input::Tokens(tokenizer.encode(&piece.text)?);
        Ok(Example { input, target: Target::Class(class as u32) })
    });
    Ok(Dataset::Examples(examples.collect::<Result<_>>()?))
}

/// The classes of the training split, sorted.
fn collect_labels(corpus: &Corpus) -> Result<Vec<String>> {
    let mut labels = std::collections::BTreeSet::new();
    for piece in corpus.pieces(Split::Train)? {
        labels.extend(piece?.label);
    }
    if labels.len() < 2 {
        let problem = format!("{} has {} class; expected at least two", corpus.name(), labels.len());
        return Err(Error::invalid("columns.label", problem));
    }
    Ok(labels.into_iter().collect())
}

fn adding_examples(rng: rng::Rng, count: usize) -> Result<Vec<Example>> {
    let examples = adding::examples(rng, count, ADDING_STEPS)?;
    let example = |example: adding::AddingExample| Example {
        input: Input::Features { values: example.features.concat(), width: 2 },
        target: Target::Values(vec![example.target]),
    };
    Ok(examples.map(example).collect())
}

fn copy_examples(rng: rng::Rng, count: usize) -> Vec<Example> {
    let examples = copy::examples(rng, count, COPY.0, COPY.1);
    let example = |example: copy::CopyExample| Example {
        input: Input::Tokens(example.tokens),
        target: Target::Tags(example.tags),
    };
    examples.map(example).collect()
}

#[cfg(test)]
mod tests;
