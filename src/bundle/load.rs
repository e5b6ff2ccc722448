//! Reading bundles.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checksums::Checksums;
use super::config::{Config, is_bundle};
use super::files::{AVERAGE, BEST, CARRY, CONFIG, LAST, METRICS, MODEL, OPTIMIZER, RECIPE, STATE, TOKENIZER};
use super::swap::{Place, exists};
use super::tensors::{load_weights, read_tensors};
use crate::hash::fnv1a;
use crate::parameters::{NamedTensors, Parameters};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// A bundle whose configuration has been read and checked; parameters are read when the model stands.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// Where its files lie.
    pub path: PathBuf,
    /// How to build the model.
    pub config: Config,
    /// The lines of `metrics.jsonl` that the checkpoint knows.
    pub metrics: Vec<String>,
    /// The text of `recipe.toml`, where the bundle has it.
    pub recipe: Option<String>,
    /// What its files were when it was exported.
    checksums: Checksums,
}

/// What resuming needs, as it was saved, to the bit; all tensors on the CPU.
#[derive(Clone, Debug)]
pub struct TrainingState {
    /// The parameters when the run stopped.
    pub last: NamedTensors,
    /// The parameters of the best scheduled evaluation, if there was one.
    pub best: Option<NamedTensors>,
    /// The average of the parameters, if the run keeps one and it has begun.
    pub average: Option<NamedTensors>,
    /// What the optimizer remembered.
    pub optimizer: NamedTensors,
    /// The hidden state that the next window starts from.
    pub carry: NamedTensors,
    /// Everything else.
    pub state: Value,
}

/// The file `training/state.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct State {
    /// How many reports `metrics.jsonl` had.
    pub(super) metrics_lines: usize,
    pub(super) state: Value,
}

/// Reads a bundle's configuration, tokenizer and metrics.
///
/// # Errors
/// A path that is no bundle, saying what it is; a file that is missing; a configuration that
/// [cannot be read](Config::read).
pub fn load(path: &Path) -> Result<Loaded> {
    let path = find(path)?;
    let checksums = Checksums::of(&path)?;
    checksums.check(&path, CONFIG)?;
    let config = Config::read(&path.join(CONFIG))?;
    if !exists(&path.join(MODEL)) {
        return Err(Error::file(path.join(MODEL), "is missing; the bundle is not whole: copy it again"));
    }
    if let Some(kind) = config.tokenizer.as_ref().filter(|_| !exists(&path.join(TOKENIZER))) {
        let problem = format!("is missing, but the model needs its {kind} tokenizer; copy the bundle again");
        return Err(Error::file(path.join(TOKENIZER), problem));
    }
    let known = match exists(&path.join(STATE)) {
        true => {
            checksums.check(&path, STATE)?;
            read_state(&path.join(STATE))?.metrics_lines
        }
        false => usize::MAX,
    };
    // Reports are for people; a bundle without them is as good.
    let metrics = fs::read(path.join(METRICS)).unwrap_or_default();
    let metrics = metrics_lines(&metrics).take(known);
    let metrics = metrics.map(|line| String::from_utf8_lossy(line).trim_end().to_string()).collect();
    let recipe = fs::read_to_string(path.join(RECIPE)).ok();
    Ok(Loaded { path, config, metrics, recipe, checksums })
}

impl Loaded {
    /// Gives the model its best parameters, those of `model.safetensors`.
    ///
    /// # Errors
    /// Those of [`load_weights`].
    pub fn load_weights(&self, parameters: &Parameters) -> Result<()> {
        self.check(MODEL)?;
        load_weights(&self.path.join(MODEL), parameters)
    }

