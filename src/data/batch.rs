//! What a model is trained and evaluated on, a batch at a time.
//!
//! A language model reads one long stream, cut into as many lanes as the batch has rows. Each batch is
//! the next window of every lane, so that the state of one window is the beginning of the next
//! (truncated backpropagation through time). Everything else is examples: shuffled anew every epoch,
//! padded to the longest of their batch, each from a state of zero.
//!
//! Any batch of any epoch can be made from its number alone, which is what makes a run resumable.

use candle_core::{Device, Tensor};
use rand::seq::SliceRandom;

pub use super::cut::Cut;
use super::tokens::TokenStream;
use crate::hash::Fnv1a;
use crate::rng::{self, Purpose};
use crate::{Error, Result};

/// One sequence with what should be said of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Example {
    /// What the model reads.
    pub input: Input,
    /// What it should answer.
    pub target: Target,
}

/// What a model reads of one sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Input {
    /// One token a step.
    Tokens(Vec<u32>),
    /// `width` features a step, one step after the other.
    Features {
        /// time * width numbers.
        values: Vec<f32>,
        /// Features of a step; at least 1.
        width: usize,
    },
}

impl Input {
    /// Number of steps.
    pub fn len(&self) -> usize {
        match self {
            Self::Tokens(tokens) => tokens.len(),
            Self::Features { values, width } => values.len() / width,
        }
    }

    /// Whether there is no step at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What a model should answer to one sequence.
#[derive(Clone, Debug, PartialEq)]
pub enum Target {
    /// One class for all of it.
    Class(u32),
    /// One tag a step.
    Tags(Vec<u32>),
    /// Numbers, the same count for every sequence.
    Values(Vec<f32>),
}

/// Sequences of one batch on the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Tokens (batch, time) or features (batch, time, features).
    pub inputs: Tensor,
    /// What should come out.
    pub targets: Targets,
    /// Steps of each sequence where they differ; what lies past them is padding.
    pub lengths: Option<Vec<usize>>,
    /// Whether the state starts at zero; else it goes on from the batch before.
    pub fresh: bool,
}

/// What should come out of a batch.
#[derive(Clone, Debug)]
pub enum Targets {
    /// One of the outputs: (batch, time) u32, or (batch) for one answer a sequence.
    Classes(Tensor),
    /// Numbers: (batch, values).
    Values(Tensor),
}

/// A split, ready to be cut into batches.
#[derive(Debug)]
pub enum Dataset {
    /// Tokens to be predicted one from another, and the token before the first.
    Stream {
        /// All tokens; each is a target.
        tokens: TokenStream,
        /// What the model reads before the first of them.
        start: u32,
    },
    /// Sequences apart.
    Examples(Vec<Example>),
}

impl Dataset {
    /// Tokens, or examples.
    pub fn len(&self) -> usize {
        match self {
            Self::Stream { tokens, .. } => tokens.len() as usize,
            Self::Examples(examples) => examples.len(),
        }
    }

    /// Whether there is nothing to read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The share of the tokens that are `unknown`, which is the tokenizer's token for what it does not know.
    pub fn unknown_share(&self, unknown: u32) -> f64 {
        let (count, of) = self.unknown_count(unknown);
        count as f64 / of.max(1) as f64
    }

    /// The number of tokens that are `unknown`, which is the tokenizer's token for what it does not know, and the number of
    /// all tokens.
    pub fn unknown_count(&self, unknown: u32) -> (u64, u64) {
        match self {
            Self::Stream { tokens, .. } => (tokens.unknown_count(), tokens.len()),
            Self::Examples(examples) => {
                let tokens = examples.iter().filter_map(|example| match &example.input {
                    Input::Tokens(tokens) => Some(tokens),
                    Input::Features { .. } => None,
                });
                let count = |(count, of), &token| (count + u64::from(token == unknown), of + 1);
                tokens.flatten().fold((0, 0), count)
            }
        }
    }

    /// A number that tells this data from any other (FNV-1a over all that a model reads and is asked for).
    ///
    /// # Errors
    /// Where the tokens cannot be read back from the disk.
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

    /// One pass over the data. With `shuffle`, examples come in an order that the seed and the epoch
    /// decide.
    ///
    /// # Errors
    /// Where the data is too short for one batch; the message says which flags would help.
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
    /// Of examples.
    order: Vec<usize>,
    /// Where each batch begins, in steps of a lane or examples of the order, and where the last ends.
    bounds: Vec<usize>,
}

impl Epoch<'_> {
    /// Number of batches.
    pub fn len(&self) -> usize {
        self.bounds.len() - 1
    }

    /// Whether there is no batch.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch of that number.
    ///
    /// # Errors
    /// Where the tokens cannot be read back from the disk, and those of the device.
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

/// The same steps of several texts: token `t` is the target at step `t` and the input one step later.
pub(crate) struct Windows {
    width: usize,
    inputs: Vec<u32>,
    targets: Vec<u32>,
    lengths: Vec<usize>,
}

impl Windows {
    /// Of so many steps; no text yet.
    pub(crate) fn of(width: usize) -> Self {
        Self { width, inputs: vec![], targets: vec![], lengths: vec![] }
    }

    /// `length` steps of one more text. `start` is what is read before the first token of a text; where the
    /// window begins further in, that is the token before it. `read` fills the span that it is given; its first
    /// argument says how many tokens of the span lie before the window.
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

/// Sequences padded with zeros to the longest.
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

/// `row` with zeros (whatever zero is of its kind) up to `length`.
fn padded<T: Copy + Default>(row: &[T], length: usize) -> Vec<T> {
    let mut row = row.to_vec();
    row.resize(length, T::default());
    row
}

#[cfg(test)]
mod tests;
