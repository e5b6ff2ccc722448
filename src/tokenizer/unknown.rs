//! Counts of text that a tokenizer does not know.

use std::ops::AddAssign;

/// Counts of text that a tokenizer does not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    /// Unknown tokens.
    pub tokens: u64,
    /// Characters that are left out, because the tokenizer has neither a token for them nor an unknown token.
    pub dropped: u64,
}

impl Unknown {
    /// Unknown tokens and dropped characters together.
    pub fn total(self) -> u64 {
        self.tokens + self.dropped
    }
}

impl AddAssign for Unknown {
    fn add_assign(&mut self, other: Self) {
        self.tokens += other.tokens;
        self.dropped += other.dropped;
    }
}
