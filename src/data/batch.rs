//! Batches of the data that a model is trained and evaluated on.
//!
//! A language model reads one long stream, cut into as many lanes as the batch has rows. Each batch is the next window
//! of every lane, and the state after one window is the initial state of the next (truncated backpropagation through
//! time). Other models read examples: shuffled every epoch, padded to the longest of their batch, each from a state of
//! zero.
//!
//! A batch depends only on its epoch and its number, so a run can resume at any batch.

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;

pub use super::cut::Cut;
use super::tokens::TokenStream;
use crate::hash::Fnv1a;
use crate::rng::{self, Purpose};
use crate::tokenizer::Unknown;
use crate::{Error, Result};

/// A sequence with its target.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// The input of the model.
    pub input: Input,
    /// The expected output.
    pub target: Target,
}

/// The input of a model for one sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// One token for each time step.
    Tokens(Vec<u32>),
    /// `width` features for each time step, one step after the other.
    Features {
        /// The features, (time, width), flattened.
        values: Vec<f32>,
        /// The number of features of a step; at least 1.
        width: usize,
    },
}

impl Input {
    /// The number of time steps.
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Features { values, width } => values.len() / width,
        }
    }

    /// The tokens; empty for features.
    pub fn tokens(&self) -> &[u32] {
        match self {
            Self::Tokens(tokens) => tokens,
            Self::Features { .. } => &[],
        }
    }

    /// Whether there are no time steps.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The expected output of a model for one sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// One class for the sequence.
    Class(u32),
    /// One tag for each time step.
    Tags(Vec<u32>),
    /// Numbers; every sequence has equally many.
    Values(Vec<f32>),
}

/// The sequences of a batch, on the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Tokens (batch, time) or features (batch, time, features).
    pub inputs: Tensor,
    /// The expected outputs.
    pub targets: Targets,
    /// The number of time steps of each sequence, if they differ; later steps are padding.
    pub lengths: Option<Vec<usize>>,
    /// Whether the state starts at zero. Otherwise it continues from the batch before.
    pub fresh: bool,
}

/// The expected outputs of a batch.
#[derive(Clone, Debug)]
pub enum Targets {
    /// Numbers of classes: u32, (batch, time), or (batch) for one class for each sequence.
    Classes(Tensor),
    /// Numbers, (batch, values).
    Values(Tensor),
}

/// A split, ready to be cut into batches.
#[derive(Debug)]
pub enum Dataset {
    /// A stream of tokens, each to be predicted from those before it.
    Stream {
        /// The tokens; each is a target.
        tokens: TokenStream,
        /// The token that the model reads before the first.
        start: u32,
    },
    /// Independent sequences.
    Examples(Vec<Example>),
}

impl Dataset {
    /// The number of tokens or of examples.
    pub fn len(&self) -> usize {
        match self {
            Self::Stream { tokens, .. } => tokens.len() as usize,
            Self::Examples(examples) => examples.len(),
        }
    }

    /// Whether there are no tokens or examples.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Count the text that a tokenizer does not know; `unknown` is its unknown token, if it has one. Characters that the
    /// tokenizer drops are counted in a stream alone.
    pub fn unknown(&self, unknown: Option<u32>) -> Unknown {
        match self {
            Self::Stream { tokens, .. } => tokens.unknown(),
            Self::Examples(examples) => {
                let is_unknown = |token: &&u32| Some(**token) == unknown;
                let tokens = examples.iter().flat_map(|example| example.input.tokens()).filter(is_unknown);
                Unknown { tokens: tokens.count() as u64, dropped: 0 }
            }
        }
    }

    /// The number of tokens that a model reads; 0 for features.
    pub fn token_count(&self) -> u64 {
        match self {
            Self::Stream { tokens, .. } => tokens.len(),
            Self::Examples(examples) => {
                examples.iter().map(|example| example.input.tokens().len() as u64).sum()
            }
        }
    }

