//! Configuration of a recurrent stack of any kind of cell.

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::gru::{Gru, GruConfig};
use crate::layers::config::StackConfig;
use crate::layers::recurrent::Recurrent;
use crate::lstm::{Lstm, LstmConfig};
use crate::simple_rnn::{SimpleRnn, SimpleRnnConfig};

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
