//! The unit of a run's loss.

/// The unit of a run's loss.
#[derive(Clone, Debug, PartialEq)]
pub struct LossUnit {
    /// The name of the loss in reports.
    pub name: &'static str,
    /// The name of a target: `character`, `word`, `token` or `tag`.
    pub target: &'static str,
    /// Whether the loss is a cross-entropy in nats.
    pub nats: bool,
    /// Whether reports give its perplexity: only for language models, where it is the usual figure.
    pub perplexity: bool,
    /// The least loss that any model can reach, if it is known.
    pub floor: Option<f64>,
}

impl LossUnit {
    /// The cross-entropy of a language model, in nats per `target`.
    pub fn of_tokens(target: &'static str) -> Self {
        Self { perplexity: true, ..Self::of_classes(target) }
    }

    /// The cross-entropy of a classifier or tagger, in nats per `target`.
    pub fn of_classes(target: &'static str) -> Self {
        Self { name: "loss", target, nats: true, perplexity: false, floor: None }
    }

    /// The mean squared error per `target`.
    pub fn of_numbers(target: &'static str) -> Self {
        Self { name: "squared error", target, nats: false, perplexity: false, floor: None }
    }
}
