//! Settings of a run where the user gives none.

use super::criterion::Criterion;
use crate::Result;
use crate::training::Options;

/// The data of a run where the user names none.
pub const STORY: &str = "builtin:story";

/// Settings of a run where the user gives none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Defaults {
    /// Sizes of the network.
    pub sizes: Sizes,
    /// Passes over the training data.
    pub epochs: usize,
    /// Sequences in a batch.
    pub batch_size: usize,
    /// Time steps of a window of running text.
    pub bptt: usize,
    /// The optimizer's name.
    pub optimizer: &'static str,
    /// Learning rate.
    pub lr: f64,
    /// Largest norm of the gradient.
    pub clip: f64,
    /// Steps between evaluations; `None` evaluates at the end of every epoch.
    pub eval_every: Option<usize>,
    /// Factor of a learning rate that the user does not give.
    pub lr_scale: f64,
    /// The name of the metric that chooses the best checkpoint, one of [`Task::criteria`](super::Task::criteria).
    pub metric: &'static str,
}

/// Sizes of a network.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sizes {
    /// Width of the embedding.
    pub embedding: usize,
    /// Hidden units of a layer.
    pub hidden: usize,
    /// Number of layers.
    pub layers: usize,
    /// Dropout.
    pub dropout: f64,
}

impl Default for Defaults {
    /// A small network over single sequences, trained with Adam.
    fn default() -> Self {
        Self {
            sizes: Sizes { embedding: 32, hidden: 64, layers: 1, dropout: 0. },
            epochs: 10,
            batch_size: 32,
            bptt: 64,
            optimizer: "adam",
            lr: 2e-3,
            clip: 1.,
            eval_every: None,
            lr_scale: 1.,
            metric: Criterion::LOSS.name,
        }
    }
}

impl Defaults {
    /// The options of a run without any from the user: the learning rate falls along a cosine.
    ///
    /// # Errors
    /// If there is no optimizer of that name.
    pub fn options(&self) -> Result<Options> {
        Ok(Options {
            epochs: Some(self.epochs),
            max_steps: None,
            batch_size: self.batch_size,
            bptt: self.bptt,
            vary_bptt: false,
            state_reset: 0.,
            accumulate: 1,
            label_smoothing: 0.,
            optimizer: self.optimizer.parse()?,
            lr: self.lr * self.lr_scale,
            average: None,
            schedule: "cosine".parse()?,
            clip: self.clip,
            eval_every: self.eval_every,
            early_stop: None,
            metric: self.metric.into(),
            log_every: 100,
            seed: 1,
        })
    }

    /// For parameters that have been trained before: a tenth of the learning rate.
    #[must_use]
    pub fn for_fine_tuning(self) -> Self {
        Self { lr_scale: 0.1, ..self }
    }
}
