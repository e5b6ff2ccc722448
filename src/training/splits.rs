//! The training and validation splits of a run.

use crate::Result;
use crate::data::dataset::Dataset;

/// The training and validation splits.
#[derive(Debug)]
pub struct Splits {
    /// The data that gradients are computed on.
    pub train: Dataset,
    /// The data that selects the best parameters. If `None`, the last parameters are kept.
    pub valid: Option<Dataset>,
}

impl Splits {
    /// Compute a hash of both splits (FNV-1a), to detect data that has changed.
    ///
    /// # Errors
    /// If the tokens cannot be read back from disk.
    pub fn fingerprint(&self) -> Result<u64> {
        let valid = self.valid.as_ref().map(Dataset::fingerprint).transpose()?.unwrap_or_default();
        Ok(self.train.fingerprint()? ^ valid.rotate_left(1))
    }
}
