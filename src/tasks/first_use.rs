//! The first use of a trained model.

/// Command suggested after training, beside `rnn eval`.
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
    /// Draw forecasts of the last steps of the training data, which has no features of later ones.
    DrawForecast,
}
