//! The training loop: one for every model and every task.
//!
//! ```text
//! for every epoch, for every batch:
//!     hidden, state = network(batch, state)        the state goes on where the stream does
//!     loss = mean over targets                     cross-entropy or squared error
//!     gradients = clip(backward(loss))             truncated at the window's beginning
//!     parameters = optimizer(gradients, rate)      the rate comes from the schedule
//!     average = some mean of the parameters        if asked for; it is what is evaluated and kept
//!     now and then: evaluate, remember the best, checkpoint
//! ```
//!
//! All that decides the next step is in [`Progress`], the parameters, the optimizer's moments and the
//! carried state. A run that is stopped and resumed from these ends with the same bytes as one left
//! alone.

use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor};
use rand::RngExt;
use rnn_zoo_models::{Encoded, Network, State};
use serde::{Deserialize, Serialize};

use super::gradients::{Gradients, clip_by_norm};
use super::loss;
use super::optim::{AverageState, Optimizer};
use super::options::Options;
use super::report::Report;
use super::schedule::Scheduler;
use crate::data::batch::{Batch, Dataset, Epoch};
use crate::inference::evaluate::measure;
use crate::parameters::{NamedTensors, Parameters};
use crate::rng::{self, Position, Purpose, Rng};
use crate::{Error, Result};

/// A loss beyond this many times the first one, or beyond this where the first was below 1, counts as an
/// explosion.
const EXPLOSION: f64 = 10.;