    /// Tells this model from every other: a hash of its parameters, its tokenizer and its network's
    /// configuration, 16 hexadecimal digits. Where the bundle lies and how it was trained do not matter.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        let network = serde_json::to_vec(&self.config.network)
            .map_err(|error| Error::file(self.path.join(CONFIG), error))?;
        let mut parts = vec![network];
        for name in std::iter::once(MODEL).chain(self.config.tokenizer.is_some().then_some(TOKENIZER)) {
            let path = self.path.join(name);
            parts.push(
                fs::read(&path).map_err(|error| Error::file(&path, format!("cannot be read: {error}")))?,
            );
        }
        // With their sizes, so that no byte can change sides.
        let sizes: Vec<u8> = parts.iter().flat_map(|part| (part.len() as u64).to_le_bytes()).collect();
        let hash = fnv1a(parts.iter().flatten().chain(&sizes));
        Ok(format!("{hash:016x}"))
    }

    /// Refuses a file of the bundle that is not what it was when the bundle was exported.
    pub(super) fn check(&self, name: &str) -> Result<()> {
        self.checksums.check(&self.path, name)
    }

    /// The model's tokenizer; `None` for a model that reads no text.
    ///
    /// # Errors
    /// A file that is broken, or of another tokenizer than the model's.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        if self.config.tokenizer.is_none() {
            return Ok(None);
        }
        self.check(TOKENIZER)?;
        let file = self.path.join(TOKENIZER);
        let tokenizer = Tokenizer::from_file(&file)?;
        let (found, expected) = (tokenizer.vocabulary_size(), self.config.network.vocabulary_size());
        match expected {
            Some(expected) if expected != found => {
                let problem = format!(
                    "has {found} tokens, but the model was trained with {expected}; put back the file it was \
                     saved with"
                );
                Err(Error::file(file, problem))
            }
            _ => Ok(Some(tokenizer)),
        }
    }

    /// What resuming needs; `None` where the bundle was saved without it.
    ///
    /// # Errors
    /// Files that are missing or broken.
    pub fn training(&self) -> Result<Option<TrainingState>> {
        let file = |name| self.path.join(name);
        if !exists(&file(STATE)) {
            return Ok(None);
        }
        let tensors = |name| {
            self.check(name)?;
            read_tensors(&file(name), &Device::Cpu)
        };
        Ok(Some(TrainingState {
            state: read_state(&file(STATE))?.state,
            last: tensors(LAST)?,
            best: exists(&file(BEST)).then(|| tensors(BEST)).transpose()?,
            average: exists(&file(AVERAGE)).then(|| tensors(AVERAGE)).transpose()?,
            optimizer: tensors(OPTIMIZER)?,
            carry: tensors(CARRY)?,
        }))
    }
}

fn read_state(path: &Path) -> Result<State> {
    let text = fs::read_to_string(path).map_err(|error| Error::file(path, error))?;
    serde_json::from_str(&text)
        .map_err(|error| Error::file(path, format!("is cut short or of another program: {error}")))
}

/// The lines of `metrics.jsonl` with their ends; one without its end was being written at a crash.
pub(super) fn metrics_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"))
}

/// The directory that holds the bundle's files, or what the path is instead.
fn find(path: &Path) -> Result<PathBuf> {
    if path.as_os_str().is_empty() {
        return Err(Error::file(path, "an empty path names no bundle"));
    }
    if !exists(path) && path.file_name().is_none() {
        return Err(Error::file(path, "does not exist"));
    }
    let found = Place::new(path)?.readable();
    if !exists(&found) {
        return Err(Error::file(path, format!("there is no bundle here; {HOW}")));
    }
    if !found.is_dir() {
        let problem = match found.parent().is_some_and(is_bundle) {
            true => "is one file of a bundle; give the folder that it lies in".to_string(),
            false => format!("is a file, but a bundle is a folder; {HOW}"),
        };
        return Err(Error::file(path, problem));
    }
    match fs::metadata(found.join(CONFIG)) {
        Ok(_) => return Ok(found),
        Err(error) if error.kind() != ErrorKind::NotFound => {
            let problem = format!("cannot be looked at: {error}; check the permissions of the bundle");
            return Err(Error::file(found.join(CONFIG), problem));
        }
        Err(_) => {}
    }
    let inside = fs::read_dir(&found).into_iter().flatten().flatten().map(|entry| entry.path());
    let problem = match inside.filter(|path| is_bundle(path)).min() {
        Some(bundle) => format!("is not a bundle, but holds one: {}", bundle.display()),
        None => format!("is not a bundle: it has no {CONFIG}; {HOW}"),
    };
    Err(Error::file(path, problem))
}

