//! The training loop: one for every model and every task.
//!
//! ```text
//! for every epoch, for every batch:
//!     hidden, state = network(batch, state)        the state goes on where the stream does
//!     loss = mean over targets                     cross-entropy or squared error
//!     gradients = clip(backward(loss))             truncated at the window's beginning
//!     parameters = optimizer(gradients, rate)      the rate comes from the schedule
//!     now and then: evaluate, remember the best, checkpoint
//! ```
//!
//! All that decides the next step is in [`Progress`], the parameters, the optimizer's moments and the
//! carried state. A run that is stopped and resumed from these ends with the same bytes as one left
//! alone.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::Device;
use rnn_zoo_models::{Network, State};
use serde::{Deserialize, Serialize};

use crate::data::batch::{Batch, Cut, Dataset};
use crate::evaluate::{Scores, evaluate};
use crate::gradients::{Gradients, clip_by_norm};
use crate::optim::{Optimizer, OptimizerConfig};
use crate::parameters::{NamedTensors, Parameters};
use crate::report::Report;
use crate::rng::{self, Position, Purpose, Rng};
use crate::schedule::{Schedule, Scheduler};
use crate::{Error, Result, loss};

/// A loss beyond this many times the first one, or beyond this where the first was below 1, counts as an
/// explosion.
const EXPLOSION: f64 = 10.;

/// Lanes of an evaluation during training: fast, and close to the figure of one lane.
const EVALUATION_LANES: usize = 16;

/// What the loop obeys.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Options {
    /// Passes over the training data; as many as the steps need where `None`.
    pub epochs: Option<usize>,
    /// Stop after this many steps, if the epochs have not ended before.
    pub max_steps: Option<usize>,
    /// Sequences side by side.
    pub batch_size: usize,
    /// Steps that a gradient goes back in a stream.
    pub bptt: usize,
    /// The optimizer.
    pub optimizer: OptimizerConfig,
    /// The learning rate that the schedule starts from.
    pub lr: f64,
    /// How the learning rate changes.
    pub schedule: Schedule,
    /// Scale the gradients down to this norm where they exceed it; 0 never does.
    pub clip: f64,
    /// Evaluate every so many steps; at the end of every epoch where `None`.
    pub eval_every: Option<usize>,
    /// Stop after this many evaluations without a better one.
    pub early_stop: Option<usize>,
    /// Report the training loss every so many steps.
    pub log_every: usize,
    /// Seed of everything that is random.
    pub seed: u64,
}

/// Where a run stands.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Optimizer steps taken.
    pub step: usize,
    /// Epochs completed.
    pub epoch: usize,
    /// Batches of the present epoch already used.
    pub batch: usize,
    /// The best scheduled evaluation so far.
    pub best: Option<Best>,
    /// Scheduled evaluations since the best.
    pub without_improvement: usize,
    /// The loss of the very first step, which tells an explosion.
    pub first_loss: Option<f64>,
    /// The schedule and what it has seen.
    pub scheduler: Scheduler,
    /// The generator of dropout's noise.
    pub noise: Position,
    /// Seconds of training so far.
    pub seconds: f64,
}

/// An evaluation better than all before it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// The step after which it was made.
    pub step: usize,
    /// Its loss.
    pub loss: f64,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// All epochs or steps are done.
    Finished,
    /// Validation no longer improved.
    EarlyStopped,
    /// The user asked to stop.
    Interrupted,
}

/// The training and validation splits.
#[derive(Debug)]
pub struct Splits {
    /// What the gradients come from.
    pub train: Dataset,
    /// What the best parameters are chosen by; without it the last are.
    pub valid: Option<Dataset>,
}

impl Splits {
    /// A number that tells this data from any other.
    ///
    /// # Errors
    /// Where the tokens cannot be read back from the disk.
    pub fn fingerprint(&self) -> Result<u64> {
        let valid = self.valid.as_ref().map(Dataset::fingerprint).transpose()?.unwrap_or_default();
        Ok(self.train.fingerprint()? ^ valid.rotate_left(1))
    }
}

/// What a checkpoint holds of a run beside its parameters.
pub struct Stopped {
    /// Its optimizer, with all it remembers.
    pub optimizer: Optimizer,
    /// Where it stood.
    pub progress: Progress,
    /// The hidden state at the end of the last window.
    pub carried: Option<State>,
    /// The parameters at the best scheduled evaluation.
    pub best: Option<NamedTensors>,
}

