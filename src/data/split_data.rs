//! The trait of data in splits, whatever it holds.

use super::corpus::Corpus;
use super::divided::{Divided, Items};
use super::source::Split;
use super::time_series::TimeSeriesCorpus;
use crate::Result;

/// Data in splits: text, sentences with tags, pairs of texts, series with classes, or time series.
pub trait SplitData {
    /// The split that is evaluated if none is named.
    fn default_split(&self) -> Split;

    /// The best split for a final evaluation.
    ///
    /// # Errors
    /// If a file cannot be read.
    fn held_out(&self) -> Result<Split>;

    /// A hash of a single file, to recognise the training data of a model; `None` for other sources.
    ///
    /// # Errors
    /// If the file cannot be read.
    fn fingerprint(&self) -> Result<Option<String>>;

    /// Notes for the user about the files of a split, or about those that training reads if it is `None`.
    /// Each is one line.
    ///
    /// # Errors
    /// If a file cannot be read.
    fn notes(&self, split: Option<Split>) -> Result<Vec<String>>;
}

impl SplitData for Corpus {
    fn default_split(&self) -> Split {
        self.default_split()
    }

    fn held_out(&self) -> Result<Split> {
        self.held_out()
    }

    fn fingerprint(&self) -> Result<Option<String>> {
        self.fingerprint()
    }

    fn notes(&self, split: Option<Split>) -> Result<Vec<String>> {
        self.notes(split)
    }
}

impl<F: Items> SplitData for Divided<F> {
    fn default_split(&self) -> Split {
        self.default_split()
    }

    fn held_out(&self) -> Result<Split> {
        self.held_out()
    }

    fn fingerprint(&self) -> Result<Option<String>> {
        self.fingerprint()
    }

    fn notes(&self, split: Option<Split>) -> Result<Vec<String>> {
        self.notes(split)
    }
}

impl SplitData for TimeSeriesCorpus {
    fn default_split(&self) -> Split {
        self.default_split()
    }

    fn held_out(&self) -> Result<Split> {
        Ok(self.held_out())
    }

    fn fingerprint(&self) -> Result<Option<String>> {
        self.fingerprint()
    }

    /// The notes about all splits, which are of one table.
    fn notes(&self, _split: Option<Split>) -> Result<Vec<String>> {
        Ok(self.notes())
    }
}
