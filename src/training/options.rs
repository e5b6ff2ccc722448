//! Training options, and the length of a run that they give.

use rnn_zoo_models::Precision;
use serde::{Deserialize, Serialize};

use super::optim::{Average, OptimizerConfig};
use super::schedule::{Schedule, check_learning_rate};
use super::splits::Splits;
use crate::data::cut::{Cut, Shuffle};
use crate::data::dataset::Epoch;
use crate::{Error, Result};

/// The most epochs whose windows are drawn to know how many steps they are.
const MOST_VARIED: usize = 10_000;

/// Training options.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Passes over the training data; if `None`, as many as the steps need.
    pub epochs: Option<usize>,
    /// Stop after this many steps, if the epochs have not ended before.
    pub max_steps: Option<usize>,
    /// Sequences of a batch.
    pub batch_size: usize,
    /// Window of truncated BPTT, in time steps.
    pub bptt: usize,
    /// Draw each window's length around `bptt`, and scale its learning rate with it.
    #[serde(default)]
    pub vary_bptt: bool,
    /// Chance that a row of a stream starts a window from a state of zero (Melis, Dyer and Blunsom 2018). Without,
    /// a model rarely sees the zero state that generation starts from.
    #[serde(default)]
    pub state_reset: f64,
    /// Whether texts share a batch with others of similar length, so that they need less padding. False in
    /// runs of programs that did not do this, which resume as they began.
    #[serde(default)]
    pub similar_sizes: bool,
    /// Batches per optimizer step, whose gradients are accumulated.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// Label smoothing: fraction of the target's probability that is spread over all classes.
    #[serde(default)]
    pub label_smoothing: f64,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// The learning rate that the schedule starts from.
    pub lr: f64,
    /// The average of the parameters that is evaluated and kept in their place.
    #[serde(default)]
    pub average: Option<Average>,
    /// The schedule of the learning rate.
    pub schedule: Schedule,
    /// Scale the gradients down to this norm where they exceed it; 0 never does.
    pub clip: f64,
    /// Evaluate every so many steps; at the end of every epoch where `None`.
    pub eval_every: Option<usize>,
    /// The name of the metric that chooses the best checkpoint and that early stopping follows, one of
    /// [`Task::criteria`](crate::tasks::Task::criteria).
    #[serde(default = "loss")]
    pub metric: String,
    /// Stop after this many evaluations without a better one.
    pub early_stop: Option<usize>,
    /// Report the training loss every so many steps.
    pub log_every: usize,
    /// Seed of everything that is random.
    pub seed: u64,
    /// The precision of matrix products, in steps and evaluations.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub precision: Precision,
    /// The precision of gradients on their way between processes; sums are in f32, and through NCCL in this precision.
    #[serde(default, skip_serializing_if = "Precision::is_f32")]
    pub reduce: Precision,
}

/// The default of [`Options::accumulate`].
fn one() -> usize {
    1
}

/// The default of [`Options::metric`], which runs of older versions follow.
fn loss() -> String {
    "loss".into()
}

impl Options {
    /// Check the ranges of all options.
    ///
    /// # Errors
    /// If a count is 0, a share is not within 0 to 1, the clipping norm is negative or not a number, or the schedule is
    /// invalid.
    pub fn validate(&self) -> Result<()> {
        let problem = "is 0; expected at least 1";
        match *self {
            Self { batch_size: 0, .. } => Err(Error::invalid("batch_size", problem)),
            Self { bptt: 0, .. } => Err(Error::invalid("bptt", problem)),
            Self { accumulate: 0, .. } => Err(Error::invalid("accumulate", problem)),
            Self { epochs: Some(0), .. } => Err(Error::invalid("epochs", problem)),
            Self { max_steps: Some(0), .. } => Err(Error::invalid("max_steps", problem)),
            Self { average: Some(average), .. }
                if average.share().is_some_and(|share| !(0. ..1.).contains(&share)) =>
            {
                let share = average.share().unwrap_or_default();
                let problem = format!("has the share {share}; expected at least 0 and below 1");
                Err(Error::invalid("average", problem))
            }
            Self { early_stop: Some(0), .. } => Err(Error::invalid("early_stop", problem)),
            Self { eval_every: Some(0), .. } => Err(Error::invalid("eval_every", problem)),
            Self { log_every: 0, .. } => Err(Error::invalid("log_every", problem)),
            Self { state_reset, .. } if !(0. ..1.).contains(&state_reset) => Err(Error::invalid(
                "state_reset",
                format!("is {state_reset}; expected a probability below 1"),
            )),
            Self { label_smoothing, .. } if !(0. ..1.).contains(&label_smoothing) => Err(Error::invalid(
                "label_smoothing",
                format!("is {label_smoothing}; expected a share below 1"),
            )),
            Self { precision, .. } if !precision.has_gradients() => {
                let problem = format!("is {precision}, a precision of inference; expected f32 or bf16");
                Err(Error::invalid("precision", problem))
            }
            Self { reduce, .. } if !reduce.has_gradients() => {
                Err(Error::invalid("reduce", format!("is {reduce}; expected f32 or bf16")))
            }
            Self { clip, .. } if clip.is_nan() || clip < 0. => {
                Err(Error::invalid("clip", format!("is {clip}; expected a norm of at least 0")))
            }
            _ => check_learning_rate(self.lr).and_then(|()| self.schedule.validate()),
        }
    }

