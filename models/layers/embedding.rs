//! The embedding layer: a row of features for every token.

use candle_core::{Result, bail};

/// The largest vocabulary: far beyond any language, and within what can be allocated.
const LARGEST_VOCABULARY: usize = 1 << 24;

/// Refuses a vocabulary that nothing could be built for.
pub(crate) fn check_vocabulary(size: usize) -> Result<()> {
    if (1..=LARGEST_VOCABULARY).contains(&size) {
        return Ok(());
    }
    bail!("vocabulary_size is {size}; expected 1 to {LARGEST_VOCABULARY}")
}
