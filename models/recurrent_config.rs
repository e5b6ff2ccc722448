//! Configuration of a recurrent stack of any kind of cell.

use candle_core::Result;
use candle_nn::VarBuilder;
use serde::{Deserialize, Serialize};

use crate::gru::{Gru, GruConfig};
use crate::layers::config::StackOptions;
use crate::layers::recurrent::Recurrent;
use crate::lstm::{Lstm, LstmConfig};
use crate::simple_rnn::{SimpleRnn, SimpleRnnConfig};

/// The configuration of a recurrent stack of any kind of cell.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "cell", rename_all = "kebab-case")]
pub enum RecurrentConfig {
    /// A [`SimpleRnn`].
    SimpleRnn(SimpleRnnConfig),
    /// An [`Lstm`].
    Lstm(LstmConfig),
    /// A [`Gru`].
    Gru(GruConfig),
}

impl RecurrentConfig {
    /// Build the stack with parameters from `vb`.
    ///
    /// # Errors
    /// If the configuration is invalid, or a parameter is missing or has another shape.
    pub fn build(&self, vb: VarBuilder<'_>) -> Result<Box<dyn Recurrent>> {
        Ok(match self {
            Self::SimpleRnn(config) => Box::new(SimpleRnn::new(config, vb)?),
            Self::Lstm(config) => Box::new(Lstm::new(config, vb)?),
            Self::Gru(config) => Box::new(Gru::new(config, vb)?),
        })
    }

    /// Return the options that all kinds of cells have.
    pub fn stack(&self) -> &StackOptions {
        match self {
            Self::SimpleRnn(config) => &config.stack,
            Self::Lstm(config) => &config.stack,
            Self::Gru(config) => &config.stack,
        }
    }

    /// Return the configuration of another stack with this kind of cell and the cell's default options.
    #[must_use]
    pub fn same_cell(&self, options: StackOptions) -> Self {
        match self {
            Self::SimpleRnn(_) => Self::SimpleRnn(options.into()),
            Self::Lstm(_) => Self::Lstm(options.into()),
            Self::Gru(_) => Self::Gru(options.into()),
        }
    }

    /// Return the options that all kinds of cells have, to change them.
    pub fn stack_mut(&mut self) -> &mut StackOptions {
        match self {
            Self::SimpleRnn(config) => &mut config.stack,
            Self::Lstm(config) => &mut config.stack,
            Self::Gru(config) => &mut config.stack,
        }
    }
}
