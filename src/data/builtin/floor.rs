//! The lowest possible loss on a corpus of known entropy.

/// The entropy of a corpus whose grammar is known: no model's expected loss is below it.
///
/// A corpus is a series of independent stories, each ending in a newline; for [`reber`](super::reber) a story is one
/// string. If a text has only one derivation, the entropy of a story is that of the choices of its derivation. Divided
/// by the expected number of tokens, it is the loss per token of a perfect model on infinite text.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floor {
    /// The entropy of a story, in nats.
    pub nats_per_story: f64,
    /// The expected number of characters of a story, its newline included.
    pub characters_per_story: f64,
    /// The expected number of words of a story, with one `<eos>` for its newline.
    pub words_per_story: f64,
}

impl Floor {
    /// The lowest possible loss of a model over characters, in nats per character.
    pub fn nats_per_character(&self) -> f64 {
        self.nats_per_story / self.characters_per_story
    }

    /// The lowest possible loss of a model over whitespace-separated words and `<eos>`, in nats per
    /// word; its exponential is the lowest possible perplexity.
    pub fn nats_per_word(&self) -> f64 {
        self.nats_per_story / self.words_per_story
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    #[test]
    fn floor_is_entropy_over_length() {
        let floor = Floor { nats_per_story: 30.0, characters_per_story: 200.0, words_per_story: 40.0 };
        assert_eq!(floor.nats_per_character(), 0.15);
        assert_eq!(floor.nats_per_word(), 0.75);
    }

    /// Assert that the mean of `values` is within four standard errors of `expected`.
    pub fn assert_mean(what: &str, expected: f64, values: &[f64]) {
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let error = (variance / count).sqrt();
        assert!((mean - expected).abs() <= 4.0 * error, "{what}: {mean} +- {error} is not {expected}");
    }
}
