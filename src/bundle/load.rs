//! Reading bundles.

use std::path::{Path, PathBuf};

use candle_core::Device;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::checksums::{Checksums, HashingReader};
use super::config::Config;
use super::files::{AVERAGE, BEST, CARRY, CONFIG, LAST, METRICS, MODEL, OPTIMIZER, RECIPE, STATE, TOKENIZER};
use super::find::find;
use super::read;
use super::swap::exists;
use super::tensor_file::TensorFile;
use crate::error::json_problem;
use crate::hash::Fnv1a;
use crate::parameter_shapes::ParameterShapes;
use crate::parameters::{NamedTensors, Parameters};
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// The largest `metrics.jsonl` that is read, in bytes.
const LARGEST_METRICS: u64 = 1 << 30;

/// A bundle whose configuration has been read and checked, and whose tensors have not.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The folder with its files.
    pub path: PathBuf,
    /// The model's configuration.
    pub config: Config,
    /// The lines of `metrics.jsonl` up to the checkpoint.
    pub metrics: Vec<String>,
    /// The text of `recipe.toml`, if the bundle has it.
    pub recipe: Option<String>,
    /// The contents of `training/state.json`, or the problem with it; `None` if the bundle has no such file.
    state: Option<Result<Value, String>>,
    /// The checksums of an exported bundle.
    checksums: Checksums,
}

/// A model as read from a bundle, each file once.
#[derive(Debug)]
pub struct Parts {
    /// The parameters, in the dtype of the configuration.
    pub parameters: NamedTensors,
    /// The tokenizer; `None` for a model that reads no text.
    pub tokenizer: Option<Tokenizer>,
    /// A hash of the parameters, the tokenizer and the network's configuration, 16 hexadecimal digits. It
    /// depends neither on the bundle's path nor on how the model was trained.
    pub fingerprint: String,
}

/// Everything that resuming needs, bit for bit as it was saved; all tensors on the CPU.
#[derive(Clone, Debug)]
pub struct TrainingState {
    /// The parameters when the run stopped.
    pub last: NamedTensors,
    /// The parameters of the best scheduled evaluation, if there was one.
    pub best: Option<NamedTensors>,
    /// The average of the parameters, if the run keeps one and it has begun.
    pub average: Option<NamedTensors>,
    /// The state of the optimizer.
    pub optimizer: NamedTensors,
    /// The hidden state that the next window starts from.
    pub carry: NamedTensors,
    /// Everything else.
    pub state: Value,
}

/// The file `training/state.json`.
#[derive(Serialize, Deserialize)]
pub(super) struct StateFile {
    /// The number of lines that `metrics.jsonl` had.
    pub(super) metrics_lines: usize,
    pub(super) state: Value,
}

/// Read a bundle's configuration, reports and settings.
///
/// # Errors
/// If the path is not a bundle (the error says what it is), a file is missing, or the configuration
/// [cannot be read](Config::read).
pub fn load(path: &Path) -> Result<Loaded> {
    let path = find(path)?;
    let checksums = Checksums::of(&path)?;
    let config = Config::parse(&path.join(CONFIG), checksums.read(&path, CONFIG)?)?;
    if !exists(&path.join(MODEL)) {
        return Err(Error::file(path.join(MODEL), "is missing; the bundle is not whole: copy it again"));
    }
    if let Some(kind) = config.tokenizer.as_ref().filter(|_| !exists(&path.join(TOKENIZER))) {
        let problem = format!("is missing, but the model needs its {kind} tokenizer; copy the bundle again");
        return Err(Error::file(path.join(TOKENIZER), problem));
    }
    let (known, state) = match exists(&path.join(STATE)).then(|| read_state(&path, &checksums)) {
        Some(Ok(StateFile { metrics_lines, state })) => (metrics_lines, Some(Ok(state))),
        // The model can be used without the state of its training.
        Some(Err(problem)) => (usize::MAX, Some(Err(problem))),
        None => (usize::MAX, None),
    };
    // A bundle is usable without its reports, which are for people.
    let metrics = read::bounded(&path.join(METRICS), LARGEST_METRICS).unwrap_or_default();
    let metrics = metrics_lines(&metrics).take(known);
    let metrics = metrics.map(|line| String::from_utf8_lossy(line).trim_end().to_string()).collect();
    let recipe = read::optional_text(&path.join(RECIPE)).unwrap_or_default();
    Ok(Loaded { path, config, metrics, recipe, state, checksums })
}

