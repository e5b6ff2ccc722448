//! Sums of an evaluation.

use rnn_zoo_models::Network;

use super::figures::{ACCURACY, Figures};
use crate::Result;
use crate::data::batch::Batch;
use crate::inference::carry::Carried;
use crate::training::loss::{self, Sum};

/// Sums up an evaluation, batch by batch.
pub trait Meter {
    /// Runs the network on a batch and adds the results. `carried` is the state at the end of the batch before.
    ///
    /// # Errors
    /// If the batch does not fit the network, and errors from candle.
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()>;

    /// The results over all batches.
    fn measured(&self) -> Measured;
}

/// The results of an evaluation.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Number of targets.
    pub targets: usize,
    /// Mean loss over the targets.
    pub loss: f64,
    /// The task's other figures.
    pub figures: Figures,
}

impl Measured {
    /// The results of a cross-entropy in nats that is summed over targets, without the accuracy.
    pub fn of_nats(total: &Sum) -> Self {
        let loss = total.loss / total.count.max(1) as f64;
        Self { targets: total.count, loss, figures: Figures::of_nats(loss) }
    }
}

/// Cross-entropy and accuracy of classes: one for each sequence, or one for each time step.
#[derive(Default)]
pub struct ClassMeter(Sum);

impl Meter for ClassMeter {
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let hidden = carried.encode(network, batch)?;
        self.0 += loss::cross_entropy_sum(network, &hidden, batch)?;
        Ok(())
    }

    fn measured(&self) -> Measured {
        let Measured { targets, loss, figures } = Measured::of_nats(&self.0);
        let accuracy = self.0.correct as f64 / targets.max(1) as f64;
        Measured { targets, loss, figures: figures.with(ACCURACY, accuracy) }
    }
}
