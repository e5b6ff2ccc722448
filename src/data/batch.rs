//! A batch: the inputs and targets of one step, on the device.

use std::fmt;

use candle_core::{Device, Tensor};
use rnn_zoo_models::Inputs;

use super::time_series::WindowTargets;
use crate::Result;

/// The sequences of a batch, on the device.
#[derive(Clone, Debug)]
pub struct Batch {
    /// The inputs of the network.
    pub inputs: Inputs,
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
    /// Numbers of classes, u32, (batch), each with its weight in the loss, f32, (batch).
    Weighted {
        /// The classes.
        classes: Tensor,
        /// The weights.
        weights: Tensor,
    },
    /// Numbers, (batch, values).
    Values(Tensor),
    /// The steps that follow windows of time series.
    Windows(WindowTargets),
}

/// A split of independent examples, from which batches are made.
pub trait Examples: fmt::Debug + Send + Sync {
    /// The number of examples.
    fn len(&self) -> usize;

    /// Whether there are no examples.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The batch of the examples with these numbers, in this order; there is at least one.
    ///
    /// # Errors
    /// Errors from candle.
    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch>;

    /// Call `add` with every number of all inputs and targets, so that a hash of them detects data that has changed.
    fn hash(&self, add: &mut dyn FnMut(u32));

    /// Call `visit` with every token of the inputs.
    fn for_each_token(&self, _visit: &mut dyn FnMut(u32)) {}

    /// The parts of an example as the user wrote them, for answers: the words of a sentence, the text to translate.
    fn parts(&self, _row: usize) -> Vec<String> {
        vec![]
    }

    /// The size of an example, such as its number of steps. If examples have sizes, the batches of a shuffled epoch
    /// have examples of similar size, so that they need less padding.
    fn size(&self, _row: usize) -> Option<usize> {
        None
    }

    /// The names of classes that occur among the targets and that the model does not have. Their numbers follow those
    /// of the model's classes.
    fn foreign_labels(&self) -> &[String] {
        &[]
    }

    /// Notes for the user about the examples, each one line.
    fn notes(&self) -> &[String] {
        &[]
    }
}
