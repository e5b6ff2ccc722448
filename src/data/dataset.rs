//! The data that a model is trained and evaluated on, cut into batches.
//!
//! A language model reads one long stream, cut into the rows of a batch. Each batch is the next window
//! of every row, and the state after one window is the initial state of the next (truncated backpropagation through
//! time). Other models read examples: shuffled every epoch, padded to the longest of their batch, each from a state of
//! zero.
//!
//! A batch depends only on its epoch and its number, so a run can resume at any batch.

use std::ops::Range;

use candle_core::Device;
use rand::seq::SliceRandom;

use super::batch::{Batch, Examples};
use super::cut::{Cut, Shuffle};
use super::example::Example;
use super::shard::Shard;
use super::tokens::SplitTokens;
use super::windows::Windows;
use crate::distributed::Communicator;
use crate::hash::Fnv1a;
use crate::rng::{self, Purpose, Rng};
use crate::tokenizer::Unknown;
use crate::{Error, Result};

/// A split, ready to be cut into batches.
#[derive(Debug)]
pub enum Dataset {
    /// A stream of tokens, each to be predicted from those before it.
    Stream {
        /// The tokens; each is a target.
        tokens: SplitTokens,
        /// The token that the model reads before the first.
        start: u32,
    },
    /// Independent examples.
    Examples(Box<dyn Examples>),
}

impl From<Vec<Example>> for Dataset {
    fn from(examples: Vec<Example>) -> Self {
        Self::Examples(Box::new(examples))
    }
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

    /// Count the text that a tokenizer does not know; `unknown` is its unknown token, if it has one. Characters that
    /// the tokenizer drops are counted in a stream alone.
    pub fn unknown(&self, unknown: Option<u32>) -> Unknown {
        match self {
            Self::Stream { tokens, .. } => tokens.unknown(),
            Self::Examples(examples) => {
                let mut tokens = 0;
                examples.for_each_token(&mut |token| tokens += u64::from(Some(token) == unknown));
                Unknown { tokens, dropped: 0 }
            }
        }
    }

    /// Notes for the user about the data, each one line.
    pub fn notes(&self) -> &[String] {
        match self {
            Self::Stream { .. } => &[],
            Self::Examples(examples) => examples.notes(),
        }
    }

    /// The classes that the model does not have; see [`Examples::foreign_labels`]. A stream has none.
    ///
    /// [`Examples::foreign_labels`]: super::batch::Examples::foreign_labels
    pub fn foreign_labels(&self) -> &[String] {
        match self {
            Self::Stream { .. } => &[],
            Self::Examples(examples) => examples.foreign_labels(),
        }
    }

    /// The parts of each example; see [`Examples::parts`]. A stream has none.
    pub fn parts(&self) -> Vec<Vec<String>> {
        match self {
            Self::Stream { .. } => vec![],
            Self::Examples(examples) => (0..examples.len()).map(|row| examples.parts(row)).collect(),
        }
    }

    /// The number of tokens that a model reads; 0 for features.
    pub fn token_count(&self) -> u64 {
        match self {
            Self::Stream { tokens, .. } => tokens.len(),
            Self::Examples(examples) => {
                let mut count = 0;
                examples.for_each_token(&mut |_| count += 1);
                count
            }
        }
    }

    /// A hash of all inputs and targets (FNV-1a), to detect data that has changed. The processes of `ranks` have the
    /// parts of a stream, and each has all examples.
    ///
    /// # Errors
    /// If the tokens cannot be read back from the disk.
    pub fn fingerprint(&self, ranks: &dyn Communicator) -> Result<u64> {
        let mut hash = Fnv1a::new();
        match self {
            Self::Stream { tokens, start } => {
                hash.add(*start);
                tokens.add_to(&mut hash, ranks)?;
            }
            Self::Examples(examples) => examples.hash(&mut |word| hash.add(word)),
        }
        Ok(hash.0)
    }

    /// Keep of a stream what this process reads in epochs of this cut: its share of the rows. The processes exchange
    /// the parts that they have encoded. Examples all stay, because every epoch shuffles them.
    ///
    /// # Errors
    /// As [`Dataset::epoch`], if the tokens cannot be read back from the disk, and if the temporary folder is full.
    pub fn keep_rows(&mut self, cut: Cut, ranks: &dyn Communicator) -> Result<()> {
        let count = self.len();
        match self {
            Self::Stream { tokens, .. } => tokens.keep(cut.span(count, ranks.shard())?, ranks),
            Self::Examples(_) => Ok(()),
        }
    }

