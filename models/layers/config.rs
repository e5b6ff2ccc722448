//! Configuration of a stack of recurrent layers.
//!
//! [`StackOptions`] holds what all kinds of cells have; [`StackConfig`] adds the options of one kind. Both are built
//! with struct update syntax:
//!
//! ```
//! use rnn_zoo_models::{LstmConfig, LstmOptions, Merge, StackOptions};
//!
//! let plain = LstmConfig::new(4, 8); // one layer, one direction
//! let stack = StackOptions { num_layers: 2, bidirectional: Some(Merge::Concat), ..StackOptions::new(4, 8) };
//! let deep: LstmConfig = stack.clone().into();
//! let projected = stack.with_cell(LstmOptions { projection: Some(3), ..LstmOptions::default() });
//! ```

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::layers::dropout::DropoutMask;
use crate::layers::state::Merge;

/// The largest input size or hidden size. A mistyped size is an error, not an allocation that ends the process.
pub const LARGEST_SIZE: usize = 1 << 16;

/// The largest number of layers.
pub const MOST_LAYERS: usize = 1000;

/// The most weights of a layer: 8 GiB of f32.
const LARGEST_LAYER: u64 = 1 << 31;

/// The smallest `T` of the chrono initialisation, which draws from 1 to `T - 1`.
pub const SHORTEST_CHRONO: usize = 3;

/// The scheme of initial parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// PyTorch's: all parameters uniform in ±1/√hidden.
    #[default]
    Pytorch,
    /// Keras's: Glorot uniform for the input weights, orthogonal for the recurrent weights, and biases of zero, except
    /// an LSTM's forget gate, which starts with one.
    Keras,
}

/// The initial sum of a gate's two biases.
///
/// The chrono initialisation (Tallec and Ollivier 2018) draws a number t for each unit, uniform in 1 to T - 1, where T
/// is the longest dependency in steps, at least [`SHORTEST_CHRONO`]. All gates of a unit share its t.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GateBias {
    /// As [`Init`] draws it.
    Scheme,
    /// The same value for all units.
    Value(f64),
    /// ln(t) of the chrono initialisation for dependencies of up to this number of steps: a forget or update gate with
    /// this bias keeps a memory for about t + 1 steps.
    ChronoKeep(usize),
    /// -ln(t) with the same t: an input gate with this bias lets in about as much as the forget gate removes.
    ChronoWrite(usize),
}

impl GateBias {
    /// Return the longest dependency, in steps, of the chrono initialisation, if this is one.
    pub(crate) fn chrono(self) -> Option<usize> {
        match self {
            Self::ChronoKeep(longest) | Self::ChronoWrite(longest) => Some(longest),
            Self::Scheme | Self::Value(_) => None,
        }
    }
}

/// The options of a stack that all kinds of cells have.
///
/// Probabilities are in [0, 1). All kinds of dropout act in training alone, in calls with a generator. Zoneout acts
/// in training and in inference.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackOptions {
    /// Features of each input step.
    pub input_size: usize,
    /// Units of each layer and direction.
    pub hidden_size: usize,
    /// Number of layers; 1 by default.
    pub num_layers: usize,
    /// Whether the layers add biases; true by default.
    pub bias: bool,
    /// The merge of both directions; `None`, the default, runs forward alone.
    pub bidirectional: Option<Merge>,
    /// Dropout on the outputs of each layer but the top one.
    pub dropout: f64,
    /// Whether dropout draws one mask per sequence instead of one per step (variational dropout, Gal and
    /// Ghahramani 2016).
    pub locked_dropout: bool,
    /// Dropout on the hidden state as operand of the recurrent product, with one mask per sequence.
    pub recurrent_dropout: f64,
    /// Dropout on the recurrent weights (DropConnect; Merity et al. 2017).
    pub weight_drop: f64,
    /// Probability that a unit keeps its old state for a step (Krueger et al. 2016). Outside training, old and new
    /// states are mixed in that proportion.
    pub zoneout: f64,
    /// Whether both gate products are normalised, and an LSTM's cell state before its tanh (Ba et al. 2016).
    pub layer_norm: bool,
    /// The scheme of initial parameters.
    pub init: Init,
}

/// The configuration of a stack of one kind of cell, with options `O`.
///
/// Each cell has its own: [`SimpleRnnConfig`](crate::SimpleRnnConfig), [`LstmConfig`](crate::LstmConfig),
/// [`GruConfig`](crate::GruConfig). Serialised, all options are fields of one object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackConfig<O> {
    /// The options that all kinds of cells have.
    #[serde(flatten)]
    pub stack: StackOptions,
    /// The options of this kind of cell alone.
    #[serde(flatten)]
    pub cell: O,
}

