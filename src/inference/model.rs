//! A trained model as read back from a bundle, ready to answer.

use std::path::Path;
use std::sync::OnceLock;

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use rnn_zoo_models::Network;

use crate::bundle::{self, Config, Loaded};
use crate::parameters::{self, Parameters};
use crate::tasks::start_token;
use crate::tokenizer::Tokenizer;
use crate::{Error, Result};

/// A network with its tokenizer.
pub struct Model {
    /// What the bundle says of it.
    pub config: Config,
    /// The network. Unless it was [loaded to learn](Model::load_trainable) its parameters cannot be trained
    /// further, and nothing keeps a graph of its use.
    pub network: Box<dyn Network>,
    /// How text becomes tokens; `None` for a model that reads none.
    pub tokenizer: Option<Tokenizer>,
    /// Where it runs.
    pub device: Device,
    bundle: Loaded,
    fingerprint: OnceLock<String>,
}

impl Model {
    /// Reads the bundle at `path`.
    ///
    /// # Errors
    /// A bundle that is not whole, or whose parts disagree; the message names the file.
    pub fn load(path: &Path, device: &Device) -> Result<Self> {
        let (model, parameters) = Self::load_trainable(path, device)?;
        let builder = frozen_builder(&parameters, model.config.dtype, device)?;
        let network = model.config.network.build(&builder)?;
        Ok(Self { network, ..model })
    }

    /// Reads the bundle at `path` for a model that goes on learning, with its parameters. What they become
    /// is in memory alone.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load_trainable(path: &Path, device: &Device) -> Result<(Self, Parameters)> {
        let loaded = bundle::load(path)?;
        let tokenizer = loaded.tokenizer()?;
        let built = build(&loaded.config, device);
        let (network, parameters) =
            built.map_err(|error| Error::file(loaded.path.join("config.json"), error))?;
        loaded.load_weights(&parameters)?;
        let config = loaded.config.clone();
        let (device, fingerprint) = (device.clone(), OnceLock::new());
        Ok((Self { config, network, tokenizer, device, bundle: loaded, fingerprint }, parameters))
    }

    /// Where its bundle lies.
    pub fn path(&self) -> &Path {
        &self.bundle.path
    }

    /// Refuses what only a model of another task can do.
    pub(crate) fn refuse(&self, problem: impl Into<String>) -> Error {
        Error::usage(self.path().display().to_string(), problem)
    }

    /// Tells this model from every other; see [`Loaded::fingerprint`]. Its files are read at the first call: where
    /// the bundle may be replaced while the model is in use, that belongs right behind the loading.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn fingerprint(&self) -> Result<&str> {
        if let Some(fingerprint) = self.fingerprint.get() {
            return Ok(fingerprint);
        }
        let fingerprint = self.bundle.fingerprint()?;
        Ok(self.fingerprint.get_or_init(|| fingerprint))
    }

    /// What a language model reads before the first token of a text: see [`start_token`].
    ///
    /// # Errors
    /// Where it reads no text.
    pub fn start_token(&self) -> Result<u32> {
        Ok(start_token(self.tokenizer()?, self.config.text_column.is_some()))
    }

    /// The tokenizer of a model that reads text.
    ///
    /// # Errors
    /// Where it reads none.
    pub fn tokenizer(&self) -> Result<&Tokenizer> {
        self.tokenizer.as_ref().ok_or_else(|| {
            Error::Message(format!(
                "this {} model was trained on numbers and reads no text",
                self.config.task
            ))
        })
    }
}

/// A network whose parameters can be trained.
///
/// # Errors
/// Where the configuration makes no sense.
pub fn build(config: &Config, device: &Device) -> Result<(Box<dyn Network>, Parameters)> {
    parameters::build(&config.network, config.dtype, device)
}

/// A builder for a network that only answers: its parameters are those given, cut off from training, so
/// that no graph of what it does is kept.
///
/// # Errors
/// Those of the device.
pub fn frozen_builder(parameters: &Parameters, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
    parameters::frozen_builder(parameters, dtype, device)
}

#[cfg(test)]
mod tests {
    use rnn_zoo_models::{LstmConfig, ModelConfig, RecurrentConfig, RnnlmConfig};

    use super::*;
    use crate::bundle::{BundleWriter, Contents, FORMAT};
    use crate::tasks::Task;

    #[test]
    fn a_model_is_the_one_that_was_loaded_whatever_becomes_of_its_bundle() {
        let dir = tempfile::tempdir().unwrap();
        let rnn = RecurrentConfig::Lstm(LstmConfig::new(2, 2));
        let config = Config {
            format: FORMAT,
            model: "lstm".into(),
            task: Task::Lm,
            network: ModelConfig::Rnnlm(RnnlmConfig::new(3, rnn)),
            tokenizer: None,
            labels: vec![],
            text_column: None,
            dtype: DType::F32,
            zoo_version: "0.1.0".into(),
            created_with: "rnn train lstm".into(),
        };
        let path = dir.path().join("m");
        let mut writer = BundleWriter::create(&path, false).unwrap();
        let mut save = |value: f64| {
            let (_, parameters) = build(&config, &Device::Cpu).unwrap();
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
        };
        save(1.);
        let before = Model::load(&path, &Device::Cpu).unwrap();
        let fingerprint = before.fingerprint().unwrap().to_string();
        save(2.);
        assert_eq!(before.fingerprint().unwrap(), fingerprint);
        assert_ne!(Model::load(&path, &Device::Cpu).unwrap().fingerprint().unwrap(), fingerprint);
    }
}
