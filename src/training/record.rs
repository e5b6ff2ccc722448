//! The bundle of a run.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::card::{self, CardCommands, Extras};
use super::gathered::Gathered;
use super::options::Options;
use super::plot::{Axis, History, Picture, PlottedRun};
use super::progress::Progress;
use super::report::Reporter;
use super::trainer::Trainer;
use super::valid_rows;
use crate::bundle::{BundleWriter, Config, Contents, Training};
use crate::rng::Position;
use crate::tasks::DataSpec;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// The parts of a run's bundle that do not change during training, and the writer of the bundle.
pub(super) struct RunBundle {
    pub(super) config: Config,
    pub(super) data: DataSpec,
    pub(super) tokenizer: Option<Arc<Tokenizer>>,
    /// A hash of the splits, to detect data that has changed.
    pub(super) fingerprint: u64,
    pub(super) writer: BundleWriter,
    /// The metrics so far, for the curve.
    pub(super) history: History,
    /// Commands for the model card.
    pub(super) commands: Option<CardCommands>,
}

/// The state of a run besides tensors: `state` in `training/state.json`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct RunState {
    pub(super) options: Options,
    pub(super) progress: Progress,
    pub(super) data: DataSpec,
    pub(super) fingerprint: u64,
    /// The number of batch rows of validation.
    #[serde(default = "valid_rows::of_older_runs", rename = "lanes")]
    pub(super) valid_rows: usize,
    /// The positions of the generators of dropout masks of the processes after the first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) other_noise: Vec<Position>,
}

impl RunBundle {
    /// Save the run as a bundle. `gathered` is the state of all its processes.
    ///
    /// # Errors
    /// If the bundle cannot be written, and errors from candle.
    pub(super) fn save(
        &mut self,
        trainer: &Trainer,
        gathered: Gathered,
        reporter: &mut Reporter,
    ) -> Result<()> {
        let Gathered { carry, other_noise } = gathered;
        for metric in reporter.metrics.drain(..) {
            self.writer.append_metrics(&metric)?;
            self.history.push(&metric.split, (&metric).into());
        }
        let last = trainer.parameters.to_tensors()?;
        let saved = RunState {
            options: trainer.options.clone(),
            progress: trainer.progress.clone(),
            data: self.data.clone(),
            fingerprint: self.fingerprint,
            valid_rows: trainer.valid_rows,
            other_noise,
        };
        let state = serde_json::to_value(&saved).map_err(|error| Error::Message(error.to_string()))?;
        let tokenizer = self.tokenizer.as_ref().map(|tokenizer| tokenizer.to_json()).transpose()?;
        let curve = self.curve();
        let extras = Extras {
            recipe: self.writer.recipe().is_some(),
            curve: curve.is_some(),
            commands: self.commands.as_ref(),
        };
        self.writer.save(&Contents {
            config: &self.config,
            weights: trainer.selected.as_ref().unwrap_or(&last),
            tokenizer: tokenizer.as_deref(),
            readme: &card::write(&self.config, &self.data, trainer, reporter.unit(), extras),
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

    /// The learning curve as SVG; `None` if it cannot be drawn, which must not end a run.
    fn curve(&self) -> Option<String> {
        let name = self.writer.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let runs = [PlottedRun { name, history: self.history.clone() }];
        Picture::usual(&runs, Axis::Step).and_then(|picture| picture.svg(&runs)).ok()
    }
}
