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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn stream(count: usize) -> Dataset {
        Dataset::Stream { tokens: TokenStream::from_ids(&ids(count)), start: START }
    }

    /// Before the first token.
    const START: u32 = 60_000;

    fn ids(count: usize) -> Vec<u32> {
        (1..=count as u32).collect()
    }

    /// Examples whose every element tells which of them it is; the lengths go through 0, 1, 2, 3, 4.
    fn examples(count: usize) -> Dataset {
        let example = |index: usize| {
            let row = vec![index as u32 + 1; index % 5];
            Example { input: Input::Tokens(row.clone()), target: Target::Tags(row) }
        };
        Dataset::Examples((0..count).map(example).collect())
    }

    fn rows(tensor: &Tensor) -> Vec<Vec<u32>> {
        tensor.to_vec2().unwrap()
    }

    fn classes(batch: &Batch) -> &Tensor {
        match &batch.targets {
            Targets::Classes(classes) => classes,
            Targets::Values(_) => panic!("tokens are classes"),
        }
    }

    /// What each lane reads and what it should answer in a whole epoch, padding left out.
    fn lanes(epoch: &Epoch<'_>, count: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
        let mut lanes = vec![(vec![], vec![]); count];
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, &Device::Cpu).unwrap();
            assert_eq!(batch.fresh, index == 0, "the state goes on from window to window");
            let (inputs, targets) = (rows(&batch.inputs), rows(classes(&batch)));
            for (row, (read, answer)) in lanes.iter_mut().enumerate() {
                let length = batch.lengths.as_ref().map_or(inputs[row].len(), |lengths| lengths[row]);
                read.extend_from_slice(&inputs[row][..length]);
                answer.extend_from_slice(&targets[row][..length]);
            }
        }
        lanes
    }

    fn numbers(text: &str) -> Vec<usize> {
        text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
    }

    proptest! {
        #[test]
        fn evaluation_asks_for_every_token_once_after_the_one_before_it(
            count in 1..200usize, lane_count in 1..40usize, window in 1..60usize,
        ) {
            let data = stream(count);
            let batch_size = lane_count.min(count);
            let epoch = data.epoch(Cut { batch_size, window, trim: false, vary: false }, None).unwrap();
            let lanes = lanes(&epoch, batch_size);
            let targets: Vec<u32> = lanes.iter().flat_map(|(_, targets)| targets.clone()).collect();
            prop_assert_eq!(targets, ids(count));
            for (token, before) in lanes.iter().flat_map(|(read, targets)| targets.iter().zip(read)) {
                prop_assert_eq!(*before, if *token == 1 { START } else { token - 1 });
            }
        }

        #[test]
        fn training_lanes_are_equally_long_stretches_and_read_the_target_before(
            batch_size in 1..9usize, window in 1..20usize, more in 0..200usize,
        ) {
            let count = batch_size * window + more;
            let data = stream(count);
            let epoch = data.epoch(Cut { batch_size, window, trim: true, vary: false }, None).unwrap();
            prop_assert!((0..epoch.len()).all(|index| epoch.batch(index, &Device::Cpu).unwrap().lengths.is_none()));
            let length = count / batch_size;
            for (lane, (read, targets)) in lanes(&epoch, batch_size).into_iter().enumerate() {
                prop_assert_eq!(&targets, &ids(count)[lane * length..][..length]);
                prop_assert_eq!(&read[1..], &targets[..length - 1]);
                prop_assert_eq!(read[0], if lane == 0 { START } else { targets[0] - 1 });
            }
        }

        #[test]
        fn a_stream_too_short_for_a_window_is_told_a_cut_that_fits(
            count in 4..300usize, batch_size in 1..40usize, window in 1..60usize,
        ) {
            prop_assume!(count < batch_size * window);
            let data = stream(count);
            let problem = data.epoch(Cut { batch_size, window, trim: true, vary: false }, None).unwrap_err().to_string();
            let [tokens, _, _, batch_size, window] = numbers(&problem)[..] else { panic!("{problem}") };
            prop_assert_eq!(tokens, count);
            prop_assert!(data.epoch(Cut { batch_size, window, trim: true, vary: false }, None).is_ok(), "{}", problem);
        }

        #[test]
        fn an_epoch_of_examples_is_a_permutation_that_seed_and_epoch_decide(
            count in 20..60usize, batch_size in 1..9usize, seed: u64, number in 0..1000usize,
        ) {
            let data = examples(count);
            let cut = Cut { batch_size, window: 1, trim: true, vary: false };
            let order = |shuffle| data.epoch(cut, shuffle).unwrap().order;
            let drawn = order(Some((seed, number)));
            let mut sorted = drawn.clone();
            sorted.sort_unstable();
            prop_assert_eq!(&sorted, &(0..count).collect::<Vec<_>>());
            prop_assert_eq!(&order(None), &sorted);
            prop_assert_eq!(&order(Some((seed, number))), &drawn);
            prop_assert_ne!(&order(Some((seed, number + 1))), &drawn);
            prop_assert_ne!(&order(Some((seed.wrapping_add(1), number))), &drawn);
        }

        #[test]
        fn batches_of_examples_hold_each_once_padded_to_the_longest(
            count in 1..40usize, batch_size in 1..9usize, seed: u64,
        ) {
            let data = examples(count);
            let epoch = data.epoch(Cut { batch_size, window: 1, trim: true, vary: false }, Some((seed, 0))).unwrap();
            let mut seen = 0;
            for index in 0..epoch.len() {
                let batch = epoch.batch(index, &Device::Cpu).unwrap();
                let (inputs, targets) = (rows(&batch.inputs), rows(classes(&batch)));
                prop_assert!(batch.fresh && inputs.len() <= batch_size);
                for (row, input) in inputs.iter().enumerate() {
                    let number = epoch.order[seen];
                    let length = batch.lengths.as_ref().map_or(input.len(), |lengths| lengths[row]);
                    prop_assert_eq!(length, number % 5);
                    let expected: Vec<u32> =
                        (0..input.len()).map(|t| if t < length { number as u32 + 1 } else { 0 }).collect();
                    prop_assert_eq!((input, &targets[row]), (&expected, &expected));
                    seen += 1;
                }
            }
            prop_assert_eq!(seen, count);
        }
    }

    #[test]
    fn features_and_values_are_padded_like_tokens() {
        let example = |steps: usize, value: f32| Example {
            input: Input::Features { values: vec![value; 2 * steps], width: 2 },
            target: Target::Values(vec![value]),
        };
        let data = Dataset::Examples(vec![example(1, 3.), example(2, 4.)]);
        let epoch = data.epoch(Cut { batch_size: 2, window: 1, trim: true, vary: false }, None).unwrap();
        let Batch { inputs, targets, lengths, .. } = epoch.batch(0, &Device::Cpu).unwrap();
        assert_eq!(inputs.to_vec3::<f32>().unwrap(), [[[3., 3.], [0., 0.]], [[4., 4.], [4., 4.]]]);
        let Targets::Values(values) = targets else { panic!("{targets:?}") };
        assert_eq!((values.to_vec2::<f32>().unwrap(), lengths), (vec![vec![3.], vec![4.]], Some(vec![1, 2])));
    }

    #[test]
    fn varied_windows_read_every_token_once_and_are_others_in_every_epoch() {
        let data = stream(20 * 2000);
        let cut = Cut { batch_size: 20, window: 35, trim: true, vary: true };
        let widths = |seed, number| {
            let epoch = data.epoch(cut, Some((seed, number))).unwrap();
            let read = lanes(&epoch, 20);
            let fixed = data.epoch(Cut { vary: false, ..cut }, None).unwrap();
            assert_eq!(read, lanes(&fixed, 20));
            let width = |index| epoch.batch(index, &Device::Cpu).unwrap().inputs.dim(1).unwrap();
            (0..epoch.len()).map(width).collect::<Vec<_>>()
        };
        let first = widths(1, 0);
        assert_eq!(first, widths(1, 0));
        assert_ne!(first, widths(1, 1));
        assert_ne!(first, widths(2, 0));
        // All but the last, which ends with the lane: around 35, some around half of it.
        let mut whole = first[..first.len() - 1].to_vec();
        assert!(whole.iter().all(|width| (5..=45).contains(width)), "{whole:?}");
        whole.sort_unstable();
        assert!((33..=37).contains(&whole[whole.len() / 2]), "{whole:?}");
    }

    #[test]
    fn data_too_short_for_one_batch_is_an_error_that_says_what_helps() {
        let cut = Cut { batch_size: 20, window: 35, trim: true, vary: false };
        let problem = |data: &Dataset| data.epoch(cut, None).unwrap_err().to_string();
        assert_eq!(
            problem(&stream(100)),
            "the training split has 100 tokens, fewer than one window of --batch-size 20 times --bptt 35; use \
             more text, or --batch-size 10 --bptt 10"
        );
        assert!(problem(&stream(0)).ends_with("; use more text"));
        assert_eq!(problem(&examples(0)), "the training split is empty; use more data");
    }
}