    /// Steps of the whole run.
    ///
    /// # Errors
    /// If an option is invalid, or the training data is too short for one batch.
    pub fn total_steps(&self, splits: &Splits) -> Result<usize> {
        self.validate()?;
        let most = self.max_steps.unwrap_or(usize::MAX);
        let steps = |epoch: &Epoch<'_>| epoch.len().div_ceil(self.accumulate);
        let epoch = steps(&splits.train.epoch(self.cut(), None)?);
        let Some(epochs) = self.epochs else { return Ok(most) };
        if !self.vary_bptt {
            return Ok(epochs.saturating_mul(epoch).min(most));
        }
        if epochs > MOST_VARIED {
            let problem = format!(
                "is {epochs}, but option `vary_bptt` draws the windows of all epochs in advance; \
                 expected at most {MOST_VARIED}"
            );
            return Err(Error::invalid("epochs", problem));
        }
        // Every epoch draws windows of its own.
        let mut total = 0;
        for number in 0..epochs {
            if total >= most {
                break;
            }
            total += steps(&splits.train.epoch(self.cut(), Some(self.shuffle(number)))?);
        }
        Ok(total.min(most))
    }

    /// The number of batches of an epoch.
    ///
    /// # Errors
    /// If the training data is too short for one batch.
    pub(super) fn batches(&self, splits: &Splits, epoch: usize) -> Result<usize> {
        Ok(splits.train.epoch(self.cut(), Some(self.shuffle(epoch)))?.len())
    }

    /// The draw of an epoch's batches.
    pub(super) fn shuffle(&self, epoch: usize) -> Shuffle {
        Shuffle { seed: self.seed, epoch, similar_sizes: self.similar_sizes }
    }

    /// The cut of the training split into batches.
    pub(super) fn cut(&self) -> Cut {
        Cut { batch_size: self.batch_size, window: self.bptt, trim: true, vary: self.vary_bptt }
    }

    /// Whether a scheduled evaluation follows that step.
    pub(super) fn evaluates_after(&self, step: usize, epoch_ends: bool) -> bool {
        self.eval_every.map_or(epoch_ends, |every| step.is_multiple_of(every))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tasks::Defaults;

    #[test]
    fn invalid_options_are_refused_by_name() {
        let usual = Defaults::default().options().unwrap();
        usual.validate().unwrap();
        type Change = fn(&mut Options);
        let changes: [(&str, Change); 12] = [
            ("batch_size", |options| options.batch_size = 0),
            ("bptt", |options| options.bptt = 0),
            ("accumulate", |options| options.accumulate = 0),
            ("early_stop", |options| options.early_stop = Some(0)),
            ("eval_every", |options| options.eval_every = Some(0)),
            ("log_every", |options| options.log_every = 0),
            ("state_reset", |options| options.state_reset = 1.),
            ("label_smoothing", |options| options.label_smoothing = f64::NAN),
            ("lr", |options| options.lr = -5.),
            ("clip", |options| options.clip = f64::NAN),
            ("precision", |options| options.precision = Precision::Int8),
            ("reduce", |options| options.reduce = Precision::Int8),
        ];
        for (field, change) in changes {
            let mut options = usual.clone();
            change(&mut options);
            let error = options.validate().unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }
}
