//! Sums of an evaluation.

use rnn_zoo_models::Network;
use serde::Serialize;

use super::class_report::ClassReport;
use super::confusion::Confusion;
use super::figures::{ACCURACY, Figures};
use super::sums;
use crate::Result;
use crate::data::batch::Batch;
use crate::inference::carry::Carried;
use crate::training::loss::{self, LossSum};

/// Sums up an evaluation, batch by batch.
pub trait Meter {
    /// Run the network on a batch and add the results. `carried` is the state at the end of the batch before.
    ///
    /// # Errors
    /// If the batch does not fit the network, and errors from candle.
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()>;

    /// Take the names of classes that occur among the targets and that the model does not have; see
    /// [`Examples::foreign_labels`](crate::data::batch::Examples::foreign_labels). Called once, before the first batch.
    fn expect_foreign(&mut self, _labels: &[String]) {}

    /// As [`Meter::add`], for metrics of the examples as the user wrote them: `parts` returns the parts of each; see
    /// [`Examples::parts`](crate::data::batch::Examples::parts).
    ///
    /// # Errors
    /// As [`Meter::add`].
    fn add_with_parts(
        &mut self,
        network: &dyn Network,
        batch: &Batch,
        carried: &mut Carried,
        _parts: &dyn Fn() -> Vec<Vec<String>>,
    ) -> Result<()> {
        self.add(network, batch, carried)
    }

    /// The sums so far as bytes, for the other processes of a run.
    ///
    /// # Errors
    /// If they cannot be written.
    fn sums(&self) -> Result<Vec<u8>>;

    /// Replace the sums by the totals of `parts`, added in this order. Each is the result of [`Meter::sums`] in one
    /// process.
    ///
    /// # Errors
    /// If a part is that of another meter.
    fn combine(&mut self, parts: &[Vec<u8>]) -> Result<()>;

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
    /// The classes of a classifier or tagger.
    pub classes: Option<ClassReport>,
    /// The figures of naive forecasts of the same values.
    pub baselines: Option<Baselines>,
}

/// The figures of naive forecasts.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Baselines {
    /// The figures of a forecast of the last value.
    pub naive: Figures,
    /// The figures of a forecast of the values a season before.
    pub seasonal_naive: Figures,
}

impl Measured {
    /// The results of a cross-entropy in nats that is summed over tokens, without the accuracy.
    pub fn of_nats(total: &LossSum) -> Self {
        let loss = total.loss / total.count.max(1) as f64;
        Self { targets: total.count, loss, figures: Figures::of_nats(loss), classes: None, baselines: None }
    }
}

/// Cross-entropy, perplexity and accuracy of the next token.
#[derive(Default)]
pub(super) struct TokenMeter(LossSum);

impl Meter for TokenMeter {
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let hidden = carried.encode(network, batch)?;
        self.0 += loss::cross_entropy_sum(network, &hidden, batch)?;
        Ok(())
    }

    fn sums(&self) -> Result<Vec<u8>> {
        sums::encode(&self.0)
    }

    fn combine(&mut self, parts: &[Vec<u8>]) -> Result<()> {
        self.0 = LossSum::default();
        for part in parts {
            self.0 += sums::decode::<LossSum>(part)?;
        }
        Ok(())
    }

    fn measured(&self) -> Measured {
        let measured = Measured::of_nats(&self.0);
        let accuracy = self.0.correct as f64 / measured.targets.max(1) as f64;
        Measured { figures: measured.figures.with(ACCURACY, accuracy), ..measured }
    }
}

/// Cross-entropy of classes, and counts of true and predicted classes: one class for each sequence, or one for each
/// time step.
pub(super) struct ClassMeter {
    sum: LossSum,
    confusion: Confusion,
    labels: Vec<String>,
    /// The figures that follow from the counts.
    figures: fn(&Confusion) -> Figures,
}

impl ClassMeter {
    /// A meter of classes called `labels`. `figures` computes the figures to report.
    pub(super) fn new(labels: &[String], figures: fn(&Confusion) -> Figures) -> Self {
        Self { sum: LossSum::default(), confusion: Confusion::default(), labels: labels.to_vec(), figures }
    }
}

impl Meter for ClassMeter {
    fn add(&mut self, network: &dyn Network, batch: &Batch, carried: &mut Carried) -> Result<()> {
        let hidden = carried.encode(network, batch)?;
        self.sum += loss::cross_entropy_sum(network, &hidden, batch)?;
        for (truth, predicted) in loss::predictions(network, &hidden, batch)? {
            match predicted {
                Some(predicted) => self.confusion.add(truth, predicted),
                // The loss of infinite outputs may be finite, but means nothing.
                None => self.sum.loss = f64::NAN,
            }
        }
        Ok(())
    }

    fn sums(&self) -> Result<Vec<u8>> {
        sums::encode(&(&self.sum, &self.confusion))
    }

    fn combine(&mut self, parts: &[Vec<u8>]) -> Result<()> {
        (self.sum, self.confusion) = Default::default();
        for part in parts {
            let (sum, confusion) = sums::decode::<(LossSum, Confusion)>(part)?;
            self.sum += sum;
            self.confusion += confusion;
        }
        Ok(())
    }

    fn measured(&self) -> Measured {
        let LossSum { loss, count, .. } = self.sum;
        Measured {
            targets: count,
            loss: loss / count.max(1) as f64,
            figures: (self.figures)(&self.confusion),
            classes: Some(ClassReport::new(self.confusion.clone(), &self.labels)),
            baselines: None,
        }
    }
}
