//! Settings of a run where the user gives none.

use super::criterion::Criterion;
use crate::Result;
use crate::training::Options;
use crate::training::optim::Average;
use rnn_zoo_models::Precision;

/// The data of a run where the user names none.
pub const STORY: &str = "builtin:story";

/// The fewest rows of a batch before its window shrinks too.
const FEWEST_ROWS: usize = 4;

/// The shortest window of these rows. A text that is shorter still has fewer rows.
const SHORT_WINDOW: usize = 16;

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
    /// The average of the parameters that is evaluated and kept in their place.
    pub average: Option<Average>,
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
    /// Whether the stack reads in both directions.
    pub bidirectional: bool,
}

impl Default for Defaults {
    /// A small network over single sequences, trained with Adam.
    fn default() -> Self {
        Self {
            sizes: Sizes { embedding: 32, hidden: 64, layers: 1, dropout: 0., bidirectional: false },
            epochs: 10,
            batch_size: 32,
            bptt: 64,
            optimizer: "adam",
            lr: 2e-3,
            clip: 1.,
            average: None,
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
            precision: Precision::F32,
            reduce: Precision::F32,
            epochs: Some(self.epochs),
            max_steps: None,
            batch_size: self.batch_size,
            bptt: self.bptt,
            vary_bptt: false,
            state_reset: 0.,
            similar_sizes: true,
            accumulate: 1,
            label_smoothing: 0.,
            optimizer: self.optimizer.parse()?,
            lr: self.lr * self.lr_scale,
            average: self.average,
            schedule: "cosine".parse()?,
            clip: self.clip,
            eval_every: self.eval_every,
            early_stop: None,
            metric: self.metric.into(),
            log_every: 100,
            seed: 1,
        })
    }

    /// Shrink the batch and the window of running text, each unless the user sets it, until `tokens` fill one window
    /// of every row. The batch shrinks first, to four rows, then the window.
    #[must_use]
    pub fn fitted(self, tokens: usize, batch_size: Option<usize>, bptt: Option<usize>) -> Self {
        let rows = |window: usize| (tokens / window.max(1)).clamp(1, self.batch_size);
        let window = |rows: usize| (tokens / rows.max(1)).clamp(1, self.bptt);
        let (batch_size, bptt) = match (batch_size, bptt) {
            (Some(_), Some(_)) => (self.batch_size, self.bptt),
            (Some(batch_size), None) => (self.batch_size, window(batch_size)),
            (None, Some(bptt)) => (rows(bptt), self.bptt),
            (None, None) => {
                let few = FEWEST_ROWS.min(self.batch_size).min(tokens / SHORT_WINDOW);
                let batch_size = rows(self.bptt).max(few);
                (batch_size, window(batch_size))
            }
        };
        Self { batch_size, bptt, ..self }
    }

    /// For parameters that have been trained before: a tenth of the learning rate.
    #[must_use]
    pub fn for_fine_tuning(self) -> Self {
        Self { lr_scale: 0.1, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_shrink_until_the_text_fills_a_batch() {
        let sizes = |tokens, batch_size, bptt| {
            let defaults = Defaults { batch_size: 32, bptt: 64, ..Defaults::default() };
            let fitted = defaults.fitted(tokens, batch_size, bptt);
            (fitted.batch_size, fitted.bptt)
        };
        assert_eq!(sizes(32 * 64, None, None), (32, 64));
        assert_eq!(sizes(32 * 64 - 1, None, None), (31, 64));
        assert_eq!(sizes(4 * 64 - 1, None, None), (4, 63));
        assert_eq!(sizes(40, None, None), (2, 20));
        assert_eq!(sizes(3, None, None), (1, 3));
        assert_eq!(sizes(100, Some(10), None), (32, 10));
        assert_eq!(sizes(100, None, Some(20)), (5, 64));
        // What the user sets is kept, and refused by the cut.
        assert_eq!(sizes(100, Some(50), Some(20)), (32, 64));
        for tokens in 1..3000 {
            let (batch_size, bptt) = sizes(tokens, None, None);
            assert!(batch_size * bptt <= tokens, "{tokens}: {batch_size} * {bptt}");
        }
    }
}
