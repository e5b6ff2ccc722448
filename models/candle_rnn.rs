//! Candle's own interface to recurrent layers, `candle_nn::rnn::RNN`, for [`SimpleRnn`](crate::SimpleRnn), [`Lstm`]
//! and [`Gru`] of one layer in one direction.
//!
//! Code written for candle's `LSTM` and `GRU` switches over by importing [`lstm`] and [`gru`] from here: they take
//! candle's configurations, the parameters have the same names, and the results are the same to rounding. Import
//! `RNN` or [`Recurrent`], not both: each has a `step` and a `zero_state`.
//!
//! `seq` returns the state after every step, so the cell states of an LSTM are computed step by step in plain
//! candle ops; for speed call [`Recurrent::run`], which runs fused kernels for a whole sequence.
//!
//! ```
//! use candle_core::{DType, Device, Tensor};
//! use candle_nn::rnn::{LSTMConfig, RNN};
//! use candle_nn::{VarBuilder, VarMap};
//! use rnn_zoo_models::lstm;
//!
//! let parameters = VarMap::new();
//! let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
//! let layer = lstm(4, 8, LSTMConfig::default(), vb)?;
//! let states = layer.seq(&Tensor::zeros((2, 10, 4), DType::F32, &Device::Cpu)?)?;
//! assert_eq!(layer.states_to_tensor(&states)?.dims(), [2, 10, 8]);
//! assert_eq!(states[9].c().dims(), [2, 8]);
//! # Ok::<(), candle_core::Error>(())
//! ```

use candle_core::{Result, Tensor, bail};
use candle_nn::rnn::{Direction, GRUConfig, GRUState, LSTMConfig, LSTMState, RNN};
use candle_nn::{Init, VarBuilder};

use crate::gru::{Gru, GruCell};
use crate::layers::cell::Cell;
use crate::layers::config::StackOptions;
use crate::layers::recurrent::Recurrent;
use crate::layers::recurrent_noise::{PassShape, draw_noise};
use crate::layers::scan::{scan, unstack_time};
use crate::layers::stack::Stack;
use crate::layers::state::State;
use crate::lstm::{Lstm, LstmCell};
use crate::ops::sequence::SequenceOptions;
use crate::simple_rnn::SimpleRnnCell;

/// Make an LSTM layer with candle's configuration: `in_dim` features a step, `hidden_dim` units.
///
/// # Errors
/// If a size is zero or too large, only one bias is configured, the layer is not the first forward one, or a parameter
/// is missing or has another shape.
pub fn lstm(in_dim: usize, hidden_dim: usize, config: LSTMConfig, vb: VarBuilder<'_>) -> Result<Lstm> {
    if config.layer_idx != 0 || matches!(config.direction, Direction::Backward) {
        bail!(
            "layer_idx is {} and direction {:?}; expected layer 0 and Forward: several layers and directions are \
             one LstmConfig here",
            config.layer_idx,
            config.direction
        );
    }
    let biases = both_or_none(config.b_ih_init, config.b_hh_init)?;
    let options = options((in_dim, hidden_dim), biases.is_some())?;
    create(4, &options, [config.w_ih_init, config.w_hh_init], biases, &vb)?;
    Lstm::new(&options.into(), vb)
}

/// Make a GRU layer with candle's configuration: `in_dim` features a step, `hidden_dim` units, reset gate after the
/// product.
///
/// # Errors
/// If a size is zero or too large, only one bias is configured, or a parameter is missing or has another shape.
pub fn gru(in_dim: usize, hidden_dim: usize, config: GRUConfig, vb: VarBuilder<'_>) -> Result<Gru> {
    let biases = both_or_none(config.b_ih_init, config.b_hh_init)?;
    let options = options((in_dim, hidden_dim), biases.is_some())?;
    create(3, &options, [config.w_ih_init, config.w_hh_init], biases, &vb)?;
    Gru::new(&options.into(), vb)
}

/// Return the initial values of both biases, or `None` without biases.
fn both_or_none(b_ih: Option<Init>, b_hh: Option<Init>) -> Result<Option<[Init; 2]>> {
    match (b_ih, b_hh) {
        (Some(b_ih), Some(b_hh)) => Ok(Some([b_ih, b_hh])),
        (None, None) => Ok(None),
        _ => bail!("one of b_ih_init and b_hh_init is None; expected both biases or none"),
    }
}

/// Return the options of a layer, whose sizes are checked before its parameters are created.
fn options((input, hidden): (usize, usize), bias: bool) -> Result<StackOptions> {
    let options = StackOptions { bias, ..StackOptions::new(input, hidden) };
    options.validate()?;
    Ok(options)
}

/// Create the parameters of a layer with candle's initial values, unless the builder has them.
fn create(
    gates: usize,
    &StackOptions { input_size: input, hidden_size: hidden, .. }: &StackOptions,
    [w_ih, w_hh]: [Init; 2],
    biases: Option<[Init; 2]>,
    vb: &VarBuilder<'_>,
) -> Result<()> {
    vb.get_with_hints((gates * hidden, input), "weight_ih_l0", w_ih)?;
    vb.get_with_hints((gates * hidden, hidden), "weight_hh_l0", w_hh)?;
    if let Some([b_ih, b_hh]) = biases {
        vb.get_with_hints(gates * hidden, "bias_ih_l0", b_ih)?;
        vb.get_with_hints(gates * hidden, "bias_hh_l0", b_hh)?;
    }
    Ok(())
}