/// A run: a network and all that training it remembers.
pub struct Trainer {
    /// The network.
    pub network: Box<dyn Network>,
    /// Its parameters.
    pub parameters: Parameters,
    /// Its optimizer.
    pub optimizer: Optimizer,
    /// What it obeys.
    pub options: Options,
    /// Where it stands.
    pub progress: Progress,
    /// The hidden state at the end of the last window.
    pub carried: Option<State>,
    /// The parameters at the best scheduled evaluation.
    pub best: Option<NamedTensors>,
    /// The parameters to be used: the best, or the last where they are better or nothing was evaluated.
    pub shipped: Option<NamedTensors>,
    /// The evaluation of those parameters, if there was one.
    pub shipped_score: Option<Best>,
    /// Where dropout's noise comes from.
    noise: Rng,
    device: Device,
}

impl Trainer {
    /// A run before its first step; draws the parameters.
    ///
    /// # Errors
    /// Options that make no sense, and those of the device.
    pub fn new(
        network: Box<dyn Network>,
        parameters: Parameters,
        options: Options,
        splits: &Splits,
        device: &Device,
    ) -> Result<Self> {
        network.reset_parameters(&mut rng::stream(options.seed, Purpose::Parameters, 0))?;
        let total = options.total_steps(splits)?;
        let noise = rng::stream(options.seed, Purpose::Noise, 0);
        let progress = Progress {
            step: 0,
            epoch: 0,
            batch: 0,
            best: None,
            without_improvement: 0,
            first_loss: None,
            scheduler: Scheduler::new(options.schedule.clone(), options.lr, total)?,
            noise: Position::from(&noise),
            seconds: 0.,
        };
        let optimizer = Optimizer::new(options.optimizer.clone())?;
        let device = device.clone();
        Ok(Self {
            network,
            parameters,
            optimizer,
            options,
            progress,
            carried: None,
            best: None,
            shipped: None,
            shipped_score: None,
            noise,
            device,
        })
    }

    /// A run that goes on: what [`Trainer::new`] would start afresh comes from a checkpoint.
    ///
    /// # Errors
    /// A random position that is none, and training data that is too short for a batch.
    pub fn resume(
        network: Box<dyn Network>,
        parameters: Parameters,
        options: Options,
        stopped: Stopped,
        splits: &Splits,
        device: &Device,
    ) -> Result<Self> {
        let Stopped { optimizer, mut progress, carried, best } = stopped;
        progress.scheduler.set_total_steps(options.total_steps(splits)?);
        let noise = progress.noise.restore().ok_or_else(|| {
            Error::Message("the checkpoint's random position is no number; start the run again".into())
        })?;
        let device = device.clone();
        let mut trainer = Self {
            network,
            parameters,
            optimizer,
            options,
            progress,
            carried,
            best,
            shipped: None,
            shipped_score: None,
            noise,
            device,
        };
        trainer.ship_best();
        Ok(trainer)
    }

    /// Trains to the end, or until `stop` is set. `save` is called with the run at every evaluation, at
    /// the end and on a stop.
    ///
    /// # Errors
    /// A loss that is no number or explodes, data that cannot be read, a checkpoint that cannot be
    /// written, and those of the device.
    pub fn run(
        &mut self,
        splits: &Splits,
        report: &mut Report,
        stop: &AtomicBool,
        save: &mut dyn FnMut(&mut Self, &mut Report) -> Result<()>,
    ) -> Result<Ending> {
        let total = self.options.total_steps(splits)?;
        report.begin(self.progress.step, total, self.progress.seconds);
        while self.progress.step < total {
            let number = self.progress.epoch;
            let epoch = splits.train.epoch(self.options.cut(), Some((self.options.seed, number)))?;
            while self.progress.epoch == number && self.progress.step < total {
                let batch = epoch.batch(self.progress.batch, &self.device)?;
                let lr = self.progress.scheduler.learning_rate(self.progress.step, number);
                let (loss, count) = self.step(&batch, lr)?;
                self.progress.batch += 1;
                self.progress.seconds = report.step(&self.progress, loss, count, lr);
                let epoch_ends = self.progress.batch == epoch.len();
                let evaluates = self.options.evaluates_after(self.progress.step, epoch_ends);
                if evaluates {
                    self.scheduled_evaluation(splits, report, lr)?;
                }
                if epoch_ends {
                    self.next_epoch();
                }
                if evaluates {
                    save(self, report)?;
                    if self.has_stalled() {
                        return Ok(Ending::EarlyStopped);
                    }
                }
                if stop.load(Ordering::Relaxed) {
                    self.ship_best();
                    save(self, report)?;
                    return Ok(Ending::Interrupted);
                }
            }
        }
        self.final_evaluation(splits, report)?;
        save(self, report)?;
        Ok(Ending::Finished)
    }

