//! The recurrent stack that the shapes of its parameters describe.

use candle_core::Tensor;
use rnn_zoo_models::{
    GruOptions, LstmOptions, Merge, Nonlinearity, RecurrentConfig, SimpleRnnOptions, StackOptions,
};

use crate::parameters::NamedTensors;
use crate::{Error, Result};

/// Sizes of a recurrent stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sizes {
    cell: Cell,
    /// Features of each input step.
    pub(super) input: usize,
    hidden: usize,
    /// Features of each output step.
    pub(super) output: usize,
    layers: usize,
    bias: bool,
    projection: Option<usize>,
    /// Whether the stack runs in both directions.
    pub(super) bidirectional: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cell {
    SimpleRnn,
    Gru,
    Lstm,
}

impl Sizes {
    /// Return the sizes of the stack with these parameters, whose names begin with `rnn.`. Other parameters must agree,
    /// which the network checks when it is built.
    ///
    /// # Errors
    /// If the shapes of the first layer are those of no cell.
    pub(super) fn of(parameters: &NamedTensors) -> Result<Self> {
        let name = |kind: &str| format!("rnn.{kind}_l0");
        let [(rows, input), (other, state)] =
            [matrix(parameters, &name("weight_ih"))?, matrix(parameters, &name("weight_hh"))?];
        let projection = match parameters.contains_key(&name("weight_hr")) {
            true => Some(matrix(parameters, &name("weight_hr"))?),
            false => None,
        };
        let hidden = projection.map_or(state, |(_, hidden)| hidden);
        let cell = match (rows.checked_div(hidden), rows == other && hidden > 0 && rows % hidden == 0) {
            (Some(1), true) if projection.is_none() => Cell::SimpleRnn,
            (Some(3), true) if projection.is_none() => Cell::Gru,
            (Some(4), true) => Cell::Lstm,
            _ => {
                return Err(Error::Message(format!(
                    "has recurrent weights of {rows} and {other} rows for {hidden} hidden units; expected 1 (RNN), 3 (GRU) \
                     or 4 (LSTM) times as many rows as units"
                )));
            }
        };
        let bidirectional = parameters.contains_key("rnn.weight_ih_l0_reverse");
        let layers =
            (0..).take_while(|layer| parameters.contains_key(&format!("rnn.weight_ih_l{layer}"))).count();
        Ok(Self {
            cell,
            input,
            hidden,
            output: state * if bidirectional { 2 } else { 1 },
            layers,
            bias: parameters.contains_key(&name("bias_ih")),
            projection: projection.map(|(projection, _)| projection),
            bidirectional,
        })
    }

    /// Return the configuration of the stack. A simple recurrent network has the `nonlinearity`, which no shape shows.
    pub(super) fn config(&self, nonlinearity: Nonlinearity) -> RecurrentConfig {
        let stack = StackOptions {
            num_layers: self.layers,
            bias: self.bias,
            bidirectional: self.bidirectional.then_some(Merge::Concat),
            ..StackOptions::new(self.input, self.hidden)
        };
        match self.cell {
            Cell::SimpleRnn => RecurrentConfig::SimpleRnn(stack.with_cell(SimpleRnnOptions { nonlinearity })),
            Cell::Gru => RecurrentConfig::Gru(stack.with_cell(GruOptions::default())),
            Cell::Lstm => RecurrentConfig::Lstm(
                stack.with_cell(LstmOptions { projection: self.projection, ..LstmOptions::default() }),
            ),
        }
    }

    /// Whether the stack has a nonlinearity that can be chosen.
    pub(super) fn is_simple(&self) -> bool {
        self.cell == Cell::SimpleRnn
    }
}

fn matrix(parameters: &NamedTensors, name: &str) -> Result<(usize, usize)> {
    let shape = parameters.get(name).map(Tensor::dims);
    match shape {
        Some(&[rows, columns]) => Ok((rows, columns)),
        Some(shape) => Err(Error::Message(format!("has {name} of shape {shape:?}; expected a matrix"))),
        None => Err(Error::Message(format!("has no {name}; expected all parameters of a recurrent layer"))),
    }
}
