//! A training run and its bundle.
//!
//! ```text
//! Run::start(bundle, configuration, data, options)        a new run
//! Checkpoint::open(bundle) -> prepare -> resume           a stopped run
//! run.train(stop)                                         the loop of `train.rs`, with saves
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::Device;

use super::card::CardCommands;
use super::facts::{agree_on_run, agree_on_start, agreed_fingerprint};
use super::loss_unit::LossUnit;
use super::objective::Objective;
use super::options::Options;
use super::plot::History;
use super::record::RunBundle;
use super::report::Reporter;
use super::splits::Splits;
use super::tensorboard::EventWriter;
use super::train::Ending;
use super::trainer::Trainer;
use super::valid_rows;
use crate::Result;
use crate::bundle::{BundleWriter, Config, Loaded};
use crate::data::dataset::Dataset;
use crate::distributed::{Launch, Ranks};
use crate::memory::Estimate;
use crate::parameters;
use crate::tasks::{DataSpec, Prepared};
use crate::tokenizer::Tokenizer;

/// A model in training, its data, and the bundle that it is saved to.
pub struct Run {
    /// The network and the state of its training.
    pub trainer: Trainer,
    splits: Splits,
    reporter: Reporter,
    record: RunBundle,
    ended: Option<Ending>,
}

impl Run {
    /// Return a run before its first step, to be saved by `writer`. Each of several processes starts the same run, on
    /// what [`prepare`](super::prepare::prepare) read there, and the first saves it.
    ///
    /// # Errors
    /// If the configuration or an option is invalid, the data is too short for a batch, the machine has less memory
    /// than training takes, or the processes differ; and errors from candle.
    pub fn start(
        writer: BundleWriter,
        config: Config,
        data: DataSpec,
        mut prepared: Prepared,
        options: Options,
        device: &Device,
        ranks: Ranks,
    ) -> Result<Self> {
        let total_steps = options.total_steps(&prepared.splits)?;
        if device.is_cpu() {
            let rows = options.batch_size.div_ceil(ranks.size());
            let processes = Launch::of_environment().map_or(1, |launch| launch.local_size);
            let positions = match &prepared.splits.train {
                Dataset::Stream { .. } => rows.saturating_mul(options.bptt),
                Dataset::Examples(examples) => rows.min(examples.len()),
            };
            Estimate::of_training(&config.network, &options.optimizer, positions)?.check(processes)?;
        }
        let (network, parameters) = parameters::build(&config.network, config.dtype, device)?;
        let tokenizer = prepared.tokenizer.map(Arc::new);
        let objective = Objective::new(&config, tokenizer.clone());
        let mut trainer = Trainer::new(objective, network, parameters, options, total_steps, device)?;
        trainer.valid_rows = valid_rows::of(&prepared.splits);
        trainer.join(ranks, &[])?;
        agree_on_run(&trainer, &config.network, tokenizer.as_deref())?;
        let fingerprint = agreed_fingerprint(trainer.ranks.as_ref(), &prepared.splits)?;
        prepared.splits.keep_rows(trainer.options.cut(), trainer.valid_rows, trainer.ranks.as_ref())?;
        // The other processes write no bundle, and the summary has a checksum of all data.
        let summary = trainer.ranks.is_first().then(|| data.summary()).transpose()?;
        let config = Config { data: summary, ..config };
        let history = History::default();
        let record = RunBundle { config, data, tokenizer, fingerprint, writer, history, commands: None };
        Ok(Self::new(trainer, record, prepared.splits, prepared.unit, None, device))
    }

    /// Join the parts of a run.
    pub(super) fn new(
        mut trainer: Trainer,
        record: RunBundle,
        splits: Splits,
        unit: LossUnit,
        ended: Option<Ending>,
        device: &Device,
    ) -> Self {
        let Options { seed, label_smoothing, .. } = trainer.options;
        let Config { task, text_column, .. } = &record.config;
        let tokenizer = record.tokenizer.as_ref();
        trainer.sampler = tokenizer
            .filter(|_| trainer.ranks.is_first())
            .and_then(|tokenizer| task.sampler(tokenizer, text_column.is_some(), seed, device));
        let reporter = Reporter::new(unit, label_smoothing > 0.);
        Self { trainer, splits, reporter, record, ended }
    }

