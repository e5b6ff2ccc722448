//! Counts of tokens that a model's tokenizer does not know.

use rnn_zoo::data::dataset::Dataset;
use rnn_zoo::tokenizer::{Tokenizer, Unknown};

/// Count the unknown tokens of `data`; `None` if the model does not read text.
pub fn count(data: &Dataset, tokenizer: Option<&Tokenizer>) -> Option<Unknown> {
    Some(data.unknown(tokenizer?.unknown()))
}

/// Return the count and its share in words; `None` if nothing is unknown.
pub fn line(data: &Dataset, tokenizer: Option<&Tokenizer>) -> Option<String> {
    share(count(data, tokenizer)?.tokens, data.token_count(), tokenizer)
}

/// Return in words that `count` of `of` tokens are unknown; `None` if nothing is unknown.
pub fn share(count: u64, of: u64, tokenizer: Option<&Tokenizer>) -> Option<String> {
    let (share, unit) = (100. * count as f64 / of.max(1) as f64, tokenizer?.unit());
    (count > 0).then(|| format!("{count} of {of} {unit}s ({share:.2} %) are unknown to the model"))
}