/// Return the only cell of a stack with one layer and one direction.
fn single<C: Cell>(stack: &Stack<C>) -> Result<&C> {
    match stack.cells() {
        [cell] => Ok(cell),
        cells => bail!(
            "candle's RNN is for one layer in one direction, not {} of them; call Recurrent::run",
            cells.len()
        ),
    }
}

/// Compute the state after every step of `xs`, (batch, time, features), from `initial`, whose tensors are (batch,
/// hidden).
fn steps<C: Cell>(stack: &Stack<C>, xs: &Tensor, initial: &State) -> Result<Vec<State>> {
    let cell = single(stack)?;
    let (batch, time, _) = xs.dims3()?;
    let weights = cell.weights();
    let cell_state = C::CELL_STATE.then_some(weights.hidden_size());
    let shape = PassShape { batch, time, output: weights.output_size(), cell_state };
    let noise = draw_noise(&stack.config().stack, shape, None);
    let options = SequenceOptions { noise, ..SequenceOptions::default() };
    let gates_x = weights.project_input(xs, cell.folds_hidden_bias())?; // (batch, time, gates * hidden)
    let mut states: Vec<State> = Vec::with_capacity(time);
    for gates_x in unstack_time(&gates_x)? {
        let state = states.last().unwrap_or(initial);
        let (_, next) = scan(cell, &gates_x.unsqueeze(1)?, state, &options)?;
        states.push(next);
    }
    Ok(states)
}

/// Compute one step of `x`, (batch, features), from `state`, whose tensors are (batch, hidden).
fn step<C: Cell>(stack: &Stack<C>, x: &Tensor, state: State) -> Result<State> {
    single(stack)?;
    let (_, state) = Recurrent::step(stack, x, &State::stack(&[state])?)?; // (1, batch, hidden)
    state.layer(0)
}

/// Make a state of zeros for `batch` sequences, whose tensors are (batch, hidden).
fn zeros<C: Cell>(stack: &Stack<C>, batch: usize) -> Result<State> {
    single(stack)?;
    Recurrent::zero_state(stack, batch)?.layer(0)
}

impl RNN for Stack<LstmCell> {
    type State = LSTMState;

    fn zero_state(&self, batch_dim: usize) -> Result<LSTMState> {
        zeros(self, batch_dim).and_then(lstm_state)
    }

    fn step(&self, input: &Tensor, state: &LSTMState) -> Result<LSTMState> {
        let state = State { h: state.h.clone(), c: Some(state.c.clone()) };
        step(self, input, state).and_then(lstm_state)
    }

    fn seq_init(&self, input: &Tensor, state: &LSTMState) -> Result<Vec<LSTMState>> {
        let state = State { h: state.h.clone(), c: Some(state.c.clone()) };
        steps(self, input, &state)?.into_iter().map(lstm_state).collect()
    }

    /// Stack the hidden states, (batch, time, output).
    fn states_to_tensor(&self, states: &[LSTMState]) -> Result<Tensor> {
        Tensor::stack(&states.iter().map(LSTMState::h).collect::<Vec<_>>(), 1)
    }
}

fn lstm_state(State { h, c }: State) -> Result<LSTMState> {
    match c {
        Some(c) => Ok(LSTMState { h, c }),
        None => bail!("invariant: an LSTM has a cell state"),
    }
}

impl RNN for Stack<GruCell> {
    type State = GRUState;

    fn zero_state(&self, batch_dim: usize) -> Result<GRUState> {
        Ok(GRUState { h: zeros(self, batch_dim)?.h })
    }

    fn step(&self, input: &Tensor, state: &GRUState) -> Result<GRUState> {
        Ok(GRUState { h: step(self, input, State { h: state.h.clone(), c: None })?.h })
    }

    fn seq_init(&self, input: &Tensor, state: &GRUState) -> Result<Vec<GRUState>> {
        let hs = hidden_states(self, input, State { h: state.h.clone(), c: None })?;
        Ok(hs.into_iter().map(|h| GRUState { h }).collect())
    }

    /// Join the hidden states side by side, (batch, time * hidden), as candle's own GRU returns them.
    fn states_to_tensor(&self, states: &[GRUState]) -> Result<Tensor> {
        Tensor::cat(&states.iter().map(GRUState::h).collect::<Vec<_>>(), 1)
    }
}

impl RNN for Stack<SimpleRnnCell> {
    type State = State;

    fn zero_state(&self, batch_dim: usize) -> Result<State> {
        zeros(self, batch_dim)
    }

    fn step(&self, input: &Tensor, state: &State) -> Result<State> {
        step(self, input, state.clone())
    }

    fn seq_init(&self, input: &Tensor, state: &State) -> Result<Vec<State>> {
        let hs = hidden_states(self, input, state.clone())?;
        Ok(hs.into_iter().map(|h| State { h, c: None }).collect())
    }

    /// Stack the hidden states, (batch, time, hidden).
    fn states_to_tensor(&self, states: &[State]) -> Result<Tensor> {
        Tensor::stack(&states.iter().map(|state| &state.h).collect::<Vec<_>>(), 1)
    }
}

/// Compute the hidden state after every step of a cell without cell state, in one call of the fused kernels.
fn hidden_states<C: Cell>(stack: &Stack<C>, xs: &Tensor, initial: State) -> Result<Vec<Tensor>> {
    single(stack)?;
    let initial = State::stack(&[initial])?; // (1, batch, hidden)
    let ys = Recurrent::run(stack, xs, Some(&initial), None)?.ys;
    unstack_time(&ys)
}

#[cfg(test)]
mod tests;
