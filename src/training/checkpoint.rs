//! A stopped run, read back from its bundle.

use std::path::Path;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use rnn_zoo_models::State;
use serde_json::Value;

use super::facts::{agree_on_run, agreed_fingerprint};
use super::objective::Objective;
use super::optim::Optimizer;
use super::options::Options;
use super::plot::History;
use super::prepare::prepare;
use super::progress::Progress;
use super::record::{RunBundle, RunState};
use super::run::Run;
use super::train::Ending;
use super::trainer::{Stopped, Trainer};
use crate::bundle::{BundleWriter, Config, Loaded, TrainingState};
use crate::distributed::{Communicator, Ranks};
use crate::inference::carry::Carried;
use crate::parameters::{self, NamedTensors, Parameters};
use crate::tasks::{Origin, Prepared};
use crate::{Error, Result};

/// A stopped run, read back from its bundle.
pub struct Checkpoint {
    /// The options of the run. Its length may be changed before the run resumes.
    pub options: Options,
    saved: RunState,
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
    /// Read the bundle at `path`. All processes of the run read it, the first before the others, because it completes
    /// what a crash left.
    ///
    /// # Errors
    /// If the bundle cannot be read or resumed, or its state is not that of a run; the message names the file.
    pub fn open(path: &Path, ranks: &dyn Communicator) -> Result<Self> {
        let (writer, loaded, training) = match ranks.is_first() {
            true => {
                let opened = BundleWriter::resume(path)?;
                ranks.barrier();
                opened
            }
            false => {
                ranks.barrier();
                BundleWriter::resume_beside(path)?
            }
        };
        let TrainingState { last, best, average, optimizer, carry, state } = training;
        let damaged = |problem: String| {
            loaded.unusable_training("training/state.json", &format!("is not the state of a run: {problem}"))
        };
        let invalid = |error| match error {
            Error::Invalid { field, problem } => damaged(format!("option `{field}`: {problem}")),
            error => damaged(error.to_string()),
        };
        let saved: RunState = serde_json::from_value(state).map_err(|error| damaged(error.to_string()))?;
        let valid = saved.options.validate().and_then(|()| saved.progress.scheduler.validate());
        let valid = valid.and_then(|()| loaded.config.task.criterion(&saved.options.metric));
        valid.map_err(invalid)?;
        saved.progress.check(usize::MAX).map_err(damaged)?; // its data is not read yet
        if saved.other_noise.iter().any(|noise| noise.restore().is_none()) {
            return Err(damaged("`other_noise` has no positions of random generators".into()));
        }
        let tensors = Tensors { last, best, average, optimizer, carry };
        Ok(Self { options: saved.options.clone(), saved, loaded, writer, tensors })
    }

    /// Return the position at which the run stopped.
    pub fn progress(&self) -> &Progress {
        &self.saved.progress
    }

    /// Return the number of processes of the run when it stopped. With another number it continues, and the result
    /// differs from that of a run without interruption.
    pub fn processes(&self) -> usize {
        1 + self.saved.other_noise.len()
    }

    /// Check the parameters for inference, which resuming does not read.
    ///
    /// # Errors
    /// If `model.safetensors` is damaged or belongs to another model; [`Run::rewrite`] restores it.
    pub fn check_model(&self) -> Result<()> {
        self.loaded.check_parameters()
    }

    /// Return the text of the run's `recipe.toml`; bundles of older versions have none.
    pub fn recipe(&self) -> Option<&str> {
        self.writer.recipe()
    }

    /// Replace the text of the run's `recipe.toml`, from the next save on.
    pub fn set_recipe(&mut self, recipe: String) {
        self.writer.set_recipe(recipe);
    }

    /// Add a command that made the run longer to those that its model card shows.
    pub fn add_command(&mut self, command: &str) {
        let commands = &mut self.loaded.config.created_with;
        commands.push('\n');
        commands.push_str(command);
    }

    /// The source of the run's data, as the user named it.
    pub fn data(&self) -> &Path {
        Path::new(&self.saved.data.data)
    }

    /// Read the run's data again, with the tokenizer and the labels that the run started with. All processes of the run
    /// read it.
    ///
    /// # Errors
    /// If the data or the tokenizer cannot be read; and as [`prepare`].
    pub fn prepare(&self, ranks: &dyn Communicator) -> Result<Prepared> {
        let tokenizer = self.loaded.tokenizer()?;
        let config = &self.loaded.config;
        prepare(config.task, &self.saved.data, Origin::Loaded(config.known(tokenizer)), ranks)
    }

