//! The loss of a batch over all processes.

use super::gradients::Gradients;
use crate::distributed::{Communicator, gather_numbers};

/// Gradients and loss of this process's share of a batch.
#[derive(Default)]
pub(super) struct SharePass {
    /// Of the mean over the values.
    pub(super) gradients: Gradients,
    /// The mean over the values, without penalties.
    pub(super) loss: f64,
    pub(super) targets: usize,
    pub(super) values: usize,
    /// Time steps.
    pub(super) time: usize,
}

/// The loss of a batch over all processes.
pub(super) struct Total {
    /// The mean over the values.
    pub(super) loss: f64,
    pub(super) targets: usize,
    pub(super) values: usize,
}

impl SharePass {
    /// Return the loss of the batch. The mean over all values is that of the shares' means, weighted by their numbers
    /// of values; so is its gradient.
    pub(super) fn total(&self, ranks: &dyn Communicator) -> Total {
        let Self { loss, targets, values, .. } = *self;
        if ranks.size() == 1 {
            return Total { loss, targets, values };
        }
        let shares = gather_numbers(ranks, [loss, targets as f64, values as f64]);
        let all = shares.iter().map(|[.., values]| values).sum::<f64>();
        Total {
            loss: shares.iter().map(|[loss, _, values]| loss * (values / all.max(1.))).sum(),
            targets: shares.iter().map(|[_, targets, _]| targets).sum::<f64>() as usize,
            values: all as usize,
        }
    }
}