const HOW: &str = "`rnn train lstm --out BUNDLE` makes one";

#[cfg(test)]
mod tests {
    use super::super::fixture::{config, weights};
    use super::super::{BundleWriter, Contents};
    use super::*;
    use candle_core::{DType, Tensor, Var};

    fn bundle(path: &Path) {
        let (config, weights) = (config(), weights(1.0, 6));
        let contents = Contents {
            config: &config,
            weights: &weights,
            tokenizer: Some("{}"),
            readme: "",
            curve: None,
            training: None,
        };
        BundleWriter::create(path, false).unwrap().save(&contents).unwrap();
    }

    fn problem(path: &Path) -> String {
        let error = load(path).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 1, "{error}");
        error
    }

    #[test]
    fn what_is_not_a_bundle_is_described() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        assert!(problem(&path).contains("there is no bundle here; `rnn train lstm --out BUNDLE` makes one"));
        assert!(problem(dir.path()).contains("is not a bundle: it has no config.json"));
        bundle(&path);
        let holds = problem(dir.path());
        assert!(holds.contains(&format!("is not a bundle, but holds one: {}", path.display())), "{holds}");
        assert!(problem(&path.join(MODEL)).contains("is one file of a bundle; give the folder"));
        fs::write(dir.path().join("corpus.txt"), "text").unwrap();
        assert!(problem(&dir.path().join("corpus.txt")).contains("is a file, but a bundle is a folder"));
        for odd in ["", "/", "missing/.."] {
            problem(Path::new(odd));
        }
    }

    #[test]
    fn a_missing_file_is_named() {
        for (name, text) in [
            (MODEL, "model.safetensors: is missing"),
            (TOKENIZER, "tokenizer.json: is missing, but the model needs its char tokenizer"),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let path = dir.path().join("model");
            bundle(&path);
            fs::remove_file(path.join(name)).unwrap();
            assert!(problem(&path).contains(text), "{}", problem(&path));
        }
    }

    #[test]
    fn weights_that_disagree_with_the_model_are_named() {
        let dir = tempfile::tempdir().unwrap();
        bundle(dir.path());
        let loaded = load(dir.path()).unwrap();
        let var =
            |size: usize| Var::from_tensor(&Tensor::zeros(size, DType::F64, &Device::Cpu).unwrap()).unwrap();
        let model = |sizes: [usize; 2]| -> Parameters {
            ["decoder.bias", "rnn.weight"].map(String::from).into_iter().zip(sizes.map(var)).collect()
        };
        let error = loaded.load_weights(&model([2, 8])).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: tensor rnn.weight has shape [4]"), "{error}");
        assert!(error.contains("expects [8]"), "{error}");
        let parameters = model([2, 4]);
        loaded.load_weights(&parameters).unwrap();
        assert_eq!(parameters.get("rnn.weight").unwrap().to_vec1::<f64>().unwrap(), [1.0; 4]);
    }

    #[test]
    fn broken_training_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        bundle(dir.path());
        fs::create_dir(dir.path().join("training")).unwrap();
        fs::write(dir.path().join(STATE), "{\"metrics_li").unwrap();
        assert!(problem(dir.path()).contains("state.json: is cut short or of another program"));
        fs::write(dir.path().join(STATE), "{\"metrics_lines\": 0, \"state\": {}}").unwrap();
        let error = load(dir.path()).unwrap().training().unwrap_err().to_string();
        assert!(error.contains("last.safetensors: cannot be read"), "{error}");
    }
}
