//! How much of the data is unknown to a model's tokenizer.

use rnn_zoo::data::batch::Dataset;
use rnn_zoo::tokenizer::Tokenizer;

/// Numbers of tokens in the data of a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Tokens that the tokenizer does not know.
    pub count: u64,
    /// All tokens.
    pub of: u64,
}

impl Unknown {
    /// Counts the tokens of `data`; `None` if the model does not read text or its tokenizer has no unknown token.
    pub fn count(data: &Dataset, tokenizer: Option<&Tokenizer>) -> Option<Self> {
        let (count, of) = data.unknown_count(tokenizer?.unknown()?);
        Some(Self { count, of })
    }

    /// The count and its share in words; `None` if nothing is unknown. `unit` is the name of a token.
    pub fn text(self, unit: &str) -> Option<String> {
        let Self { count, of } = self;
        let share = 100. * count as f64 / of.max(1) as f64;
        (count > 0).then(|| format!("{count} of {of} {unit}s ({share:.2} %) are unknown to the model"))
    }
}
