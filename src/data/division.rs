//! The division of a file into train, valid and test.

use serde::{Deserialize, Serialize};

use super::fractions::Fractions;

/// Rule that selects held-out records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SplitRule {
    /// The last records of the file, the rule of older runs. Records without text or label count; a folder without a
    /// validation file has no validation split.
    #[default]
    Tail,
    /// Records drawn at random, the same share of each class. The draw depends on the file alone, not on the seed of
    /// a run, so that runs are compared on the same records. Records without text or label are skipped; a folder
    /// without a validation file holds out a fraction of its training file.
    Drawn,
}

/// A division of a file. Running text is always divided contiguously, in the order train, valid, test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Division {
    /// The fractions for validation and testing.
    pub fractions: Fractions,
    /// The records that are set aside.
    pub rule: SplitRule,
    /// Whether the split of all records includes those without text or label.
    pub incomplete: bool,
}
