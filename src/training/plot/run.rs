//! A run in a picture.

use super::history::History;

/// A run in a picture.
#[derive(Clone, Debug)]
pub struct PlottedRun {
    /// The name in the legend.
    pub name: String,
    /// The metrics.
    pub history: History,
}
