//! The zoo's inventory: what can be built from a configuration file, and by which name.

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::layers::recurrent::{Recurrent, StackConfig};
use crate::network::Network;
use crate::predictor::{Predictor, PredictorConfig};
use crate::rnnlm::{Rnnlm, RnnlmConfig};
use crate::{Gru, GruConfig, Lstm, LstmConfig, SimpleRnn, SimpleRnnConfig};

/// A model that `rnn train` knows by name.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// The name on the command line.
    pub name: &'static str,
    /// One line about it.
    pub summary: &'static str,
    /// Where its equations come from.
    pub paper: &'static str,
    /// The file that explains it.
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

/// A recurrent stack of any kind.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cell", rename_all = "kebab-case")]
pub enum RecurrentConfig {
    /// See [`SimpleRnn`].
    SimpleRnn(SimpleRnnConfig),
    /// See [`Lstm`].
    Lstm(LstmConfig),
    /// See [`Gru`].
    Gru(GruConfig),
}

/// Evaluates an expression on whichever configuration there is.
macro_rules! any {
    ($config:expr, $bound:ident => $value:expr) => {
        match $config {
            RecurrentConfig::SimpleRnn($bound) => $value,
            RecurrentConfig::Lstm($bound) => $value,
            RecurrentConfig::Gru($bound) => $value,
        }
    };
}

impl RecurrentConfig {
    /// Builds the stack, taking its parameters out of `vb`.
    ///
    /// # Errors
    /// Where the configuration makes no sense, or a parameter is missing or has another shape.
    pub fn build(&self, vb: &VarBuilder<'_>) -> Result<Box<dyn Recurrent>> {
        Ok(match self {
            Self::SimpleRnn(config) => Box::new(SimpleRnn::new(config, vb)?),
            Self::Lstm(config) => Box::new(Lstm::new(config, vb)?),
            Self::Gru(config) => Box::new(Gru::new(config, vb)?),
        })
    }

    /// What every kind has, without what only one has.
    pub fn shared(&self) -> StackConfig<()> {
        any!(self, config => config.clone().with_cell(()))
    }

    /// The same kind with other values of what every kind has; [`RecurrentConfig::shared`] backwards.
    pub fn with_shared(self, shared: StackConfig<()>) -> Self {
        match self {
            Self::SimpleRnn(config) => Self::SimpleRnn(shared.with_cell(config.cell)),
            Self::Lstm(config) => Self::Lstm(shared.with_cell(config.cell)),
            Self::Gru(config) => Self::Gru(shared.with_cell(config.cell)),
        }
    }

    pub(crate) fn bidirectional(&self) -> bool {
        any!(self, config => config.bidirectional.is_some())
    }

    pub(crate) fn locked_dropout(&self) -> bool {
        any!(self, config => config.locked_dropout)
    }
}

/// A whole network of any kind: what a checkpoint's configuration holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "network", rename_all = "kebab-case")]
pub enum ModelConfig {
    /// See [`Rnnlm`].
    Rnnlm(RnnlmConfig),
    /// See [`Predictor`].
    Predictor(PredictorConfig),
}

impl ModelConfig {
    /// Builds the network, taking its parameters out of `vb`.
    ///
    /// # Errors
    /// Where the configuration makes no sense, or a parameter is missing or has another shape.
    pub fn build(&self, vb: &VarBuilder<'_>) -> Result<Box<dyn Network>> {
        Ok(match self {
            Self::Rnnlm(config) => Box::new(Rnnlm::new(config, vb)?),
            Self::Predictor(config) => Box::new(Predictor::new(config, vb)?),
        })
    }

    /// Tokens that the network reads; `None` where it reads features.
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

    /// The recurrent stack's configuration.
    pub fn rnn(&self) -> &RecurrentConfig {
        match self {
            Self::Rnnlm(config) => &config.rnn,
            Self::Predictor(config) => &config.rnn,
        }
    }
}
