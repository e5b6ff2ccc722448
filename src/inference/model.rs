//! A trained model, loaded from a bundle.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

use candle_core::{Device, Tensor, Var};
use candle_nn::VarBuilder;
use rnn_zoo_models::Network;

use crate::bundle::{self, Config, Loaded, Parts};
use crate::parameters::{NamedTensors, Parameters};
use crate::tasks::Names;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// A network with its tokenizer.
pub struct Model {
    /// The model's configuration.
    pub config: Config,
    /// The network. Unless it was [loaded to be trained](Model::load_trainable), its parameters are constants
    /// and no graph is kept of its use.
    pub network: Box<dyn Network>,
    /// The tokenizer; `None` for a model that reads no text.
    pub tokenizer: Option<Tokenizer>,
    /// The device of the network's parameters.
    pub device: Device,
    path: PathBuf,
    /// The model as the user named it, for errors.
    name: String,
    fingerprint: String,
}

impl Model {
    /// Read the bundle at `path`.
    ///
    /// # Errors
    /// If the bundle is not whole or its files disagree; the message names the file.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let build = |config: &Config, tensors| Ok((build_frozen(config, tensors, device)?, ()));
        Self::assemble(path, device, build).map(|(model, ())| model)
    }

    /// Read the bundle at `path` as a model that can be trained further, and its parameters. Training changes
    /// them in memory alone.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_trainable(path: &Path, device: &Device) -> Result<(Self, Parameters)> {
        Self::assemble(path, device, |config, tensors| {
            let (map, builder) = Parameters::builder(config.dtype, device);
            for (name, tensor) in tensors {
                let variable = Var::from_tensor(&tensor)?;
                map.data().lock().unwrap_or_else(PoisonError::into_inner).insert(name, variable);
            }
            Ok((config.network.build(builder)?, Parameters::from(&map)))
        })
    }

    /// Read a bundle and build its network with `build`, out of the tensors read.
    fn assemble<T>(
        path: &Path,
        device: &Device,
        build: impl FnOnce(&Config, NamedTensors) -> Result<(Box<dyn Network>, T)>,
    ) -> Result<(Self, T)> {
        let name = path.display().to_string();
        let bundle = bundle::load(path)?;
        let Parts { parameters, tokenizer, fingerprint } = bundle.read(device)?;
        let tokenizer = tokenizer.map(Tokenizer::adapted);
        let Loaded { path, config, .. } = bundle;
        let (network, parameters) = build(&config, parameters)?;
        let device = device.clone();
        Ok((Self { config, network, tokenizer, device, path, name, fingerprint }, parameters))
    }

    /// Return the folder of its bundle.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Set the name that errors call the model by, instead of its path.
    #[must_use]
    pub fn named(self, name: impl Into<String>) -> Self {
        Self { name: name.into(), ..self }
    }

    /// Return an error about a request that only a model of another task can serve.
    pub(crate) fn refuse(&self, problem: impl Into<String>) -> Error {
        Error::Unsuited { model: self.name.clone(), problem: problem.into() }
    }

    /// An error about a result of the model, under the name that the user gave it.
    pub(crate) fn failed(&self, problem: impl Into<String>) -> Error {
        Error::file(&self.name, problem.into())
    }

    /// Return a hash of the parameters, the tokenizer and the network's configuration as they were loaded; see
    /// [`Parts::fingerprint`].
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// Return the names of its tokens and classes.
    pub fn names(&self) -> Names<'_> {
        let Config { labels, schema, .. } = &self.config;
        Names { tokenizer: self.tokenizer.as_ref(), labels, schema }
    }

    /// Return the token that a language model reads before the first token of a text; see [`Tokenizer::start`].
    ///
    /// # Errors
    /// If the model reads no text.
    pub fn start_token(&self) -> Result<u32> {
        Ok(self.tokenizer()?.start(self.config.text_column.is_some()))
    }

    /// Return the tokenizer of a model that reads text.
    ///
    /// # Errors
    /// If the model reads no text.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or_else(|| {
            Error::Message(format!(
                "this {} model was trained on numbers and reads no text",
                self.config.task
            ))
        })
    }
}

