//! Configuration of a stack of recurrent layers.

use candle_core::{Result, bail};
use serde::{Deserialize, Serialize};

use crate::layers::state::Merge;

/// The most units, features or layers: weights of a wider layer fit no machine, and a slip of the
/// keyboard should be an error, not an allocation that ends the process.
pub const LARGEST_SIZE: usize = 1 << 16;

/// The most weights of a layer: eight gigabytes of f32, beyond which a size is a slip too.
const LARGEST_LAYER: u64 = 1 << 31;

/// How parameters start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Init {
    /// PyTorch's: everything uniform in ±1/√hidden.
    #[default]
    Pytorch,
    /// Keras's: Glorot uniform for the input, orthogonal for the recurrence, biases zero but for an
    /// LSTM's forget gate, which starts at one.
    Keras,
}

/// What a gate's two biases add up to at first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum GateBias {
    /// What the scheme draws: see [`Init`].
    Scheme,
    /// The same number for every unit.
    Value(f64),
    /// ln(t) with a t of its own for every unit, uniform from 1 to one less than [`Cell::chrono`]: a gate that
    /// keeps so much forgets over about t + 1 steps (Tallec and Ollivier 2018).
    Keep,
    /// -ln(t) with the same t: a gate that writes as little as its neighbour forgets.
    Write,
}

/// The shortest dependency that the chrono initialisation can be made for: below, there is nothing to draw from.
pub const SHORTEST_CHRONO: usize = 3;

/// The configuration of a stack of recurrent layers; `O` holds what only one kind of cell has.
///
/// Each layer file names its own: [`SimpleRnnConfig`](crate::SimpleRnnConfig),
/// [`LstmConfig`](crate::LstmConfig), [`GruConfig`](crate::GruConfig). Probabilities are in [0, 1).
/// Everything that is random acts in training alone, on calls that bring a generator.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StackConfig<O> {
    /// Features of each input step.
    pub input_size: usize,
    /// Units of each layer and direction.
    pub hidden_size: usize,
    /// Layers on top of one another; 1 by default.
    pub num_layers: usize,
    /// Whether the layers add biases; true by default.
    pub bias: bool,
    /// Run every layer in both directions, and merge them so.
    pub bidirectional: Option<Merge>,
    /// Dropout on what one layer hands to the next.
    pub dropout: f64,
    /// Draw one dropout mask a sequence instead of one a step (variational dropout, Gal and
    /// Ghahramani 2016).
    pub locked_dropout: bool,
    /// Dropout on the hidden state where it enters the recurrent product; one mask a sequence.
    pub recurrent_dropout: f64,
    /// Dropout on the recurrent weights themselves (DropConnect; Merity et al. 2017).
    pub weight_drop: f64,
    /// Chance that a unit keeps its old state for a step (Krueger et al. 2016); outside training the
    /// old and the new state are mixed in that proportion.
    pub zoneout: f64,
    /// Normalise both gate products, and an LSTM's cell state where it leaves (Ba et al. 2016).
    pub layer_norm: bool,
    /// How parameters start.
    pub init: Init,
    /// What only this kind of cell has.
    #[serde(flatten)]
    pub cell: O,
}

impl<O: Default> StackConfig<O> {
    /// One layer, one direction, biases, nothing dropped.
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
            cell: O::default(),
        }
    }
}

impl<O> StackConfig<O> {
    /// The same stack of another kind of cell.
    pub fn with_cell<P>(self, cell: P) -> StackConfig<P> {
        StackConfig {
            input_size: self.input_size,
            hidden_size: self.hidden_size,
            num_layers: self.num_layers,
            bias: self.bias,
            bidirectional: self.bidirectional,
            dropout: self.dropout,
            locked_dropout: self.locked_dropout,
            recurrent_dropout: self.recurrent_dropout,
            weight_drop: self.weight_drop,
            zoneout: self.zoneout,
            layer_norm: self.layer_norm,
            init: self.init,
            cell,
        }
    }

    /// 1, or 2 for both directions.
    pub fn directions(&self) -> usize {
        1 + usize::from(self.bidirectional.is_some())
    }

    /// The width of the merged output of a layer whose directions are `width` wide each.
    pub(crate) fn merged(&self, width: usize) -> usize {
        if self.bidirectional == Some(Merge::Concat) { 2 * width } else { width }
    }

    /// Refuses sizes outside 1 to [`LARGEST_SIZE`] and probabilities outside [0, 1).
    pub(crate) fn validate(&self) -> Result<()> {
        for (name, size) in [
            ("input_size", self.input_size),
            ("hidden_size", self.hidden_size),
            ("num_layers", self.num_layers),
        ] {
            if !(1..=LARGEST_SIZE).contains(&size) {
                bail!("{name} is {size}; expected 1 to {LARGEST_SIZE}");
            }
        }
        // Four gates, of whatever cell; both factors are at most 2^17.
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

/// Refuses what is no chance of dropping something.
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
    fn sizes_of_zero_and_impossible_chances_are_named() {
        let plain = || StackConfig::<()>::new(2, 3);
        assert!(plain().validate().is_ok());
        for (config, problem) in [
            (StackConfig { input_size: 0, ..plain() }, "input_size is 0"),
            (StackConfig { hidden_size: 0, ..plain() }, "hidden_size is 0"),
            (StackConfig { num_layers: 0, ..plain() }, "num_layers is 0"),
            (
                StackConfig { hidden_size: 60_000, ..plain() },
                "hidden_size 60000 and input_size 2 make a layer",
            ),
            (StackConfig { dropout: 1., ..plain() }, "dropout is 1"),
            (StackConfig { recurrent_dropout: -0.1, ..plain() }, "recurrent_dropout is -0.1"),
            (StackConfig { weight_drop: f64::NAN, ..plain() }, "weight_drop is NaN"),
            (StackConfig { zoneout: 2., ..plain() }, "zoneout is 2"),
        ] {
            let error = config.validate().unwrap_err().to_string();
            assert!(error.starts_with(problem), "{error}");
        }
    }
}
