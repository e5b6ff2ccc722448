//! The training loop, for every model and every task.
//!
//! ```text
//! for every epoch, for every batch:
//!     hidden, state = network(batch, state)        the state is carried along a stream
//!     loss = mean over targets                     cross-entropy or squared error
//!     gradients = clip(backward(loss))             truncated at the beginning of the window
//!     parameters = optimizer(gradients, rate)      the rate comes from the schedule
//!     average = average of the parameters          optional; it is evaluated and kept in their place
//!     at intervals: evaluate, remember the best, save
//! ```
//!
//! `step.rs` has one step, `validate.rs` an evaluation. Several processes run the same loop: each computes its shard of
//! every batch and of the validation data, and what follows from sums over all is the same on each.

use std::sync::atomic::{AtomicBool, Ordering};

use super::clock::Clock;
use super::observer::{Observer, StepTaken};
use super::running_loss::RunningLoss;
use super::splits::Splits;
use super::step::StepLoss;
use super::trainer::Trainer;
use crate::Result;
use crate::data::batch::Batch;
use crate::data::dataset::Epoch;
use crate::distributed::any;

/// Reason for the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs or steps are done.
    Finished,
    /// The metric of the validation data no longer improved.
    EarlyStopped,
    /// The user stopped the run.
    Interrupted,
}

/// The work that follows a step.
struct Due {
    /// Whether a scheduled evaluation follows.
    evaluates: bool,
    /// Whether the run ends.
    is_last: bool,
}

impl Trainer {
    /// Train to the end, or until `stop` is set. Call `save` after every scheduled evaluation, at the end and on a
    /// stop.
    ///
    /// # Errors
    /// If the loss is NaN or infinite or has diverged, or data cannot be read; errors of `save`, and errors from
    /// candle.
    pub fn run<O: Observer>(
        &mut self,
        splits: &Splits,
        observer: &mut O,
        stop: &AtomicBool,
        save: &mut dyn FnMut(&Self, &mut O) -> Result<()>,
    ) -> Result<Ending> {
        self.options.precision.scope(|| self.run_in_scope(splits, observer, stop, save))
    }

    /// Train as [`Trainer::run`], in the precision of the scope.
    fn run_in_scope<O: Observer>(
        &mut self,
        splits: &Splits,
        observer: &mut O,
        stop: &AtomicBool,
        save: &mut dyn FnMut(&Self, &mut O) -> Result<()>,
    ) -> Result<Ending> {
        let mut save = |trainer: &Self, observer: &mut O| -> Result<()> {
            save(trainer, observer)?;
            observer.saved();
            Ok(())
        };
        let total = self.progress.scheduler.total_steps();
        self.clock = Clock::start(self.progress.seconds);
        observer.started(self.progress.step, total);
        while self.progress.step < total {
            let number = self.progress.epoch;
            let epoch = splits.train.epoch(self.options.cut(), Some(self.options.shuffle(number)))?;
            while self.progress.epoch == number && self.progress.step < total {
                let lr = self.learning_rate();
                let loss = self.step(self.next_batches(&epoch), lr)?;
                let epoch_ends = self.progress.batch == epoch.len();
                let evaluates = self.options.evaluates_after(self.progress.step, epoch_ends);
                let is_last = self.progress.step >= total;
                self.report(loss, Due { evaluates, is_last }, lr, observer);
                if evaluates {
                    self.scheduled_evaluation(splits, lr, observer)?;
                }
                if epoch_ends {
                    (self.progress.epoch, self.progress.batch) = (number + 1, 0);
                }
                if evaluates {
                    save(self, observer)?;
                    if self.has_stalled() {
                        return Ok(Ending::EarlyStopped);
                    }
                }
                if any(self.ranks.as_ref(), stop.load(Ordering::Relaxed)) {
                    self.select_best();
                    save(self, observer)?;
                    return Ok(Ending::Interrupted);
                }
            }
        }
        self.final_evaluation(splits, observer)?;
        save(self, observer)?;
        Ok(Ending::Finished)
    }

    /// This process's shard of the batches of the next step.
    fn next_batches<'e>(
        &self,
        epoch: &'e Epoch<'e>,
    ) -> impl Iterator<Item = Result<Option<Batch>>> + use<'e> {
        let (from, device, shard) = (self.progress.batch, self.device.clone(), self.ranks.shard());
        let to = epoch.len().min(from + self.options.accumulate);
        (from..to).map(move |index| epoch.shard(index, shard, &device))
    }

    /// Add a step to the running loss and notify the observer. A report is due at intervals, before an evaluation and
    /// after the last step. The last one does not end the interval: a run that is resumed beyond this end must not
    /// depend on it.
    fn report(
        &mut self,
        StepLoss { mean, targets }: StepLoss,
        Due { evaluates, is_last }: Due,
        lr: f64,
        observer: &mut dyn Observer,
    ) {
        let (progress, time) = (&mut self.progress, self.clock.lap());
        progress.seconds = self.clock.seconds();
        progress.running.add(mean, targets, time);
        let ends_interval = evaluates || progress.running.steps() >= self.options.log_every;
        observer.stepped(&StepTaken {
            step: progress.step,
            epoch: progress.epoch,
            loss: progress.running.mean(),
            lr,
            tokens_per_second: progress.running.rate(),
            seconds: progress.seconds,
            report: ends_interval || is_last,
        });
        if ends_interval {
            progress.running = RunningLoss::default();
        }
    }
}
