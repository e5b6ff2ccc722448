//! The unit of a run's loss.

/// The unit of a run's loss.
#[derive(Clone, Debug, PartialEq)]
pub struct LossUnit {
    /// The name of the loss in reports.
    pub name: &'static str,
    /// The name of a target: `character`, `word`, `token` or `tag`.
    pub target: &'static str,
    /// Whether the loss is a cross-entropy in nats, and has a perplexity.
    pub nats: bool,
    /// The least loss that any model can reach, if it is known.
    pub floor: Option<f64>,
}

impl LossUnit {
    /// A cross-entropy in nats per `target`.
    pub fn nats(target: &'static str) -> Self {
        Self { name: "loss", target, nats: true, floor: None }
    }
}