    /// Resume the run on its data, on as many processes as before or on others.
    ///
    /// # Errors
    /// If the data has changed, a tensor does not fit the model, or the processes differ; and errors from candle.
    pub fn resume(self, mut prepared: Prepared, device: &Device, ranks: Ranks) -> Result<Run> {
        let Self { options, saved, loaded, writer, tensors } = self;
        let fingerprint = agreed_fingerprint(ranks.as_ref(), &prepared.splits)?;
        if fingerprint != saved.fingerprint {
            let problem = "has changed since the run was started with it; restore it, or start another run";
            return Err(Error::file(&saved.data.data, problem));
        }
        let batches = options.batches(&prepared.splits, saved.progress.epoch)?;
        saved.progress.check(batches).map_err(|problem| {
            let file = loaded.path.join("training/state.json");
            Error::file(
                file,
                format!("is not the state of a run: {problem}; start another run with `Run::start_from`"),
            )
        })?;
        let tokenizer = prepared.tokenizer.map(Arc::new);
        let objective = Objective::new(&loaded.config, tokenizer.clone());
        let Config { network, dtype, .. } = &loaded.config;
        let (network, parameters) = parameters::build(network, *dtype, device)?;
        let folder = loaded.path.join("training");
        let stopped = tensors.restore(&folder, &parameters, &options, saved.progress, device)?;
        let mut trainer =
            Trainer::resume(objective, network, parameters, options, stopped, &prepared.splits, device)?;
        trainer.valid_rows = saved.valid_rows.max(1);
        trainer.join(ranks, &saved.other_noise)?;
        // A run that was interrupted after its last step still lacks its last evaluation.
        let step = trainer.progress.step;
        let judged = prepared.splits.valid.is_none() || last_evaluation(&loaded.metrics) == Some(step);
        let ended = match judged && step >= trainer.progress.scheduler.total_steps() {
            true => Some(Ending::Finished),
            false => trainer.has_stalled().then_some(Ending::EarlyStopped),
        };
        let history = History::read(&loaded.metrics.join("\n")).unwrap_or_default();
        let (config, data) = (loaded.config, saved.data);
        agree_on_run(&trainer, &config.network, tokenizer.as_deref())?;
        prepared.splits.keep_rows(trainer.options.cut(), trainer.valid_rows, trainer.ranks.as_ref())?;
        let record = RunBundle { config, data, tokenizer, fingerprint, writer, history, commands: None };
        Ok(Run::new(trainer, record, prepared.splits, prepared.unit, ended, device))
    }
}

impl Tensors {
    /// Set the parameters, and restore the rest of the run's state. `folder` is named in errors.
    fn restore(
        self,
        folder: &Path,
        parameters: &Parameters,
        options: &Options,
        progress: Progress,
        device: &Device,
    ) -> Result<Stopped> {
        let Self { last, best, average, optimizer: state, carry } = self;
        let in_file = |name: &str, error: Error| Error::file(folder.join(name), error);
        for (name, kept) in [("best", &best), ("average", &average)] {
            if let Some(kept) = kept {
                // Only a check: the run continues from the last parameters.
                parameters.set_all(kept).map_err(|error| in_file(&format!("{name}.safetensors"), error))?;
            }
        }
        parameters.set_all(&last).map_err(|error| in_file("last.safetensors", error))?;
        let mut optimizer =
            Optimizer::new(options.optimizer.clone())?.without_decay_of(parameters.vectors_and_embeddings());
        optimizer.load_state(parameters, &state).map_err(|error| in_file("optimizer.safetensors", error))?;
        let average = average.map(|average| like_parameters(average, parameters)).transpose()?;
        Ok(Stopped { optimizer, progress, carried: carried(&carry, device)?, average, best })
    }
}

/// Return the step of the last evaluation in the lines of a `metrics.jsonl`.
fn last_evaluation(lines: &[String]) -> Option<usize> {
    let reports = lines.iter().rev().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut evaluations = reports.filter(|report| report["split"] == "valid");
    evaluations.next()?["step"].as_u64().map(|step| step as usize)
}

/// Convert tensors to the dtype and device of the parameters of the same names.
fn like_parameters(tensors: NamedTensors, parameters: &Parameters) -> Result<NamedTensors> {
    let like = |(name, tensor): (String, Tensor)| match parameters.get(&name) {
        Some(var) => Ok((name, tensor.to_device(var.device())?.to_dtype(var.dtype())?)),
        None => Ok((name, tensor)),
    };
    tensors.into_iter().map(like).collect()
}

/// Return the hidden state of a checkpoint.
fn carried(carry: &NamedTensors, device: &Device) -> Result<Carried> {
    let tensor = |name| carry.get(name).map(|tensor| tensor.to_device(device)).transpose();
    let Some(h) = tensor("h")? else { return Ok(Carried::default()) };
    Ok(Carried::from(State { h, c: tensor("c")? }))
}
