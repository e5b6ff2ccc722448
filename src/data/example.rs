//! Sequences of tokens or features with their targets.

use candle_core::{Device, Tensor};

use super::batch::{Batch, Examples, Targets};
use crate::Result;

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

impl Examples for Vec<Example> {
    fn len(&self) -> usize {
        self.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch> {
        let rows: Vec<&Example> = rows.iter().map(|&row| &self[row]).collect();
        pad(&rows, device)
    }

    fn hash(&self, add: &mut dyn FnMut(u32)) {
        for Example { input, target } in self {
            add(input.len() as u32);
            match input {
                Input::Tokens(tokens) => tokens.iter().for_each(|&token| add(token)),
                Input::Features { values, .. } => values.iter().for_each(|value| add(value.to_bits())),
            }
            match target {
                Target::Class(class) => add(*class),
                Target::Tags(tags) => tags.iter().for_each(|&tag| add(tag)),
                Target::Values(values) => values.iter().for_each(|value| add(value.to_bits())),
            }
        }
    }

    fn for_each_token(&self, visit: &mut dyn FnMut(u32)) {
        self.iter().flat_map(|example| example.input.tokens()).for_each(|&token| visit(token));
    }

    /// Texts with a class have a size, their number of tokens.
    fn size(&self, row: usize) -> Option<usize> {
        match &self[row] {
            Example { input: Input::Tokens(tokens), target: Target::Class(_) } => Some(tokens.len()),
            _ => None,
        }
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
        inputs: inputs.into(),
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
