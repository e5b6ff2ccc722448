//! A training run and its bundle: begun from a configuration and data, saved at every evaluation, taken
//! up again where it stopped.
//!
//! ```text
//! Run::start(bundle, configuration, data, options)        a new run
//! Checkpoint::open(bundle) -> prepare -> resume           one that was interrupted, or is to go on
//! run.train(stop)                                         the loop of `train.rs`, saving as it goes
//! ```

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::{Device, Tensor};
use rnn_zoo_models::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::card;
use super::card::Beside;
use super::optim::Optimizer;
use super::options::Options;
use super::plot::{self, Axis, History, Picture};
use super::report::{Report, Unit};
use super::tensorboard::EventWriter;
use super::train::{Ending, Progress, Splits, Stopped, Trainer};
use crate::bundle::{BundleWriter, Config, Contents, Loaded, Training, TrainingState};
use crate::inference::model;
use crate::parameters::{NamedTensors, Parameters};
use crate::tasks::{self, DataSpec, Prepared, Task, TokenizerSource};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// A model in training, with its data and the bundle that keeps both.
pub struct Run {
    /// The network and where its training stands.
    pub trainer: Trainer,
    splits: Splits,
    report: Report,
    record: Record,
    ended: Option<Ending>,
}

/// What of a run goes into its bundle and does not change while it goes on.
struct Record {
    config: Config,
    data: DataSpec,
    tokenizer: Option<Arc<Tokenizer>>,
    /// Of the splits, to notice data that has changed.
    fingerprint: u64,
    writer: BundleWriter,
    /// Its reports so far, for their picture.
    history: History,
}

/// What a bundle remembers of a run beside tensors: `state` in `training/state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Saved {
    options: Options,
    progress: Progress,
    data: DataSpec,
    fingerprint: u64,
}

impl Run {
    /// A run before its first step, to be kept by `writer`.
    ///
    /// # Errors
    /// A configuration or options that make no sense, data too short for a batch, and those of the
    /// device.
    pub fn start(
        writer: BundleWriter,
        config: Config,
        data: DataSpec,
        prepared: Prepared,
        options: Options,
        device: &Device,
    ) -> Result<Self> {
        let (network, parameters) = model::build(&config, device)?;
        let trainer = Trainer::new(network, parameters, options, &prepared.splits, device)?;
        let fingerprint = prepared.splits.fingerprint()?;
        let tokenizer = prepared.tokenizer.map(Arc::new);
        let history = History::default();
        let record = Record { config, data, tokenizer, fingerprint, writer, history };
        Ok(Self::new(trainer, record, prepared.splits, prepared.unit, device))
    }

    fn new(trainer: Trainer, record: Record, splits: Splits, unit: Unit, device: &Device) -> Self {
        let report = report(&trainer.options, &record.config, unit, record.tokenizer.as_ref(), device);
        Self { trainer, splits, report, record, ended: None }
    }

    /// Trains to the end, or until `stop` is set; the bundle is saved at every evaluation, at the end and
    /// on a stop.
    ///
    /// # Errors
    /// Those of [`Trainer::run`]. A bundle that was saved before stays as it is.
    pub fn train(&mut self, stop: &AtomicBool) -> Result<Ending> {
        let Self { trainer, splits, report, record, .. } = self;
        let mut save = |trainer: &mut Trainer, report: &mut Report| record.save(trainer, report);
        let ending = trainer.run(splits, report, stop, &mut save);
        report.end();
        ending
    }

    /// How the run had ended when it was taken up again; `None` where something was left to do.
    pub fn ended(&self) -> Option<Ending> {
        self.ended
    }

    /// Gives the run the parameters of another bundle for its start, and judges them: what validation likes less
    /// is not kept.
    ///
    /// # Errors
    /// Parameters that do not fit the network, and those of [`Trainer::judge_start`].
    pub fn start_from(&mut self, bundle: &Loaded) -> Result<()> {
        bundle.load_weights(&self.trainer.parameters)?;
        self.trainer.judge_start(&self.splits, &mut self.report)
    }

    /// Gives the run's figures to TensorBoard, too.
    pub fn watch(&mut self, events: EventWriter) {
        self.report.events = Some(events);
    }

    /// How the model is built.
    pub fn config(&self) -> &Config {
        &self.record.config
    }

    /// The data that it is trained on.
    pub fn data(&self) -> &DataSpec {
        &self.record.data
    }

    /// Training and validation data as it is read.
    pub fn splits(&self) -> &Splits {
        &self.splits
    }

