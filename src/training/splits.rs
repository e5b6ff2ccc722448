//! The training and validation splits of a run.

use crate::Result;
use crate::data::cut::Cut;
use crate::data::dataset::Dataset;
use crate::distributed::Communicator;
use crate::inference::evaluate;

/// The training and validation splits.
#[derive(Debug)]
pub struct Splits {
    /// The data that gradients are computed on.
    pub train: Dataset,
    /// The data that selects the best parameters. If `None`, the last parameters are kept.
    pub valid: Option<Dataset>,
}

impl Splits {
    /// Compute a hash of both splits (FNV-1a), to detect data that has changed; see [`Dataset::fingerprint`].
    ///
    /// # Errors
    /// If the tokens cannot be read back from disk.
    pub fn fingerprint(&self, ranks: &dyn Communicator) -> Result<u64> {
        let valid = self.valid.as_ref().map(|valid| valid.fingerprint(ranks)).transpose()?;
        Ok(self.train.fingerprint(ranks)? ^ valid.unwrap_or_default().rotate_left(1))
    }

    /// Keep of running text the rows of this process: of training batches with that cut, and of validation, which has
    /// `valid_rows`. See [`Dataset::keep_rows`].
    ///
    /// # Errors
    /// As [`Dataset::keep_rows`].
    pub(super) fn keep_rows(
        &mut self,
        train: Cut,
        valid_rows: usize,
        ranks: &dyn Communicator,
    ) -> Result<()> {
        self.train.keep_rows(train, ranks)?;
        match &mut self.valid {
            Some(valid) => valid.keep_rows(evaluate::cut(valid, valid_rows), ranks),
            None => Ok(()),
        }
    }
}