impl<O: Default> StackConfig<O> {
    /// Configure one layer in one direction, with biases and without dropout.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        StackOptions::new(input_size, hidden_size).into()
    }
}

impl<O: Default> From<StackOptions> for StackConfig<O> {
    /// Configure cells with their default options.
    fn from(stack: StackOptions) -> Self {
        stack.with_cell(O::default())
    }
}

impl StackOptions {
    /// Return whether dropout draws one mask for each element or for each sequence.
    pub fn dropout_mask(&self) -> DropoutMask {
        if self.locked_dropout { DropoutMask::PerSequence } else { DropoutMask::PerElement }
    }

    /// Configure one layer in one direction, with biases and without dropout.
    pub fn new(input_size: usize, hidden_size: usize) -> Self {
        Self {
            input_size,
            hidden_size,
            num_layers: 1,
            bias: true,
            bidirectional: None,
            dropout: 0.,
            locked_dropout: false,
            recurrent_dropout: 0.,
            weight_drop: 0.,
            zoneout: 0.,
            layer_norm: false,
            init: Init::Pytorch,
        }
    }

    /// Configure a stack of cells with these options.
    pub fn with_cell<O>(self, cell: O) -> StackConfig<O> {
        StackConfig { stack: self, cell }
    }

    /// Return the number of directions, 1 or 2.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional.is_some())
    }

    /// Return the number of features of the merged output of a layer whose directions have `width` features each.
    pub(crate) fn merged(&self, width: usize) -> usize {
        if self.bidirectional == Some(Merge::Concat) { 2 * width } else { width }
    }

    /// Refuse sizes outside 1 to [`LARGEST_SIZE`], layers outside 1 to [`MOST_LAYERS`] and probabilities outside [0,
    /// 1).
    pub(crate) fn validate(&self) -> Result<()> {
        for (name, size, most) in [
            ("input_size", self.input_size, LARGEST_SIZE),
            ("hidden_size", self.hidden_size, LARGEST_SIZE),
            ("num_layers", self.num_layers, MOST_LAYERS),
        ] {
            check_range(name, size, most)?;
        }
        // Four gates, for all kinds of cells. Both factors are at most 2^17, so nothing overflows.
        let layer = 4 * self.hidden_size as u64 * (self.hidden_size + self.input_size) as u64;
        if layer > LARGEST_LAYER {
            bail!(
                "hidden_size {} and input_size {} make a layer of {layer} weights; expected at most {LARGEST_LAYER}",
                self.hidden_size,
                self.input_size
            );
        }
        for (name, p) in [
            ("dropout", self.dropout),
            ("recurrent_dropout", self.recurrent_dropout),
            ("weight_drop", self.weight_drop),
            ("zoneout", self.zoneout),
        ] {
            check_probability(name, p)?;
        }
        Ok(())
    }
}

/// Refuse a size outside 1 to [`LARGEST_SIZE`].
pub(crate) fn check_size(name: &str, size: usize) -> Result<()> {
    check_range(name, size, LARGEST_SIZE)
}

fn check_range(name: &str, size: usize, most: usize) -> Result<()> {
    if (1..=most).contains(&size) {
        return Ok(());
    }
    bail!("{name} is {size}; expected 1 to {most}")
}

/// Refuse a probability outside [0, 1) and NaN.
pub(crate) fn check_probability(name: &str, p: f64) -> Result<()> {
    if (0. ..1.).contains(&p) {
        return Ok(());
    }
    bail!("{name} is {p}; expected a probability of at least 0 and below 1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_probabilities_out_of_range_are_named() {
        let plain = || StackOptions::new(2, 3);
        assert!(plain().validate().is_ok());
        for (config, problem) in [
            (StackOptions { input_size: 0, ..plain() }, "input_size is 0"),
            (StackOptions { hidden_size: 0, ..plain() }, "hidden_size is 0"),
            (StackOptions { num_layers: 0, ..plain() }, "num_layers is 0"),
            (
                StackOptions { hidden_size: 60_000, ..plain() },
                "hidden_size 60000 and input_size 2 make a layer",
            ),
            (StackOptions { dropout: 1., ..plain() }, "dropout is 1"),
            (StackOptions { recurrent_dropout: -0.1, ..plain() }, "recurrent_dropout is -0.1"),
            (StackOptions { weight_drop: f64::NAN, ..plain() }, "weight_drop is NaN"),
            (StackOptions { zoneout: 2., ..plain() }, "zoneout is 2"),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
