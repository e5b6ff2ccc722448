//! Detection of a diverging loss.

use super::trainer::Trainer;
use crate::{Error, Result};

/// A cross-entropy diverges if it exceeds this many times the first loss, or this many nats if the first loss is below
/// 1. Errors and likelihoods of numbers have no such limit: they depend on the unit of the data.
const LIMIT: f64 = 10.;

impl Trainer {
    /// Check a loss of step `step`; `what` names it.
    ///
    /// # Errors
    /// If the loss is NaN or infinite, or has diverged.
    pub(super) fn check_loss(
        &mut self,
        what: &'static str,
        step: usize,
        loss: f64,
        learning_rate: f64,
    ) -> Result<()> {
        let first = *self.progress.first_loss.get_or_insert(loss);
        let limit = if self.objective.is_cross_entropy() { LIMIT * first.max(1.) } else { f64::INFINITY };
        if loss.is_finite() && loss <= limit {
            return Ok(());
        }
        Err(Error::Diverged { step, what, value: loss, learning_rate })
    }
}