    /// How text becomes tokens; `None` where the data is none.
    pub fn tokenizer(&self) -> Option<&Tokenizer> {
        self.record.tokenizer.as_deref()
    }

    /// The bundle's directory.
    pub fn path(&self) -> &Path {
        self.record.writer.path()
    }

    /// Whether a checkpoint of this run is on disk.
    pub fn has_saved(&self) -> bool {
        self.record.writer.has_saved()
    }
}

impl Record {
    fn save(&mut self, trainer: &Trainer, report: &mut Report) -> Result<()> {
        for metric in report.metrics.drain(..) {
            self.writer.append_metrics(&metric)?;
            self.history.push(&metric.split, (&metric).into());
        }
        let last = trainer.parameters.to_tensors()?;
        let saved = Saved {
            options: trainer.options.clone(),
            progress: trainer.progress.clone(),
            data: self.data.clone(),
            fingerprint: self.fingerprint,
        };
        let state = serde_json::to_value(&saved).map_err(|error| Error::Message(error.to_string()))?;
        let mut carry = NamedTensors::new();
        if let Some(State { h, c }) = &trainer.carried {
            carry.insert("h".into(), h.clone());
            carry.extend(c.iter().map(|c| ("c".to_string(), c.clone())));
        }
        let tokenizer = self.tokenizer.as_ref().map(|tokenizer| tokenizer.to_json()).transpose()?;
        let curve = self.curve();
        let beside = Beside { recipe: self.writer.recipe().is_some(), curve: curve.is_some() };
        self.writer.save(&Contents {
            config: &self.config,
            weights: trainer.shipped.as_ref().unwrap_or(&last),
            tokenizer: tokenizer.as_deref(),
            readme: &card::write(&self.config, &self.data, trainer, report, beside),
            curve: curve.as_deref(),
            training: Some(Training {
                last: &last,
                best: trainer.best.as_ref(),
                average: trainer.average.as_ref(),
                optimizer: &trainer.optimizer.state()?,
                carry: &carry,
                state: &state,
            }),
        })
    }

    /// The picture of the run; a run is not lost because it cannot be drawn.
    fn curve(&self) -> Option<String> {
        let name = self.writer.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let runs = [plot::Run { name, history: self.history.clone() }];
        Picture::usual(&runs, Axis::Step).and_then(|picture| picture.svg(&runs)).ok()
    }
}

/// A run that has stopped, as its bundle tells it.
pub struct Checkpoint {
    /// What the run obeyed. Its length may be changed before it goes on.
    pub options: Options,
    saved: Saved,
    loaded: Loaded,
    writer: BundleWriter,
    tensors: Tensors,
}

/// The tensors of a checkpoint.
struct Tensors {
    last: NamedTensors,
    best: Option<NamedTensors>,
    average: Option<NamedTensors>,
    optimizer: NamedTensors,
    carry: NamedTensors,
}

impl Checkpoint {
    /// Reads the bundle at `path`.
    ///
    /// # Errors
    /// Those of [`BundleWriter::resume`], and a state that is not a run's; the message names the file.
    pub fn open(path: &Path) -> Result<Self> {
        let (writer, loaded, training) = BundleWriter::resume(path)?;
        let TrainingState { last, best, average, optimizer, carry, state } = training;
        let damaged = |problem: String| {
            Error::file(path.join("training/state.json"), format!("is not a run's state: {problem}"))
        };
        let saved: Saved = serde_json::from_value(state).map_err(|error| damaged(error.to_string()))?;
        let sound = saved.options.validate().and_then(|()| saved.progress.scheduler.validate());
        sound.map_err(|error| damaged(error.to_string()))?;
        let tensors = Tensors { last, best, average, optimizer, carry };
        Ok(Self { options: saved.options.clone(), saved, loaded, writer, tensors })
    }

    /// Where the run stopped.
    pub fn progress(&self) -> &Progress {
        &self.saved.progress
    }

    /// The text of the run's `recipe.toml`; bundles of older versions have none.
    pub fn recipe(&self) -> Option<&str> {
        self.writer.recipe()
    }

    /// Another text for the run's `recipe.toml`, from the next save on.
    pub fn set_recipe(&mut self, recipe: String) {
        self.writer.set_recipe(recipe);
    }

    /// Adds a command that made the run longer to those that its model card shows.
    pub fn add_command(&mut self, command: &str) {
        let commands = &mut self.loaded.config.created_with;
        commands.push('\n');
        commands.push_str(command);
    }