    /// Train to the end, or until `stop` is set in any of the processes. The first reports, and saves the bundle after
    /// every scheduled evaluation, at the end and on a stop.
    ///
    /// # Errors
    /// If the processes start from different parameters, and as [`Trainer::run`]. A bundle saved before stays as it is.
    pub fn train(&mut self, stop: &AtomicBool) -> Result<Ending> {
        let Self { trainer, splits, reporter, record, .. } = self;
        agree_on_start(trainer)?;
        if !trainer.ranks.is_first() {
            let mut gather = |trainer: &Trainer, _: &mut ()| trainer.gathered().map(drop);
            return trainer.run(splits, &mut (), stop, &mut gather);
        }
        let mut save =
            |trainer: &Trainer, reporter: &mut Reporter| record.save(trainer, trainer.gathered()?, reporter);
        let ending = trainer.run(splits, reporter, stop, &mut save);
        reporter.end();
        ending
    }

    /// The classes of the validation split that the saved model never predicts, with their numbers of targets; see
    /// [`Trainer::never_predicted`].
    ///
    /// # Errors
    /// As [`Trainer::never_predicted`].
    pub fn never_predicted(&self) -> Result<Vec<(String, u64)>> {
        self.trainer.never_predicted(&self.splits)
    }

    /// Write the bundle again from the state of the training, with the parameters that the run had selected for
    /// inference.
    ///
    /// # Errors
    /// If the bundle cannot be written, and errors from candle.
    pub fn rewrite(&mut self) -> Result<()> {
        if self.ended == Some(Ending::Finished) {
            // Selects the parameters at the end of the run, which the state of the training does not hold.
            self.trainer.final_evaluation(&self.splits, &mut ())?;
        }
        let gathered = self.trainer.gathered()?;
        match self.trainer.ranks.is_first() {
            true => self.record.save(&self.trainer, gathered, &mut self.reporter),
            false => Ok(()),
        }
    }

    /// The ending of the run before it was resumed; `None` if there are steps left.
    pub fn ended(&self) -> Option<Ending> {
        self.ended
    }

    /// Set the parameters to those of another bundle, and evaluate them: the run keeps only what is better.
    ///
    /// # Errors
    /// If the parameters do not fit the network; and as [`Trainer::evaluate_start`].
    pub fn start_from(&mut self, bundle: &Loaded) -> Result<()> {
        bundle.load_weights(&self.trainer.parameters)?;
        match self.trainer.ranks.is_first() {
            true => self.trainer.evaluate_start(&self.splits, &mut self.reporter),
            false => self.trainer.evaluate_start(&self.splits, &mut ()),
        }
    }

    /// Show commands on the model card, from the next save on. Without a call it shows none.
    pub fn show_commands(&mut self, commands: CardCommands) {
        self.record.commands = Some(commands);
    }

    /// Write the metrics to a TensorBoard event file too.
    pub fn write_events(&mut self, events: EventWriter) {
        self.reporter.events = Some(events);
    }

    /// Return the configuration of the model.
    pub fn config(&self) -> &Config {
        &self.record.config
    }

    /// Return the source of the data.
    pub fn data(&self) -> &DataSpec {
        &self.record.data
    }

    /// Training and validation data.
    pub fn splits(&self) -> &Splits {
        &self.splits
    }

    /// Return the tokenizer; `None` if the data is not text.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.record.tokenizer.as_deref()
    }

    /// Return the bundle's directory.
    pub fn path(&self) -> &Path {
        self.record.writer.path()
    }

    /// Return whether a checkpoint of this run is on disk.
    pub fn has_saved(&self) -> bool {
        self.record.writer.has_saved()
    }
}