    /// One pass over the data. With `shuffle`, examples come in an order that depends on its seed and epoch.
    ///
    /// # Errors
    /// If the training data is too short for one batch. The message names the options that would help.
    pub fn epoch(&self, cut: Cut, shuffle: Option<Shuffle>) -> Result<Epoch<'_>> {
        let (order, bounds) = match self {
            Self::Stream { .. } => (vec![], cut.bounds(cut.row_length(self.len())?, shuffle)),
            Self::Examples(examples) => {
                if cut.trim && examples.is_empty() {
                    return Err(Error::Message("the training split is empty; use more data".into()));
                }
                let mut order: Vec<usize> = (0..examples.len()).collect();
                if let Some(Shuffle { seed, epoch, similar_sizes }) = shuffle {
                    let mut rng = rng::stream(seed, Purpose::Shuffle, epoch as u64);
                    order.shuffle(&mut rng);
                    let has_size = order.first().is_some_and(|&row| examples.size(row).is_some());
                    if similar_sizes && has_size {
                        let bounds = bucket(&mut order, examples.as_ref(), cut.batch_size, &mut rng);
                        return Ok(Epoch { data: self, cut, order, bounds });
                    }
                }
                (order, (0..examples.len()).step_by(cut.batch_size).chain([examples.len()]).collect())
            }
        };
        Ok(Epoch { data: self, cut, order, bounds })
    }
}

/// Batches whose examples are sorted by size together.
const POOL: usize = 50;

/// Put examples of similar size side by side, in batches whose order is drawn. Return the bounds of the batches.
fn bucket(order: &mut Vec<usize>, examples: &dyn Examples, batch_size: usize, rng: &mut Rng) -> Vec<usize> {
    for pool in order.chunks_mut(batch_size.saturating_mul(POOL)) {
        pool.sort_by_key(|&row| examples.size(row));
    }
    let mut batches: Vec<&[usize]> = order.chunks(batch_size).collect();
    batches.shuffle(rng);
    let ends = batches.iter().scan(0, |end, batch| {
        *end += batch.len();
        Some(*end)
    });
    let bounds = [0].into_iter().chain(ends).collect();
    *order = batches.concat();
    bounds
}

/// One pass over a split.
#[derive(Debug)]
pub struct Epoch<'a> {
    data: &'a Dataset,
    cut: Cut,
    /// The order of the examples.
    order: Vec<usize>,
    /// The first time step of a row, or the first example of the order, of each batch; then the end of the last.
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
        let whole = self.shard(index, Shard::WHOLE, device)?;
        Ok(whole.expect("invariant: a batch has at least one row"))
    }

    /// The part of the batch with number `index` that one of several processes computes; `None` if the batch has fewer
    /// rows than there are processes, and none for this one.
    ///
    /// # Errors
    /// As [`Epoch::batch`].
    pub fn shard(&self, index: usize, shard: Shard, device: &Device) -> Result<Option<Batch>> {
        match self.data {
            Dataset::Stream { tokens, start } => {
                let rows = shard.rows(self.cut.batch_size);
                (!rows.is_empty()).then(|| self.window(index, rows, (tokens, *start), device)).transpose()
            }
            Dataset::Examples(examples) => {
                let rows = self.rows(index, shard);
                (!rows.is_empty()).then(|| examples.batch(&rows, device)).transpose()
            }
        }
    }

    /// The parts of each example of a share of the batch with number `index`; see [`Examples::parts`]. A stream has
    /// none.
    pub fn parts(&self, index: usize, shard: Shard) -> Vec<Vec<String>> {
        match self.data {
            Dataset::Stream { .. } => vec![],
            Dataset::Examples(examples) => {
                self.rows(index, shard).into_iter().map(|row| examples.parts(row)).collect()
            }
        }
    }

    /// The examples of a share of the batch with number `index`.
    fn rows(&self, index: usize, shard: Shard) -> Vec<usize> {
        shard.examples(&self.order[self.bounds[index]..self.bounds[index + 1]])
    }

    /// Window `index` of some of the rows. Token `t` is the target at step `t` and the input one step later.
    fn window(
        &self,
        index: usize,
        rows: Range<usize>,
        (tokens, start): (&SplitTokens, u32),
        device: &Device,
    ) -> Result<Batch> {
        let Cut { batch_size, trim, .. } = self.cut;
        let count = self.data.len();
        let row_length = if trim { count / batch_size } else { count.div_ceil(batch_size) };
        let from = self.bounds[index];
        let width = self.bounds[index + 1] - from;
        let mut windows = Windows::of(width);
        for row in rows {
            let begin = (row * row_length + from).min(count);
            let length = width.min(((row + 1) * row_length).min(count).saturating_sub(begin));
            let start = (begin == 0).then_some(start);
            windows.push(start, length, |before, span| tokens.read((begin - before) as u64, span))?;
        }
        windows.batch(index == 0, device)
    }
}

#[cfg(test)]
mod tests;