impl Loaded {
    /// Check that the model can be loaded, by everything but the values of its parameters: the tokenizer, and
    /// the names, shapes, dtypes and size in the header of `model.safetensors`.
    ///
    /// # Errors
    /// If a file is broken or belongs to another model.
    pub fn check(&self) -> Result<()> {
        self.tokenizer()?;
        let path = self.path.join(MODEL);
        let (reader, size) = read::open(&path)?;
        TensorFile::open(&path, reader, size)?.check(&self.shapes()?)
    }

    /// Read the model: its tokenizer, its parameters onto a device, and the fingerprint of both.
    ///
    /// # Errors
    /// If the configuration describes no network, or a file is broken, damaged or belongs to another model.
    pub fn read(&self, device: &Device) -> Result<Parts> {
        let network = serde_json::to_vec(&self.config.network)
            .map_err(|error| Error::file(self.path.join(CONFIG), error))?;
        let tokenizer_bytes = self.tokenizer_bytes()?;
        let tokenizer = tokenizer_bytes.as_deref().map(|bytes| self.parse_tokenizer(bytes)).transpose()?;
        let shapes = self.shapes()?;
        let mut hash = Fnv1a::new();
        hash.add_bytes(&network);
        let mut model_size = 0;
        let parameters = self.tensors(MODEL, Some(&mut hash), |file, size| {
            model_size = size;
            file.check(&shapes)?;
            file.parameters(self.config.dtype, device)
        })?;
        let tokenizer_size = tokenizer_bytes.as_ref().map(|bytes| bytes.len() as u64);
        hash.add_bytes(tokenizer_bytes.as_deref().unwrap_or_default());
        // With the sizes, so that no byte can move from one file to the next.
        for size in [Some(network.len() as u64), Some(model_size), tokenizer_size].into_iter().flatten() {
            hash.add_bytes(&size.to_le_bytes());
        }
        Ok(Parts { parameters, tokenizer, fingerprint: format!("{:016x}", hash.0) })
    }

    /// The checksums of an exported bundle; none for another.
    pub(super) fn checksums(&self) -> &Checksums {
        &self.checksums
    }

