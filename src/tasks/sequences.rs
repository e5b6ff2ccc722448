//! Data of tasks on built-in sequences.

use crate::Result;
use crate::data::batch::{Dataset, Example};
use crate::data::source::Split;
use crate::rng::{self, Purpose, Rng};
use crate::training::Splits;

/// Number of sequences for training, validation and test.
pub(super) const EXAMPLES: [usize; 3] = [20_000, 1_000, 1_000];

/// The training and validation splits. `examples` draws a number of examples.
pub(super) fn splits(seed: u64, examples: impl Fn(Rng, usize) -> Result<Vec<Example>>) -> Result<Splits> {
    Ok(Splits {
        train: split(seed, Split::Train, &examples)?,
        valid: Some(split(seed, Split::Valid, &examples)?),
    })
}

/// One split. `examples` draws a number of examples.
pub(super) fn split(
    seed: u64,
    split: Split,
    examples: impl Fn(Rng, usize) -> Result<Vec<Example>>,
) -> Result<Dataset> {
    let parts = [Purpose::Train, Purpose::Valid, Purpose::Test].into_iter().zip(EXAMPLES);
    let mut found = vec![];
    for (at, (purpose, count)) in parts.enumerate() {
        if split == Split::All || split == [Split::Train, Split::Valid, Split::Test][at] {
            found.extend(examples(rng::stream(seed, purpose, 0), count)?);
        }
    }
    Ok(Dataset::Examples(found))
}
