//! Writing bundles.

use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::Path;

use serde::Serialize;
use serde_json::Value;

use super::checksums::Checksums;
use super::config::{Config, Quantisation, is_bundle};
use super::files::{
    AVERAGE, BEST, CARRY, CHECKSUMS, CONFIG, CURVE, LAST, METRICS, MODEL, OPTIMIZER, README, RECIPE, STATE,
    TOKENIZER,
};
use super::find::find;
use super::int8;
use super::load::{Loaded, StateFile, TrainingState, load, metrics_lines};
use super::lock::Lock;
use super::swap::{BundlePath, Partial, Swap, cannot_save, exists};
use super::tensors;
use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// The contents of one save, except for the metrics.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'a> {
    /// The model's configuration.
    pub config: &'a Config,
    /// The best parameters, which everything but resuming uses.
    pub weights: &'a NamedTensors,
    /// The text of `tokenizer.json`.
    pub tokenizer: Option<&'a str>,
    /// The model card, in Markdown.
    pub readme: &'a str,
    /// The text of `curve.svg`, if there is something to draw.
    pub curve: Option<&'a str>,
    /// The state for resuming; without it the bundle can be used but not resumed.
    pub training: Option<Training<'a>>,
}

/// The state that resuming needs.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a> {
    /// The current parameters.
    pub last: &'a NamedTensors,
    /// The parameters of the best scheduled evaluation, if there was one.
    pub best: Option<&'a NamedTensors>,
    /// The average of the parameters, if there is one.
    pub average: Option<&'a NamedTensors>,
    /// The state of the optimizer, `Optimizer::state`.
    pub optimizer: &'a NamedTensors,
    /// The hidden state that the next window starts from.
    pub carry: &'a NamedTensors,
    /// Everything else: schedule, random numbers, position in the data.
    pub state: &'a Value,
}

/// Saves the bundle of a run repeatedly, each time in a single step.
#[derive(Debug)]
pub struct BundleWriter {
    place: BundlePath,
    /// Keeps other processes from writing to the bundle; `None` if another process of the run writes it.
    _lock: Option<Lock>,
    metrics: Vec<String>,
    /// The text of `recipe.toml`.
    recipe: Option<String>,
    /// Whether saves have checksums, as exports do.
    sealed: bool,
    /// Whether the bundle on disk was saved by this run.
    saved: bool,
    /// Whether a resumed run has not changed the bundle yet: it may have checksums, and reports of steps after
    /// the checkpoint.
    as_found: bool,
}

impl BundleWriter {
    /// Create the writer of a new run. Nothing is replaced before the first save, but the path is checked here,
    /// before any training.
    ///
    /// # Errors
    /// If the path is a bundle and `force` is not set, is a file or a folder with other files, cannot be written
    /// to, or another process is writing to it.
    pub fn create(path: &Path, force: bool) -> Result<Self> {
        Self::create_for(path, force, true)
    }

    /// As [`BundleWriter::create`]. `trains` tells whether the new bundle is that of a run, which could resume the
    /// existing one instead.
    pub(crate) fn create_for(path: &Path, force: bool, trains: bool) -> Result<Self> {
        let place = BundlePath::new(path)?;
        fs::create_dir_all(place.parent()).map_err(|error| cannot_save(path, &error))?;
        let lock = Lock::acquire(&place)?;
        place.recover()?;
        check_replaceable(&place)?;
        if is_bundle(place.bundle()) && !force {
            let resume = match trains && exists(&place.bundle().join(STATE)) {
                true => ", or continue its training with `Checkpoint::resume`",
                false => "",
            };
            let problem =
                "is a bundle already; choose another option `out`, or replace it with option `force`";
            return Err(Error::file(path, format!("{problem}{resume}")));
        }
        place.begin().map(drop)?;
        Ok(Self { _lock: Some(lock), ..Self::without_lock(place) })
    }

    /// Return the writer of a new run in a process that never saves, because another one of the run does.
    ///
    /// # Errors
    /// If the path cannot be that of a bundle.
    pub fn beside(path: &Path) -> Result<Self> {
        Ok(Self::without_lock(BundlePath::new(path)?))
    }

    fn without_lock(place: BundlePath) -> Self {
        let (metrics, recipe) = (vec![], None);
        Self { place, _lock: None, metrics, recipe, sealed: false, saved: false, as_found: false }
    }