    /// Read the parameters of `model.safetensors` in the dtypes of the file, onto the CPU.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub(super) fn stored_parameters(&self) -> Result<NamedTensors> {
        let shapes = self.shapes()?;
        self.tensors(MODEL, None, |file, _| {
            file.check(&shapes)?;
            file.stored_parameters()
        })
    }

    /// Return the SHA-256 checksum of `model.safetensors`, in hexadecimal, as `sha256sum` prints it.
    ///
    /// # Errors
    /// If the file cannot be read or is damaged.
    pub fn parameters_sha256(&self) -> Result<String> {
        self.checksums.sha256(&self.path, MODEL)
    }

    /// Check the values of the parameters of `model.safetensors`, too.
    ///
    /// # Errors
    /// As [`Loaded::read`].
    pub fn check_parameters(&self) -> Result<()> {
        self.stored_parameters().map(drop)
    }

    /// Set `parameters` to the best parameters, those of `model.safetensors`.
    ///
    /// # Errors
    /// If the file is damaged, or its names, shapes or dtypes differ from those of `parameters`, of which none
    /// has changed then.
    pub fn load_weights(&self, parameters: &Parameters) -> Result<()> {
        let values = self.tensors(MODEL, None, |file, _| {
            file.check(&parameters.shapes())?;
            file.stored_parameters()
        })?;
        parameters.set_all(&values)
    }

    /// Read the model's tokenizer; `None` for a model that reads no text.
    ///
    /// # Errors
    /// If the file is broken, or belongs to another model.
    pub fn tokenizer(&self) -> Result<Option<Tokenizer>> {
        self.tokenizer_bytes()?.map(|bytes| self.parse_tokenizer(&bytes)).transpose()
    }

    /// Return the bytes of `tokenizer.json`; `None` for a model that reads no text.
    pub(crate) fn tokenizer_bytes(&self) -> Result<Option<Vec<u8>>> {
        let reads_text = self.config.tokenizer.is_some();
        reads_text.then(|| self.checksums.read(&self.path, TOKENIZER)).transpose()
    }

    pub(super) fn parse_tokenizer(&self, bytes: &[u8]) -> Result<Tokenizer> {
        let file = self.path.join(TOKENIZER);
        let tokenizer = Tokenizer::from_json(bytes).map_err(|problem| Error::file(&file, problem))?;
        let (found, expected) = (tokenizer.vocabulary_size(), self.config.network.vocabulary_size());
        match expected {
            Some(expected) if expected != found => {
                let problem = format!(
                    "has {found} tokens, but the model was trained with {expected}; restore the file that was \
                     saved with the model"
                );
                Err(Error::file(file, problem))
            }
            _ => Ok(tokenizer),
        }
    }

    /// Read what resuming needs; `None` if the bundle was saved without it.
    ///
    /// # Errors
    /// If a file is missing, broken or damaged, or parameters are NaN or infinite.
    pub fn training(&self) -> Result<Option<TrainingState>> {
        let Some(state) = self.state.clone() else { return Ok(None) };
        let state = state.map_err(|problem| self.unusable_training(STATE, &problem))?;
        let present = |name| match exists(&self.path.join(name)) {
            true => Ok(name),
            false => Err(self.unusable_training(name, "is missing")),
        };
        let tensors = |name| self.tensors(present(name)?, None, |file, _| file.tensors(&Device::Cpu));
        let parameters = |name| self.tensors(present(name)?, None, |file, _| file.stored_parameters());
        let optional = |name| exists(&self.path.join(name)).then(|| parameters(name)).transpose();
        Ok(Some(TrainingState {
            state,
            last: parameters(LAST)?,
            best: optional(BEST)?,
            average: optional(AVERAGE)?,
            optimizer: tensors(OPTIMIZER)?,
            carry: tensors(CARRY)?,
        }))
    }

    /// Return an error about a file of `training/`, with the uses that the bundle still has.
    pub(crate) fn unusable_training(&self, file: &str, problem: &str) -> Error {
        let problem = format!(
            "{problem}; the run cannot be resumed, but the model can be used, and `Run::start_from` trains it further"
        );
        Error::file(self.path.join(file), problem)
    }

    /// Open a safetensors file of the bundle; `read` gets it with its size in bytes.
    fn tensors(
        &self,
        name: &str,
        fingerprint: Option<&mut Fnv1a>,
        read: impl FnOnce(TensorFile<'_, &mut HashingReader<'_>>, u64) -> Result<NamedTensors>,
    ) -> Result<NamedTensors> {
        let path = self.path.join(name);
        self.checksums.stream(&self.path, name, fingerprint, |reader| {
            let size = reader.size;
            read(TensorFile::open(&path, reader, size)?, size)
        })
    }

    /// Return the names and shapes of the parameters that the configuration asks for.
    fn shapes(&self) -> Result<ParameterShapes> {
        ParameterShapes::of(&self.config.network).map_err(|error| Error::file(self.path.join(CONFIG), error))
    }
}

/// Read `training/state.json` of a bundle. The error is the problem alone.
fn read_state(bundle: &Path, checksums: &Checksums) -> Result<StateFile, String> {
    let problem = |error| match error {
        Error::File { problem, .. } => problem,
        error => error.to_string(),
    };
    let bytes = checksums.read(bundle, STATE).map_err(problem)?;
    serde_json::from_slice(&bytes)
        .map_err(|error| format!("is cut short or of another program: {}", json_problem(&error)))
}

/// Return the complete lines of `metrics.jsonl`, with their ends. A crash can cut the last one short.
pub(super) fn metrics_lines(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split_inclusive(|&byte| byte == b'\n').filter(|line| line.ends_with(b"\n"))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{config, weights};
    use super::super::{BundleWriter, Contents};
    use std::fs;

    use candle_core::{DType, Tensor, Var};

    use super::*;

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
    fn other_paths_are_described() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("model");
        assert!(problem(&path).contains("there is no bundle here; `Run::start` makes one"));
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
    fn missing_files_are_named() {
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
    fn weights_of_another_model_are_refused() {
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
        // The model itself is whole.
        let loaded = load(dir.path()).unwrap();
        let error = loaded.training().unwrap_err().to_string();
        assert!(error.contains("state.json: is cut short or of another program"), "{error}");
        assert!(error.contains("the model can be used"), "{error}");
        fs::write(dir.path().join(STATE), "{\"metrics_lines\": 0, \"state\": {}}").unwrap();
        let error = load(dir.path()).unwrap().training().unwrap_err().to_string();
        assert!(error.contains("last.safetensors: is missing; the run cannot be resumed"), "{error}");
    }
}