/// Lanes of an evaluation during training: fast, and close to the figure of one lane.
const EVALUATION_LANES: usize = 16;

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
    /// What the average has seen.
    #[serde(default)]
    pub average: AverageState,
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
    /// The average of the parameters.
    pub average: Option<NamedTensors>,
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
    /// The average of the parameters, as soon as there is one.
    pub average: Option<NamedTensors>,
    /// The parameters at the best scheduled evaluation.
    pub best: Option<NamedTensors>,
    /// The parameters to be used: the best, or the last (their average where there is one) where they are
    /// better or nothing was evaluated.
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
        options.validate()?;
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
            average: AverageState::default(),
            noise: Position::from(&noise),
            seconds: 0.,
        };
        let optimizer =
            Optimizer::new(options.optimizer.clone())?.sparing_vectors_and_embeddings(&parameters);
        let device = device.clone();
        Ok(Self {
            network,
            parameters,
            optimizer,
            options,
            progress,
            carried: None,
            average: None,
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
    /// Options or progress that make no sense, and training data that is too short for a batch.
    pub fn resume(
        network: Box<dyn Network>,
        parameters: Parameters,
        options: Options,
        stopped: Stopped,
        splits: &Splits,
        device: &Device,
    ) -> Result<Self> {
        let Stopped { optimizer, mut progress, carried, average, best } = stopped;
        options.validate()?;
        let batches = splits.train.epoch(options.cut(), Some((options.seed, progress.epoch)))?.len();
        if progress.batch > batches || !(0. ..f64::MAX).contains(&progress.seconds) {
            let problem = "the checkpoint's progress is none of this run's; start the run again";
            return Err(Error::Message(problem.into()));
        }
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
            average,
            best,
            shipped: None,
            shipped_score: None,
            noise,
            device,
        };
        trainer.ship_best();
        Ok(trainer)
    }

    /// Evaluates the parameters that a run starts with, where they have been learnt before: the first of those that
    /// are compared.
    ///
    /// # Errors
    /// A loss that is no number, data that cannot be read, and those of the device.
    pub fn judge_start(&mut self, splits: &Splits, report: &mut Report) -> Result<()> {
        let lr = self.progress.scheduler.learning_rate(0, 0);
        if let Some(loss) = self.validate(splits, report, lr)? {
            self.progress.scheduler.observe_validation(loss);
            self.progress.best = Some(Best { step: 0, loss });
            self.best = Some(self.current()?);
        }
        Ok(())
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
                let lr = self.progress.scheduler.learning_rate(self.progress.step, number);
                let (loss, count) = self.step(&epoch, lr, total)?;
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

    /// One optimizer step on the next batches of the epoch: their mean loss before it, and the number of their
    /// targets.
    fn step(&mut self, epoch: &Epoch<'_>, lr: f64, total: usize) -> Result<(f64, usize)> {
        let step = self.progress.step + 1;
        let batches = self.options.accumulate.min(epoch.len() - self.progress.batch);
        let mut gradients = Gradients::default();
        let (mut loss, mut targets, mut time) = (0., 0, 0);
        for _ in 0..batches {
            let batch = epoch.batch(self.progress.batch, &self.device)?;
            let (mut parts, value, count) = self.gradients(&batch)?;
            self.check("loss", step, value, lr)?;
            // Every target of a step weighs the same, whichever batch it is in.
            parts.multiply(count as f64);
            gradients.add(parts)?;
            loss += value * count as f64;
            targets += count;
            time += batch.inputs.dim(1)?;
            self.progress.batch += 1;
        }
        gradients.divide(targets.max(1) as f64);
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
        let share = match self.options.vary_bptt {
            true => time as f64 / (batches * self.options.bptt) as f64,
            false => 1.,
        };
        self.optimizer.step(&self.parameters, &gradients, lr * share)?;
        if let Some(rule) = self.options.average {
            let Self { progress, average, parameters, .. } = self;
            progress.average.take(rule, average, parameters, (step, total))?;
        }
        self.progress.noise = Position::from(&self.noise);
        self.progress.step = step;
        Ok((loss / targets.max(1) as f64, targets))
    }

    /// The gradients of a batch's mean loss, that loss without penalties, and the number of its targets.
    fn gradients(&mut self, batch: &Batch) -> Result<(Gradients, f64, usize)> {
        let mut carried = self.carried.take().filter(|_| !batch.fresh);
        if let Some(state) = carried.as_mut().filter(|_| self.options.state_reset > 0.) {
            *state = reset_lanes(state, self.options.state_reset, &mut self.noise)?;
        }
        let lengths = batch.lengths.as_deref();
        let Encoded { hidden, state, penalty } =
            self.network.encode_t(&batch.inputs, carried.as_ref(), lengths, Some(&mut self.noise))?;
        let (loss, count) = loss::mean(self.network.as_ref(), &hidden, batch, self.options.label_smoothing)?;
        let value = loss::scalar(&loss)?;
        let loss = match penalty {
            Some(penalty) => (loss + penalty)?,
            None => loss,
        };
        let gradients = Gradients::of(&loss, &self.parameters)?;
        self.carried = Some(state.detach());
        Ok((gradients, value, count))
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
        let Some(loss) = self.validate(splits, report, lr)? else {
            self.ship_best();
            return Ok(());
        };
        self.progress.scheduler.observe_validation(loss);
        if let Some(rule) = self.options.average {
            self.progress.average.observe_validation(rule, loss);
        }
        if self.is_best(loss) {
            self.progress.best = Some(Best { step: self.progress.step, loss });
            self.progress.without_improvement = 0;
            self.best = Some(self.current()?);
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
        if let Some(loss) = self.validate(splits, report, lr)?
            && self.is_best(loss)
        {
            self.shipped = self.average.clone();
            self.shipped_score = Some(Best { step: self.progress.step, loss });
        }
        Ok(())
    }

    fn is_best(&self, loss: f64) -> bool {
        self.progress.best.is_none_or(|best| loss < best.loss)
    }

    /// The parameters as they would be used now: their average, where there is one.
    fn current(&self) -> Result<NamedTensors> {
        match &self.average {
            // Copied, for steps change the average in place.
            Some(average) => {
                average.iter().map(|(name, tensor)| Ok((name.clone(), tensor.copy()?))).collect()
            }
            None => self.parameters.to_tensors(),
        }
    }

    /// The best parameters are the ones to be used.
    fn ship_best(&mut self) {
        self.shipped = self.best.clone().or_else(|| self.average.clone());
        self.shipped_score = self.progress.best;
    }

    /// Evaluates the present parameters, or their average where there is one, and reports it: the loss.
    fn validate(&mut self, splits: &Splits, report: &mut Report, lr: f64) -> Result<Option<f64>> {
        let Some(valid) = &splits.valid else { return Ok(None) };
        let Some(average) = &self.average else { return self.score(valid, report, lr).map(Some) };
        let own = self.parameters.to_tensors()?;
        self.parameters.set_all(average)?;
        let loss = self.score(valid, report, lr);
        self.parameters.set_all(&own)?;
        loss.map(Some)
    }

    /// The loss on `valid`. Parameters that have diverged are found out here, before they could replace a good
    /// checkpoint.
    fn score(&mut self, valid: &Dataset, report: &mut Report, lr: f64) -> Result<f64> {
        let lanes = match valid {
            Dataset::Stream { .. } => EVALUATION_LANES,
            Dataset::Examples(_) => self.options.batch_size,
        };
        let scores = measure(self.network.as_ref(), valid, lanes, &self.device)?;
        self.check("validation loss", self.progress.step, scores.loss, lr)?;
        report.evaluation(&self.progress, &scores, lr, self.is_best(scores.loss), self.network.as_ref());
        Ok(scores.loss)
    }

    /// Whether early stopping has had its number of evaluations without a better one.
    pub(crate) fn has_stalled(&self) -> bool {
        self.options.early_stop.is_some_and(|patience| self.progress.without_improvement >= patience)
    }
}

/// The state with each sequence of the batch set to zero with chance `p`.
fn reset_lanes(state: &State, p: f64, rng: &mut Rng) -> Result<State> {
    let (_, batch, _) = state.h.dims3()?;
    let keep: Vec<f32> = (0..batch).map(|_| if rng.random::<f64>() < p { 0. } else { 1. }).collect();
    let keep = Tensor::from_vec(keep, (1, batch, 1), state.h.device())?.to_dtype(state.h.dtype())?;
    let c = state.c.as_ref().map(|c| c.broadcast_mul(&keep)).transpose()?;
    Ok(State { h: state.h.broadcast_mul(&keep)?, c })
}
