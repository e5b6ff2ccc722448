//! Detection of a diverging loss.

use crate::{Error, Result};

/// A loss diverges if it exceeds this many times the first loss, or this many nats if the first loss is below 1.
const LIMIT: f64 = 10.;

/// Check a loss of step `step` against the loss of the first step, which is stored in `first`.
///
/// # Errors
/// If the loss is NaN or infinite, or has diverged.
pub(super) fn check(
    first: &mut Option<f64>,
    what: &'static str,
    step: usize,
    loss: f64,
    learning_rate: f64,
) -> Result<()> {
    let first = *first.get_or_insert(loss);
    if loss.is_finite() && loss <= LIMIT * first.max(1.) {
        return Ok(());
    }
    Err(Error::Diverged { step, what, value: loss, learning_rate })
}