    /// A hash of all inputs and targets (FNV-1a), to detect data that has changed.
    ///
    /// # Errors
    /// If the tokens cannot be read back from the disk.
    pub fn fingerprint(&self) -> Result<u64> {
        let mut hash = Fnv1a::new();
        let mut add = |word: u32| hash.add(word);
        match self {
            Self::Stream { tokens, start } => {
                add(*start);
                let mut ids = vec![0; 1 << 16];
                let mut at = 0;
                while at < tokens.len() {
                    let ids = &mut ids[..(tokens.len() - at).min(1 << 16) as usize];
                    tokens.read(at, ids)?;
                    ids.iter().for_each(|&id| add(id));
                    at += ids.len() as u64;
                }
            }
            Self::Examples(examples) => {
                for Example { input, target } in examples {
                    add(input.len() as u32);
                    match input {
                        Input::Tokens(tokens) => tokens.iter().for_each(|&token| add(token)),
                        Input::Features { values, .. } => {
                            values.iter().for_each(|value| add(value.to_bits()));
                        }
                    }
                    match target {
                        Target::Class(class) => add(*class),
                        Target::Tags(tags) => tags.iter().for_each(|&tag| add(tag)),
                        Target::Values(values) => values.iter().for_each(|value| add(value.to_bits())),
                    }
                }
            }
        }
        Ok(hash.0)
    }

    /// One pass over the data. With `shuffle`, a seed and an epoch, examples come in an order that depends on both.
    ///
    /// # Errors
    /// If the training data is too short for one batch. The message names the options that would help.
    pub fn epoch(&self, cut: Cut, shuffle: Option<(u64, usize)>) -> Result<Epoch<'_>> {
        let (order, bounds) = match self {
            Self::Stream { .. } => (vec![], cut.bounds(cut.lane_length(self.len())?, shuffle)),
            Self::Examples(examples) => {
                if cut.trim && examples.is_empty() {
                    return Err(Error::Message("the training split is empty; use more data".into()));
                }
                let mut order: Vec<usize> = (0..examples.len()).collect();
                if let Some((seed, epoch)) = shuffle {
                    order.shuffle(&mut rng::stream(seed, Purpose::Shuffle, epoch as u64));
                }
                (order, (0..examples.len()).step_by(cut.batch_size).chain([examples.len()]).collect())
            }
        };
        Ok(Epoch { data: self, cut, order, bounds })
    }
}

/// One pass over a split.
#[derive(Debug)]
pub struct Epoch<'a> {
    data: &'a Dataset,
    cut: Cut,
    /// The order of the examples.
    order: Vec<usize>,
    /// The first time step of a lane, or the first example of the order, of each batch; then the end of the last.
    bounds: Vec<usize>,
}

impl Epoch<'_> {
    /// The number of batches.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Whether there are no batches.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch with number `index`.
    ///
    /// # Errors
    /// If the tokens cannot be read back from the disk, and errors from candle.
    pub fn batch(&self, index: usize, device: &Device) -> Result<Batch> {
        match self.data {
            Dataset::Stream { tokens, start } => self.window(index, tokens, *start, device),
            Dataset::Examples(examples) => {
                let rows: Vec<&Example> = self.order[self.bounds[index]..self.bounds[index + 1]]
                    .iter()
                    .map(|&row| &examples[row])
                    .collect();
                pad(&rows, device)
            }
        }
    }

    /// Window `index` of every lane. Token `t` is the target at step `t` and the input one step later.
    fn window(&self, index: usize, tokens: &TokenStream, start: u32, device: &Device) -> Result<Batch> {
        let Cut { batch_size, trim, .. } = self.cut;
        let count = self.data.len();
        let lane = if trim { count / batch_size } else { count.div_ceil(batch_size) };
        let from = self.bounds[index];
        let width = self.bounds[index + 1] - from;
        let mut windows = Windows::of(width);
        for row in 0..batch_size {
            let begin = (row * lane + from).min(count);
            let length = width.min(((row + 1) * lane).min(count).saturating_sub(begin));
            let start = (begin == 0).then_some(start);
            windows.push(start, length, |before, span| tokens.read((begin - before) as u64, span))?;
        }
        windows.batch(index == 0, device)
    }
}

/// A window of the same time steps of several texts: token `t` is the target at step `t` and the input one step later.
pub(crate) struct Windows {
    width: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    lengths: Vec<usize>,
}