/// Return a network that uses the tensors as they are, as constants.
fn build_frozen(config: &Config, tensors: NamedTensors, device: &Device) -> Result<Box<dyn Network>> {
    let tensors: HashMap<String, Tensor> = tensors.into_iter().collect();
    Ok(config.network.build(VarBuilder::from_tensors(tensors, config.dtype, device))?)
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Storage};
    use rnn_zoo_models::{LstmConfig, ModelConfig, RecurrentConfig, RnnlmConfig};

    use serde_json::Value;

    use super::*;
    use crate::bundle::{BundleWriter, Contents, FORMAT};
    use crate::parameters;
    use crate::tasks::Lm;

    fn config() -> Config {
        let rnn = RecurrentConfig::Lstm(LstmConfig::new(20, 30));
        Config {
            format: FORMAT,
            model: "lstm".into(),
            task: &Lm,
            network: ModelConfig::Rnnlm(RnnlmConfig::new(30, rnn)),
            tokenizer: None,
            labels: vec![],
            text_column: None,
            schema: Value::Null,
            data: None,
            converted_from: None,
            stored: None,
            dtype: DType::F32,
            zoo_version: "0.1.0".into(),
            created_with: "a test".into(),
        }
    }

    /// Save a bundle with every parameter at `value`.
    fn save(writer: &mut BundleWriter, value: f64) {
        let config = config();
        let (_, parameters) = parameters::build(&config.network, config.dtype, &Device::Cpu).unwrap();
        let mut weights = parameters.to_tensors().unwrap();
        weights.values_mut().for_each(|tensor| *tensor = (tensor.ones_like().unwrap() * value).unwrap());
        let contents = Contents {
            config: &config,
            weights: &weights,
            tokenizer: None,
            readme: "",
            curve: None,
            training: None,
        };
        writer.save(&contents).unwrap();
    }

    /// Return the address of the first number of a tensor.
    fn address(tensor: &Tensor) -> *const f32 {
        let (storage, layout) = tensor.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { panic!("not on the CPU") };
        &raw const storage.as_slice::<f32>().unwrap()[layout.start_offset()]
    }

    #[test]
    fn fingerprint_is_that_of_the_loaded_model() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        let mut writer = BundleWriter::create(&path, false).unwrap();
        save(&mut writer, 1.);
        let before = Model::load(&path, &Device::Cpu).unwrap();
        let fingerprint = before.fingerprint().to_string();
        save(&mut writer, 2.);
        assert_eq!(before.fingerprint(), fingerprint);
        assert_ne!(Model::load(&path, &Device::Cpu).unwrap().fingerprint(), fingerprint);
    }

    #[test]
    fn network_shares_the_storage_of_the_tensors_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        save(&mut BundleWriter::create(&path, false).unwrap(), 1.);
        let mut read = None;
        let (model, ()) = Model::assemble(&path, &Device::Cpu, |config, tensors| {
            read = Some(tensors["decoder.weight"].clone());
            Ok((build_frozen(config, tensors, &Device::Cpu)?, ()))
        })
        .unwrap();
        assert_eq!(address(model.network.output_layer().weight()), address(&read.unwrap()));

        let (model, parameters) = Model::load_trainable(&path, &Device::Cpu).unwrap();
        let variable = parameters.get("decoder.weight").unwrap();
        assert_eq!(address(model.network.output_layer().weight()), address(variable));
        assert_eq!(variable.sum_all().unwrap().to_scalar::<f32>().unwrap(), 900.);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn every_file_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m");
        save(&mut BundleWriter::create(&path, false).unwrap(), 1.);
        // The bytes that this thread has read.
        let count = || {
            let io = std::fs::read_to_string("/proc/thread-self/io").ok()?;
            io.lines().find_map(|line| line.strip_prefix("rchar: ")?.parse::<u64>().ok())
        };
        let Some(before) = count() else { return };
        let own = count().unwrap() - before;
        let before = count().unwrap();
        Model::load(&path, &Device::Cpu).unwrap();
        let read = count().unwrap() - before - own;
        let size = |name: &str| std::fs::metadata(path.join(name)).unwrap().len();
        let files = size("model.safetensors") + size("config.json") + size("metrics.jsonl");
        // The count itself varies by some digits.
        assert!(read.abs_diff(files) < 64, "{read} bytes read of {files}");
    }
}