    /// Create the writer of a resumed run, and read the run's bundle and state. The bundle does not change
    /// before the first report or save. Then `metrics.jsonl` is cut back to the reports before the checkpoint,
    /// because the steps after it are repeated.
    ///
    /// # Errors
    /// As [`load`] and [`Loaded::training`], and if the bundle has no training state, cannot be written to, or
    /// another process is writing to it.
    pub fn resume(path: &Path) -> Result<(Self, Loaded, TrainingState)> {
        find(path)?;
        let place = BundlePath::new(path)?;
        let lock = Lock::acquire(&place)?;
        place.recover()?;
        let (writer, loaded, training) = Self::stopped(place, path)?;
        check_replaceable(&writer.place)?;
        writer.place.begin().map(drop)?;
        Ok((Self { _lock: Some(lock), ..writer }, loaded, training))
    }

    /// As [`BundleWriter::resume`], in a process that never saves, because another one of the run does.
    ///
    /// # Errors
    /// As [`load`] and [`Loaded::training`], and if the bundle has no training state.
    pub fn resume_beside(path: &Path) -> Result<(Self, Loaded, TrainingState)> {
        find(path)?;
        Self::stopped(BundlePath::new(path)?, path)
    }

    /// Read the bundle and the state of a stopped run.
    fn stopped(place: BundlePath, path: &Path) -> Result<(Self, Loaded, TrainingState)> {
        let loaded = load(path)?;
        let Some(training) = loaded.training()? else {
            let problem = "holds a model but no training state, so it cannot be resumed; `Run::start_from` \
                           starts another run from it";
            return Err(Error::file(path, problem));
        };
        let (metrics, recipe) = (loaded.metrics.clone(), loaded.recipe.clone());
        let writer = Self { metrics, recipe, saved: true, as_found: true, ..Self::without_lock(place) };
        Ok((writer, loaded, training))
    }

    /// This writer with the reports and the recipe of another bundle, and with checksums.
    pub(super) fn exporting(self, from: &Loaded) -> Self {
        Self { metrics: from.metrics.clone(), recipe: from.recipe.clone(), sealed: true, ..self }
    }

    /// This writer with the text that every save writes to `recipe.toml`.
    #[must_use]
    pub fn with_recipe(self, recipe: String) -> Self {
        Self { recipe: Some(recipe), ..self }
    }

    /// Set the text that saves write to `recipe.toml` from now on.
    pub fn set_recipe(&mut self, recipe: String) {
        self.recipe = Some(recipe);
    }

    /// Return the text that saves write to `recipe.toml`, if any.
    pub fn recipe(&self) -> Option<&str> {
        self.recipe.as_deref()
    }

    /// Return the bundle's directory.
    pub fn path(&self) -> &Path {
        self.place.bundle()
    }

    /// Return whether a checkpoint of this run is on disk.
    pub fn has_saved(&self) -> bool {
        self.saved
    }

    /// Add a report, a line of `metrics.jsonl`. Before the first save, reports are kept in memory.
    ///
    /// # Errors
    /// If the report cannot be written as JSON, or the file cannot be written.
    pub fn append_metrics(&mut self, report: &impl Serialize) -> Result<()> {
        let path = self.place.bundle().join(METRICS);
        let line = serde_json::to_string(report).map_err(|error| Error::file(&path, error))?;
        // A folder that was removed is made again by the next save, with all reports.
        if self.saved && exists(self.place.bundle()) {
            self.drop_stale_files()?;
            let append = || {
                let mut file = OpenOptions::new().append(true).create(true).open(&path)?;
                file.write_all(format!("{line}\n").as_bytes())
            };
            append().map_err(|error| cannot_save(&path, &error))?;
        }
        self.metrics.push(line);
        Ok(())
    }

    /// Remove the checksums of a resumed export and the reports after its checkpoint, before its first change.
    fn drop_stale_files(&mut self) -> Result<()> {
        if self.as_found {
            let sums = self.place.bundle().join(CHECKSUMS);
            if exists(&sums) {
                fs::remove_file(&sums).map_err(|error| cannot_save(&sums, &error))?;
            }
            cut_metrics(&self.place.bundle().join(METRICS), self.metrics.len())?;
            self.as_found = false;
        }
        Ok(())
    }