impl Windows {
    /// A window of `width` time steps, without texts.
    pub(crate) fn of(width: usize) -> Self {
        Self { width, inputs: vec![], targets: vec![], lengths: vec![] }
    }

    /// Add `length` steps of a text. `start` is the token that is read before the first token of a text. It is `None` if
    /// the window begins later in the text; then the token before the window is read. `read` fills the span that it is
    /// given; its first argument is the number of tokens of the span that are before the window.
    pub(crate) fn push(
        &mut self,
        start: Option<u32>,
        length: usize,
        read: impl FnOnce(usize, &mut [u32]) -> Result<()>,
    ) -> Result<()> {
        let mut span = vec![0; self.width + 1]; // the token before the window, then the window
        if let Some(start) = start {
            span[0] = start;
        }
        if length > 0 {
            let before = usize::from(start.is_none());
            read(before, &mut span[1 - before..=length])?;
        }
        self.inputs.extend_from_slice(&span[..self.width]);
        self.targets.extend_from_slice(&span[1..]);
        self.lengths.push(length);
        Ok(())
    }

    /// The batch of all texts. `fresh` tells whether the state starts at zero.
    pub(crate) fn batch(self, fresh: bool, device: &Device) -> Result<Batch> {
        let shape = (self.lengths.len(), self.width);
        Ok(Batch {
            inputs: Tensor::from_vec(self.inputs, shape, device)?,
            targets: Targets::Classes(Tensor::from_vec(self.targets, shape, device)?),
            lengths: self.lengths.iter().any(|&length| length < self.width).then_some(self.lengths),
            fresh,
        })
    }
}

/// A batch of sequences, padded with zeros to the longest.
fn pad(rows: &[&Example], device: &Device) -> Result<Batch> {
    let lengths: Vec<usize> = rows.iter().map(|row| row.input.len()).collect();
    let time = lengths.iter().copied().max().unwrap_or(0).max(1);
    let batch = rows.len();
    let inputs = match &rows[0].input {
        Input::Tokens(_) => {
            let padded = rows.iter().flat_map(|row| match &row.input {
                Input::Tokens(tokens) => padded(tokens, time),
                Input::Features { .. } => vec![0; time],
            });
            Tensor::from_vec(padded.collect::<Vec<u32>>(), (batch, time), device)?
        }
        &Input::Features { width, .. } => {
            let padded = rows.iter().flat_map(|row| match &row.input {
                Input::Features { values, .. } => padded(values, time * width),
                Input::Tokens(_) => vec![0.; time * width],
            });
            Tensor::from_vec(padded.collect::<Vec<f32>>(), (batch, time, width), device)?
        }
    };
    Ok(Batch {
        inputs,
        targets: targets(rows, time, device)?,
        lengths: lengths.iter().any(|&length| length < time).then_some(lengths),
        fresh: true,
    })
}

/// The targets of sequences padded to `time` steps.
fn targets(rows: &[&Example], time: usize, device: &Device) -> Result<Targets> {
    let batch = rows.len();
    Ok(match &rows[0].target {
        Target::Values(values) => {
            let count = values.len();
            let all = rows.iter().flat_map(|row| match &row.target {
                Target::Values(values) => values.clone(),
                Target::Class(_) | Target::Tags(_) => vec![0.; count],
            });
            Targets::Values(Tensor::from_vec(all.collect::<Vec<f32>>(), (batch, count), device)?)
        }
        Target::Class(_) => {
            let all = rows.iter().map(|row| if let Target::Class(class) = row.target { class } else { 0 });
            Targets::Classes(Tensor::from_vec(all.collect::<Vec<u32>>(), batch, device)?)
        }
        Target::Tags(_) => {
            let all = rows.iter().flat_map(|row| match &row.target {
                Target::Tags(tags) => padded(tags, time),
                Target::Class(_) | Target::Values(_) => vec![0; time],
            });
            Targets::Classes(Tensor::from_vec(all.collect::<Vec<u32>>(), (batch, time), device)?)
        }
    })
}

/// `row`, padded with zeros to `length`.
fn padded<T: Copy + Default>(row: &[T], length: usize) -> Vec<T> {
    let mut row = row.to_vec();
    row.resize(length, T::default());
    row
}

#[cfg(test)]
mod tests;