    /// Reads the run's data again, with the tokenizer and the labels it was started with.
    ///
    /// # Errors
    /// Where data or tokenizer cannot be read.
    pub fn prepare(&self) -> Result<Prepared> {
        let Config { task, labels, .. } = &self.loaded.config;
        let tokenizer = TokenizerSource::Loaded(self.loaded.tokenizer()?.map(Box::new));
        self.saved.data.prepare(*task, tokenizer, labels.clone())
    }

    /// The run, ready to go on over its data.
    ///
    /// # Errors
    /// Data that has changed, tensors that do not fit the model, and those of the device.
    pub fn resume(self, prepared: Prepared, device: &Device) -> Result<Run> {
        let Self { options, saved, loaded, writer, tensors } = self;
        let fingerprint = prepared.splits.fingerprint()?;
        if fingerprint != saved.fingerprint {
            let problem =
                "has changed since the run was started with it; put it back as it was, or train anew";
            return Err(Error::file(&saved.data.data, problem));
        }
        let (network, parameters) = model::build(&loaded.config, device)?;
        let in_file = |name: &str, error: Error| Error::file(loaded.path.join("training").join(name), error);
        for (name, kept) in [("best", &tensors.best), ("average", &tensors.average)] {
            if let Some(kept) = kept {
                // Set only to be checked: the run goes on from the last parameters.
                parameters.set_all(kept).map_err(|error| in_file(&format!("{name}.safetensors"), error))?;
            }
        }
        parameters.set_all(&tensors.last).map_err(|error| in_file("last.safetensors", error))?;
        let mut optimizer =
            Optimizer::new(options.optimizer.clone())?.sparing_vectors_and_embeddings(&parameters);
        optimizer
            .load_state(&parameters, &tensors.optimizer)
            .map_err(|error| in_file("optimizer.safetensors", error))?;
        let carried = carried(&tensors.carry, device)?;
        let Tensors { best, average, .. } = tensors;
        let average = average.map(|average| like_parameters(average, &parameters)).transpose()?;
        let stopped = Stopped { optimizer, progress: saved.progress, carried, average, best };
        let trainer = Trainer::resume(network, parameters, options, stopped, &prepared.splits, device)?;
        let step = trainer.progress.step;
        // A run that was stopped behind its last step has its last evaluation before it.
        let judged = prepared.splits.valid.is_none() || last_evaluation(&loaded.metrics) == Some(step);
        let ended = match judged && step >= trainer.options.total_steps(&prepared.splits)? {
            true => Some(Ending::Finished),
            false => trainer.has_stalled().then_some(Ending::EarlyStopped),
        };
        let tokenizer = prepared.tokenizer.map(Arc::new);
        let history = History::read(&loaded.metrics.join("\n")).unwrap_or_default();
        let record =
            Record { config: loaded.config, data: saved.data, tokenizer, fingerprint, writer, history };
        Ok(Run { ended, ..Run::new(trainer, record, prepared.splits, prepared.unit, device) })
    }
}

/// The step of the last evaluation that the lines of a `metrics.jsonl` report.
fn last_evaluation(lines: &[String]) -> Option<usize> {
    let reports = lines.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut evaluations = reports.filter(|report| report["split"] == "valid");
    evaluations.next()?["step"].as_u64().map(|step| step as usize)
}

/// Tensors of the dtypes and on the devices of the parameters of their names.
fn like_parameters(tensors: NamedTensors, parameters: &Parameters) -> Result<NamedTensors> {
    let like = |(name, tensor): (String, Tensor)| match parameters.get(&name) {
        Some(var) => Ok((name, tensor.to_device(var.device())?.to_dtype(var.dtype())?)),
        None => Ok((name, tensor)),
    };
    tensors.into_iter().map(like).collect()
}

/// The hidden state that a checkpoint carries.
fn carried(carry: &NamedTensors, device: &Device) -> Result<Option<State>> {
    let tensor = |name| carry.get(name).map(|tensor| tensor.to_device(device)).transpose();
    let Some(h) = tensor("h")? else { return Ok(None) };
    Ok(Some(State { h, c: tensor("c")? }))
}

/// The run's voice; a language model writes samples as it learns.
fn report(
    options: &Options,
    config: &Config,
    unit: Unit,
    tokenizer: Option<&Arc<Tokenizer>>,
    device: &Device,
) -> Report {
    let writes = tokenizer.filter(|_| config.task == Task::Lm);
    let sampler = writes.map(|tokenizer| {
        tasks::sampler(tokenizer.clone(), config.text_column.is_some(), options.seed, device)
    });
    Report::new(unit, sampler, options.log_every, options.label_smoothing > 0.)
}
