//! The models of the zoo by name, and the configuration of a whole network of any kind.

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::predictor::{Predictor, PredictorConfig};
use crate::recurrent_config::RecurrentConfig;
use crate::rnnlm::{Rnnlm, RnnlmConfig};

/// A model of the zoo.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name of its cell or network in configurations.
    pub name: &'static str,
    /// A description in one line.
    pub summary: &'static str,
    /// The source of its equations.
    pub paper: &'static str,
    /// The source file with its equations.
    pub file: &'static str,
}

/// All models, simplest first.
pub const MODELS: [Entry; 4] = [
    Entry {
        name: "simple-rnn",
        summary: "one squashed sum of the input and of itself a step earlier",
        paper: "Elman 1990",
        file: "models/simple_rnn.rs",
    },
    Entry {
        name: "lstm",
        summary: "a cell state behind three gates, remembers over long distances",
        paper: "Hochreiter and Schmidhuber 1997",
        file: "models/lstm.rs",
    },
    Entry {
        name: "gru",
        summary: "two gates and one state, three quarters of an LSTM's work",
        paper: "Cho et al. 2014",
        file: "models/gru.rs",
    },
    Entry {
        name: "rnnlm",
        summary: "a language model over words, with any of the cells above",
        paper: "Mikolov et al. 2010",
        file: "models/rnnlm.rs",
    },
];

/// The configuration of a whole network of any kind, as a bundle stores it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// An [`Rnnlm`].
    Rnnlm(RnnlmConfig),
    /// A [`Predictor`].
    Predictor(PredictorConfig),
}

impl ModelConfig {
    /// Build the network with parameters from `vb`.
    ///
    /// # Errors
    /// If the configuration is invalid, or a parameter is missing or has another shape.
    pub fn build(&self, vb: &VarBuilder<'_>) -> Result<Box<dyn Network>> {
        Ok(match self {
            Self::Rnnlm(config) => Box::new(Rnnlm::new(config, vb)?),
            Self::Predictor(config) => Box::new(Predictor::new(config, vb)?),
        })
    }

    /// Number of tokens that the network reads; `None` if it reads features.
    pub fn vocabulary_size(&self) -> Option<usize> {
        match self {
            Self::Rnnlm(config) => Some(config.vocabulary_size),
            Self::Predictor(config) => config.vocabulary_size,
        }
    }

    /// The names of the parameters that are embeddings: matrices with one row per token.
    pub fn embeddings(&self) -> &'static [&'static str] {
        match self.vocabulary_size() {
            Some(_) => &["encoder.weight"],
            None => &[],
        }
    }

    /// The configuration of the recurrent stack.
    pub fn rnn(&self) -> &RecurrentConfig {
        match self {
            Self::Rnnlm(config) => &config.rnn,
            Self::Predictor(config) => &config.rnn,
        }
    }
}