    /// One optimizer step: the batch's loss before it, and the number of its targets.
    fn step(&mut self, batch: &Batch, lr: f64) -> Result<(f64, usize)> {
        let carried = self.carried.take().filter(|_| !batch.fresh);
        let lengths = batch.lengths.as_deref();
        let (hidden, state) =
            self.network.encode(&batch.inputs, carried.as_ref(), lengths, Some(&mut self.noise))?;
        let (loss, count) = loss::mean(self.network.as_ref(), &hidden, batch)?;
        let value = loss::scalar(&loss)?;
        let step = self.progress.step + 1;
        self.check("loss", step, value, lr)?;
        let mut gradients = Gradients::of(&loss, &self.parameters)?;
        let norm = match self.options.clip {
            clip if clip > 0. => clip_by_norm(&mut gradients, clip)?,
            _ => gradients.norm()?,
        };
        if !norm.is_finite() {
            return Err(Error::Diverged {
                step,
                what: "norm of the gradient",
                value: norm,
                learning_rate: lr,
            });
        }
        self.optimizer.step(&self.parameters, &gradients, lr)?;
        self.carried = Some(state.detach());
        self.progress.noise = Position::from(&self.noise);
        self.progress.step += 1;
        Ok((value, count))
    }

    /// Refuses a loss that is no number or has exploded.
    fn check(&mut self, what: &'static str, step: usize, loss: f64, learning_rate: f64) -> Result<()> {
        let first = *self.progress.first_loss.get_or_insert(loss);
        if loss.is_finite() && loss <= EXPLOSION * first.max(1.) {
            return Ok(());
        }
        Err(Error::Diverged { step, what, value: loss, learning_rate })
    }

    fn next_epoch(&mut self) {
        self.progress.epoch += 1;
        self.progress.batch = 0;
    }

    /// An evaluation that the schedule, early stopping and the choice of the best rest on.
    fn scheduled_evaluation(&mut self, splits: &Splits, report: &mut Report, lr: f64) -> Result<()> {
        let Some(scores) = self.validate(splits, lr)? else { return Ok(()) };
        let best = self.progress.best.is_none_or(|best| scores.loss < best.loss);
        report.evaluation(&self.progress, &scores, lr, best, self.network.as_ref());
        self.progress.scheduler.observe_validation(scores.loss);
        if best {
            self.progress.best = Some(Best { step: self.progress.step, loss: scores.loss });
            self.progress.without_improvement = 0;
            self.best = Some(self.parameters.to_tensors()?);
        } else {
            self.progress.without_improvement += 1;
        }
        self.ship_best();
        Ok(())
    }

    /// The last evaluation, unless the last step had one. It decides what is shipped but leaves the
    /// schedule's memory alone: a run resumed beyond this end must not know of it.
    fn final_evaluation(&mut self, splits: &Splits, report: &mut Report) -> Result<()> {
        self.ship_best();
        let epoch_ended = self.progress.batch == 0;
        if self.options.evaluates_after(self.progress.step, epoch_ended) && self.best.is_some() {
            return Ok(());
        }
        let lr = self.progress.scheduler.learning_rate(self.progress.step, self.progress.epoch);
        if let Some(scores) = self.validate(splits, lr)? {
            let best = self.progress.best.is_none_or(|best| scores.loss < best.loss);
            report.evaluation(&self.progress, &scores, lr, best, self.network.as_ref());
            if best {
                self.shipped = None;
                self.shipped_score = Some(Best { step: self.progress.step, loss: scores.loss });
            }
        }
        Ok(())
    }

    /// The best parameters are the ones to be used.
    fn ship_best(&mut self) {
        self.shipped.clone_from(&self.best);
        self.shipped_score = self.progress.best;
    }

    /// Scores of the validation split. Parameters that have diverged are found out here, before they
    /// could replace a good checkpoint.
    fn validate(&mut self, splits: &Splits, lr: f64) -> Result<Option<Scores>> {
        let Some(valid) = &splits.valid else { return Ok(None) };
        let lanes = match valid {
            Dataset::Stream { .. } => EVALUATION_LANES,
            Dataset::Examples(_) => self.options.batch_size,
        };
        let scores = evaluate(self.network.as_ref(), valid, lanes, &self.device)?;
        self.check("validation loss", self.progress.step, scores.loss, lr)?;
        Ok(Some(scores))
    }

    fn has_stalled(&self) -> bool {
        self.options.early_stop.is_some_and(|patience| self.progress.without_improvement >= patience)
    }
}

impl Options {
    /// Steps of the whole run.
    ///
    /// # Errors
    /// Training data that is too short for one batch.
    pub fn total_steps(&self, splits: &Splits) -> Result<usize> {
        let epoch = splits.train.epoch(self.cut(), None)?.len();
        let all = self.epochs.map_or(usize::MAX, |epochs| epochs.saturating_mul(epoch));
        Ok(self.max_steps.map_or(all, |most| most.min(all)))
    }

    fn cut(&self) -> Cut {
        Cut { batch_size: self.batch_size, window: self.bptt, trim: true }
    }

    fn evaluates_after(&self, step: usize, epoch_ends: bool) -> bool {
        self.eval_every.map_or(epoch_ends, |every| step.is_multiple_of(every))
    }
}
