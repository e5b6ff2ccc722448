//! What every recurrent layer shares: the [`Recurrent`] trait that users call, the [`Cell`] trait that
//! a new cell implements, the [`State`] they carry, and the configuration of a stack.

use candle_core::{Result, Tensor, bail};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::kernels::CellKind;
use crate::layers::dropout::Noise;
use crate::layers::weights::Weights;
use crate::network::Linear;
use crate::ops::Stream;

/// The most units, features or layers: weights of a wider layer fit no machine, and a slip of the
/// keyboard should be an error, not an allocation that ends the process.
pub const LARGEST_SIZE: usize = 1 << 16;

/// The most weights of a layer: eight gigabytes of f32, beyond which a size is a slip too.
const LARGEST_LAYER: u64 = 1 << 31;

/// What a recurrent layer remembers between two calls.
///
/// For a stack each tensor is (layers * directions, batch, hidden), ordered as in PyTorch: layer 0
/// forward, layer 0 backward, layer 1 forward and so on. For one [`Cell`] it is (batch, hidden).
#[derive(Clone, Debug)]
pub struct State {
    /// The hidden state, which is also the output. With an LSTM projection it is as wide as that.
    pub h: Tensor,
    /// The cell state, for cells that have one.
    pub c: Option<Tensor>,
}

impl State {
    /// This state cut off from the graph that made it: truncated backpropagation stops here.
    pub fn detach(&self) -> Self {
        Self { h: self.h.detach(), c: self.c.as_ref().map(Tensor::detach) }
    }

    /// The state of one layer and direction, (batch, hidden), out of a stack's.
    ///
    /// # Errors
    /// Where `index` is not below layers * directions.
    pub fn layer(&self, index: usize) -> Result<Self> {
        Ok(Self { h: self.h.get(index)?, c: self.c.as_ref().map(|c| c.get(index)).transpose()? })
    }

    /// The states of some stacks' sequences as one batch, in their order; (layers * directions, batch, hidden)
    /// each.
    ///
    /// # Errors
    /// Where there is none, the states differ in more than the batch, or only some have a cell state.
    pub fn join(states: &[Self]) -> Result<Self> {
        let h = Tensor::cat(&states.iter().map(|state| &state.h).collect::<Vec<_>>(), 1)?;
        let c: Vec<&Tensor> = states.iter().filter_map(|state| state.c.as_ref()).collect();
        if !c.is_empty() && c.len() != states.len() {
            bail!("{} of {} sequences have a cell state; expected all or none", c.len(), states.len());
        }
        let c = if c.is_empty() { None } else { Some(Tensor::cat(&c, 1)?) };
        Ok(Self { h, c })
    }

    /// The sequences of these numbers out of a batch, in this order; one may come several times.
    ///
    /// # Errors
    /// Where there is none, or no such sequence.
    pub fn select(&self, rows: &[usize]) -> Result<Self> {
        let rows: Vec<u32> = rows.iter().map(|&row| row as u32).collect();
        let rows = Tensor::new(rows, self.h.device())?;
        let c = self.c.as_ref().map(|c| c.contiguous()?.index_select(&rows, 1)).transpose()?;
        Ok(Self { h: self.h.contiguous()?.index_select(&rows, 1)?, c })
    }

    /// One stack's state from the (batch, hidden) states of its layers and directions.
    ///
    /// # Errors
    /// Where the states differ in shape or only some have a cell state.
    pub fn stack(layers: &[Self]) -> Result<Self> {
        let h = Tensor::stack(&layers.iter().map(|s| &s.h).collect::<Vec<_>>(), 0)?;
        let c: Vec<&Tensor> = layers.iter().filter_map(|s| s.c.as_ref()).collect();
        if !c.is_empty() && c.len() != layers.len() {
            bail!("{} of {} layers have a cell state; expected all or none", c.len(), layers.len());
        }
        let c = if c.is_empty() { None } else { Some(Tensor::stack(&c, 0)?) };
        Ok(Self { h, c })
    }
}

/// What [`Recurrent::forward`] returns.
#[derive(Clone, Debug)]
pub struct Output {
    /// The output of the top layer at every step, (batch, time, output size); zero past a sequence's
    /// length.
    pub ys: Tensor,
    /// The state after each sequence's own last step.
    pub state: State,
    /// How the top layer's directions were merged, if it has two.
    pub(crate) merge: Option<Merge>,
}

impl Output {
    /// The last output alone, (batch, output size): Keras's `return_sequences=False`.
    ///
    /// That is the forward direction's output at each sequence's own last step, merged with the
    /// backward direction's at step 0, which is the last that it computes.
    ///
    /// # Errors
    /// Only those of the tensor library.
    pub fn last(&self) -> Result<Tensor> {
        let top = self.state.h.dim(0)? - 1;
        match self.merge {
            None => self.state.h.get(top),
            Some(merge) => merge.apply(&self.state.h.get(top - 1)?, &self.state.h.get(top)?),
        }
    }
}

/// How the outputs of the two directions become one, as in Keras's `Bidirectional`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Merge {
    /// Side by side: the output is twice as wide. PyTorch's way.
    Concat,
    /// Their sum.
    Sum,
    /// Their product, element by element.
    Mul,
    /// Their mean.
    Ave,
}

impl Merge {
    /// Merges two tensors of shape (.., hidden) along the last dimension.
    pub(crate) fn apply(self, forward: &Tensor, backward: &Tensor) -> Result<Tensor> {
        match self {
            Self::Concat => Tensor::cat(&[forward, backward], candle_core::D::Minus1),
            Self::Sum => forward + backward,
            Self::Mul => forward * backward,
            Self::Ave => (forward + backward)? / 2.,
        }
    }
}

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

