//! Data of tasks on built-in sequences.

use serde_json::Value;

use super::data_spec::{DataSpec, Prepared};
use super::shape::NetworkShape;
use crate::Result;
use crate::data::dataset::Dataset;
use crate::data::example::Example;
use crate::data::source::{Builtin, Split};
use crate::rng::{self, Purpose, Rng};
use crate::training::{LossUnit, Splits};

/// Number of sequences for training, validation and test.
pub(super) const EXAMPLES: [usize; 3] = [20_000, 1_000, 1_000];

/// Built-in sequences that one task learns from.
pub(super) struct Sequences {
    /// The name of the task, for errors.
    pub task: &'static str,
    /// The source.
    pub builtin: Builtin,
    /// Draws a number of examples.
    pub examples: fn(Rng, usize) -> Result<Vec<Example>>,
}

impl Sequences {
    /// The training and validation splits of `data`.
    ///
    /// # Errors
    /// If `data` has another source.
    pub(super) fn prepare(
        &self,
        data: &DataSpec,
        labels: &[String],
        shape: NetworkShape,
        unit: LossUnit,
    ) -> Result<Prepared> {
        data.require_builtin(self.task, self.builtin)?;
        let split = |split| self.split(data.seed, split);
        let splits = Splits { train: split(Split::Train)?, valid: Some(split(Split::Valid)?) };
        Ok(Prepared {
            splits,
            tokenizer: None,
            labels: labels.to_vec(),
            text_column: None,
            shape,
            unit,
            schema: Value::Null,
        })
    }

    /// One split of `data`, by default the test split, and its name.
    ///
    /// # Errors
    /// If `data` has another source.
    pub(super) fn read_split(&self, data: &DataSpec, split: Option<Split>) -> Result<(Dataset, Split)> {
        data.require_builtin(self.task, self.builtin)?;
        let split = split.unwrap_or(Split::Test);
        Ok((self.split(data.seed, split)?, split))
    }

    fn split(&self, seed: u64, split: Split) -> Result<Dataset> {
        let parts = [Purpose::Train, Purpose::Valid, Purpose::Test].into_iter().zip(EXAMPLES);
        let mut found = vec![];
        for (at, (purpose, count)) in parts.enumerate() {
            if split == Split::All || split == [Split::Train, Split::Valid, Split::Test][at] {
                found.extend((self.examples)(rng::stream(seed, purpose, 0), count)?);
            }
        }
        Ok(found.into())
    }
}