    /// Save the bundle and replace the previous one in a single step.
    ///
    /// # Errors
    /// If the disk is full or cannot be written to. The previous bundle is unchanged then.
    pub fn save(&mut self, contents: &Contents<'_>) -> Result<()> {
        self.save_by(contents, Swap::Exchange)
    }

    pub(super) fn save_by(&mut self, contents: &Contents<'_>, swap: Swap) -> Result<()> {
        self.place.recover()?;
        check_replaceable(&self.place)?;
        let partial = self.place.begin()?;
        self.fill(&partial, contents)?;
        partial.commit(swap)?;
        (self.saved, self.as_found) = (true, false);
        Ok(())
    }

    fn fill(&self, partial: &Partial<'_>, contents: &Contents<'_>) -> Result<()> {
        let mut sums = Checksums::default();
        let mut write = |name: &str, bytes: &[u8]| {
            if self.sealed {
                sums.add(name, bytes);
            }
            partial.write(name, bytes)
        };
        write(CONFIG, &json(contents.config)?)?;
        let weights = match contents.config.stored {
            Some(Quantisation::Int8) => int8::encode(contents.weights)?,
            None => tensors::encode(contents.weights)?,
        };
        write(MODEL, &weights)?;
        if let Some(tokenizer) = contents.tokenizer {
            write(TOKENIZER, tokenizer.as_bytes())?;
        }
        let metrics: String = self.metrics.iter().flat_map(|line| [line, "\n"]).collect();
        write(METRICS, metrics.as_bytes())?;
        write(README, contents.readme.as_bytes())?;
        if let Some(curve) = contents.curve {
            write(CURVE, curve.as_bytes())?;
        }
        if let Some(recipe) = &self.recipe {
            write(RECIPE, recipe.as_bytes())?;
        }
        if let Some(training) = contents.training {
            write(LAST, &tensors::encode(training.last)?)?;
            for (file, kept) in [(BEST, training.best), (AVERAGE, training.average)] {
                let Some(kept) = kept else { continue };
                write(file, &tensors::encode(kept)?)?;
            }
            write(OPTIMIZER, &tensors::encode(training.optimizer)?)?;
            write(CARRY, &tensors::encode(training.carry)?)?;
            let state = StateFile { metrics_lines: self.metrics.len(), state: training.state.clone() };
            write(STATE, &json(&state)?)?;
        }
        if self.sealed {
            partial.write(CHECKSUMS, sums.to_text().as_bytes())?;
        }
        Ok(())
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>> {
    let text = serde_json::to_string_pretty(value)
        .map_err(|error| Error::Message(format!("cannot write a checkpoint as JSON: {error}")))?;
    Ok(format!("{text}\n").into_bytes())
}

/// Refuse to replace anything but a bundle or an empty folder that is not write-protected.
fn check_replaceable(place: &BundlePath) -> Result<()> {
    let path = place.bundle();
    if !exists(path) {
        return Ok(());
    }
    // Renaming ignores the folder's own permissions, but a user who removes them wants to keep the folder.
    if fs::metadata(path).is_ok_and(|metadata| metadata.permissions().readonly()) {
        return Err(cannot_save(path, &ErrorKind::PermissionDenied.into()));
    }
    if is_bundle(path) {
        return Ok(());
    }
    let elsewhere = "choose a folder that does not exist yet with option `out`";
    match fs::read_dir(path).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => {
            let problem =
                format!("is a folder with other files, not a bundle, and is left alone; {elsewhere}");
            Err(Error::file(path, problem))
        }
        Err(_) if path.is_file() => Err(Error::file(path, format!("is a file; {elsewhere}"))),
        Err(error) => Err(cannot_save(path, &error)),
    }
}

/// Truncate a file to its first lines.
fn cut_metrics(path: &Path, lines: usize) -> Result<()> {
    let text = match fs::read(path) {
        Err(_) if lines == 0 => return Ok(()),
        text => text.map_err(|error| cannot_save(path, &error))?,
    };
    let length: usize = metrics_lines(&text).take(lines).map(<[u8]>::len).sum();
    if length < text.len() {
        let file = OpenOptions::new().write(true).open(path);
        let cut = |file: File| file.set_len(length as u64).and_then(|()| file.sync_all());
        file.and_then(cut).map_err(|error| cannot_save(path, &error))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