/// A stack of recurrent layers, whatever its cell.
///
/// Weights that are variables may change between two calls. Others are taken to stay as they are, and are
/// laid out for the fused kernels once, at the first call.
///
/// `xs` is (batch, time, input size). `lengths` holds each sequence's own number of steps, in any
/// order: what lies past it never changes a result. `state` starts at zero where it is `None`.
pub trait Recurrent: Send + Sync {
    /// Runs whole sequences; in training with a source of noise, when dropout and its kin act.
    ///
    /// # Errors
    /// Where a shape or length disagrees with the configuration; the message says which.
    fn forward_t(
        &self,
        xs: &Tensor,
        state: Option<&State>,
        lengths: Option<&[usize]>,
        noise: Noise<'_>,
    ) -> Result<Output>;

    /// Runs whole sequences outside training.
    ///
    /// # Errors
    /// As [`Recurrent::forward_t`].
    fn forward(&self, xs: &Tensor, state: Option<&State>, lengths: Option<&[usize]>) -> Result<Output> {
        self.forward_t(xs, state, lengths, None)
    }

    /// Runs one step: `x` is (batch, input size), and the output (batch, output size).
    ///
    /// # Errors
    /// As [`Recurrent::forward_t`]; and for a stack of both directions, for which no step is the last.
    fn step(&self, x: &Tensor, state: &State) -> Result<(Tensor, State)>;

    /// The stack as it is now, with a state of zeros, ready to read one step after another of one sequence,
    /// and to hand each to the linear layers of `decoder`, one behind the other, if there are any. None where
    /// there are no kernels for that (on a GPU, in other numbers than f32, with layer normalisation, in both
    /// directions, for a GRU that resets before the product): [`Recurrent::step`] does it everywhere.
    ///
    /// # Errors
    /// Where a linear layer does not fit what comes before it.
    fn stream(&self, decoder: &[Linear]) -> Result<Option<Stream>>;

    /// A state of zeros for `batch` sequences.
    ///
    /// # Errors
    /// Only those of the tensor library.
    fn zero_state(&self, batch: usize) -> Result<State>;

    /// Features that each input step must have.
    fn input_size(&self) -> usize;

    /// Features that each output step has, directions merged.
    fn output_size(&self) -> usize;

    /// Draws all parameters anew by the configured [`Init`]. Parameters are drawn in a fixed order, so
    /// one seed gives one model.
    ///
    /// # Errors
    /// Where a parameter is not a variable, as when it was loaded for inference alone.
    fn reset_parameters(&self, rng: &mut dyn Rng) -> Result<()>;
}

/// One layer in one direction. To add a cell, implement this: all that [`StackConfig`] names comes
/// from what is there.
pub trait Cell: Clone + Send + Sync + Sized {
    /// What only this kind of cell can be told.
    type Options: Clone + Default + Send + Sync;

    /// Blocks of `hidden` rows in the weight matrices.
    const GATES: usize;

    /// Whether the state has a `c` beside its `h`.
    const CELL_STATE: bool = false;

    /// The cell around its weights.
    ///
    /// # Errors
    /// Where the options contradict one another.
    fn new(options: &Self::Options, weights: Weights) -> Result<Self>;

    /// The weights.
    fn weights(&self) -> &Weights;

    /// The weights, to be replaced for one call: weight drop does that.
    fn weights_mut(&mut self) -> &mut Weights;

    /// Whether `bias_hh` can join the input's part of the gates, once for all steps. Not where the
    /// recurrent product is more than added to it: then [`Cell::step`] adds the bias.
    fn folds_hidden_bias(&self) -> bool {
        true
    }

    /// What the fused kernels know this cell as; none where they do not.
    fn unit(&self) -> Option<CellKind> {
        None
    }

    /// One step. `gates_x` is the input's part of the gates, (batch, GATES * hidden); `h` is the hidden
    /// state as the recurrent product sees it, which recurrent dropout may have thinned; `state` is the
    /// whole one.
    ///
    /// # Errors
    /// Only those of the tensor library.
    fn step(&self, gates_x: &Tensor, h: &Tensor, state: &State) -> Result<State>;

    /// Width of an LSTM's projected output, if it has one.
    fn projection(_options: &Self::Options) -> Option<usize> {
        None
    }

    /// What each gate's two biases add up to at first, one entry for each of the `GATES`.
    fn initial_bias(_options: &Self::Options, _init: Init) -> Vec<GateBias> {
        vec![GateBias::Scheme; Self::GATES]
    }

    /// The longest dependency, in steps, that gates which [keep](GateBias::Keep) start out for.
    fn chrono(_options: &Self::Options) -> Option<usize> {
        None
    }
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

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    fn state(c: bool) -> State {
        let h = Tensor::zeros((2, 3), DType::F32, &Device::Cpu).unwrap();
        State { c: c.then(|| h.clone()), h }
    }

    #[test]
    fn a_stacked_state_comes_apart_into_its_layers() {
        let number = |number: f32| Tensor::full(number, (2, 3), &Device::Cpu).unwrap();
        let layers = [0., 1.].map(|n| State { h: number(n), c: Some(number(n + 10.)) });
        let stacked = State::stack(&layers).unwrap();
        assert_eq!(stacked.h.dims(), [2, 2, 3]);
        let State { h, c } = stacked.layer(1).unwrap();
        assert_eq!(h.to_vec2::<f32>().unwrap(), [[1.; 3]; 2]);
        assert_eq!(c.unwrap().to_vec2::<f32>().unwrap(), [[11.; 3]; 2]);
        assert!(stacked.layer(2).is_err());
        let error = State::stack(&[state(true), state(false)]).unwrap_err().to_string();
        assert!(error.contains("1 of 2 layers have a cell state"), "{error}");
    }

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
