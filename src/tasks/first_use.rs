//! The first use of a trained model.

/// The first use of a trained model, besides its evaluation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FirstUse {
    /// Generate a text of this many tokens.
    Generate {
        /// Number of tokens.
        length: usize,
    },
    /// Answer a single text.
    AnswerText,
    /// Answer the sequences of the training data's source.
    AnswerData,
}
