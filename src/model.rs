//! A trained model as read back from a bundle, ready to answer.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rnn_zoo_models::Network;

use crate::bundle::{self, Config, Loaded};
use crate::parameters::Parameters;
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
        Ok((Self { config, network, tokenizer, device: device.clone(), bundle: loaded }, parameters))
    }

    /// Tells this model from every other; see [`Loaded::fingerprint`].
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn fingerprint(&self) -> Result<String> {
        self.bundle.fingerprint()
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
    let (map, builder) = Parameters::builder(config.dtype, device);
    let network = config.network.build(&builder)?;
    Ok((network, Parameters::from(&map)))
}

/// A builder for a network that only answers: its parameters are those given, cut off from training, so
/// that no graph of what it does is kept.
///
/// # Errors
/// Those of the device.
pub fn frozen_builder(parameters: &Parameters, dtype: DType, device: &Device) -> Result<VarBuilder<'static>> {
    let tensors: HashMap<String, Tensor> = parameters.to_tensors()?.into_iter().collect();
    Ok(VarBuilder::from_tensors(tensors, dtype, device))
}
