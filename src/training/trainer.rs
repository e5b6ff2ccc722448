//! A network in training.

use candle_core::Device;
use rnn_zoo_models::Network;

use super::clock::Clock;
use super::objective::Objective;
use super::optim::{AverageState, Optimizer};
use super::options::Options;
use super::progress::{Best, Progress};
use super::running_loss::RunningLoss;
use super::sampler::Sampler;
use super::schedule::Scheduler;
use super::splits::Splits;
use super::valid_rows;
use crate::distributed::{Ranks, SingleProcess};
use crate::inference::carry::Carried;
use crate::parameters::{NamedTensors, Parameters};
use crate::rng::{self, Position, Purpose, Rng};
use crate::tasks::Criterion;
use crate::{Error, Result};

/// A network in training.
///
/// The next step depends on the parameters, [`Progress`], the optimizer's state and the carried hidden state, and
/// on nothing else. A run that is stopped and resumed from these ends with the same bytes as one left alone.
///
/// Of several processes each has a trainer. All take the same steps with the same parameters; each computes its share
/// of every batch.
pub struct Trainer {
    /// The network.
    pub network: Box<dyn Network>,
    /// Its loss and metrics.
    pub objective: Objective,
    /// Its parameters.
    pub parameters: Parameters,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Training options.
    pub options: Options,
    /// The metric that chooses the best checkpoint: the one that [`Options::metric`] names.
    pub(super) criterion: Criterion,
    /// The position of the run.
    pub progress: Progress,
    /// The hidden state at the end of the last window.
    pub carried: Carried,
    /// The average of the parameters, if there is one yet.
    pub average: Option<NamedTensors>,
    /// The parameters at the best scheduled evaluation.
    pub best: Option<NamedTensors>,
    /// The parameters for inference: those of the best evaluation, or the average if nothing was evaluated. If
    /// `None`, the current parameters.
    pub selected: Option<NamedTensors>,
    /// The evaluation of the parameters for inference.
    pub selected_score: Option<Best>,
    /// The number of batch rows that validation cuts running text into.
    pub valid_rows: usize,
    /// Writes a sample of text after each evaluation.
    pub sampler: Option<Sampler>,
    /// The processes of the run.
    pub(super) ranks: Ranks,
    /// The generator of dropout masks.
    pub(super) noise: Rng,
    pub(super) clock: Clock,
    pub(super) device: Device,
}

/// The state of a stopped run, without its parameters.
pub(super) struct Stopped {
    /// The optimizer and its state.
    pub(super) optimizer: Optimizer,
    /// The position of the run.
    pub(super) progress: Progress,
    /// The hidden state at the end of the last window.
    pub(super) carried: Carried,
    /// The average of the parameters.
    pub(super) average: Option<NamedTensors>,
    /// The parameters at the best scheduled evaluation.
    pub(super) best: Option<NamedTensors>,
}

impl Trainer {
    /// A run before its first step, with newly drawn parameters. `total_steps` is the length of the run, see
    /// [`Options::total_steps`].
    ///
    /// # Errors
    /// If an option is invalid, and errors from candle.
    pub fn new(
        objective: Objective,
        network: Box<dyn Network>,
        parameters: Parameters,
        options: Options,
        total_steps: usize,
        device: &Device,
    ) -> Result<Self> {
        options.validate()?;
        network.reset_parameters(&mut rng::stream(options.seed, Purpose::Parameters, 0))?;
        let progress = Progress {
            step: 0,
            epoch: 0,
            batch: 0,
            best: None,
            without_improvement: 0,
            first_loss: None,
            running: RunningLoss::default(),
            scheduler: Scheduler::new(options.schedule.clone(), options.lr, total_steps)?,
            average: AverageState::default(),
            noise: Position::from(&rng::stream(options.seed, Purpose::Noise, 0)),
            seconds: 0.,
        };
        let optimizer =
            Optimizer::new(options.optimizer.clone())?.without_decay_of(parameters.vectors_and_embeddings());
        let (carried, average, best) = (Carried::default(), None, None);
        let start = Stopped { optimizer, progress, carried, average, best };
        Self::assemble(objective, network, parameters, options, start, device)
    }

    /// A run that continues from a checkpoint, whose progress [`Progress::check`] has accepted.
    ///
    /// # Errors
    /// If an option is invalid, or the training data is too short for a batch.
    pub(super) fn resume(
        objective: Objective,
        network: Box<dyn Network>,
        parameters: Parameters,
        options: Options,
        mut stopped: Stopped,
        splits: &Splits,
        device: &Device,
    ) -> Result<Self> {
        stopped.progress.scheduler.set_total_steps(options.total_steps(splits)?);
        let mut trainer = Self::assemble(objective, network, parameters, options, stopped, device)?;
        trainer.select_best();
        Ok(trainer)
    }

    fn assemble(
        objective: Objective,
        network: Box<dyn Network>,
        parameters: Parameters,
        options: Options,
        stopped: Stopped,
        device: &Device,
    ) -> Result<Self> {
        let Stopped { optimizer, progress, carried, average, best } = stopped;
        let noise = progress.noise().map_err(Error::Message)?;
        Ok(Self {
            criterion: objective.task.criterion(&options.metric)?,
            objective,
            network,
            parameters,
            optimizer,
            options,
            carried,
            average,
            best,
            selected: None,
            selected_score: None,
            valid_rows: valid_rows::of_older_runs(),
            sampler: None,
            ranks: SingleProcess::ranks(),
            noise,
            clock: Clock::start(progress.seconds),
            device: device.clone(),
            progress,
        })
    }

    /// The learning rate of the next step.
    pub(super) fn learning_rate(&self) -> f64 {
        self.progress.scheduler.learning_rate(self.progress.step, self.progress.epoch)
    }
}
