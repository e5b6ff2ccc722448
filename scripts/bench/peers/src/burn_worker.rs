//! Burn's side of compare.py, on burn-flex, which replaces the deprecated burn-ndarray as CPU backend. Not tried:
//! burn-candle has no stable release for this Burn, burn-tch is libtorch, and burn-cpu needs an LLVM of its own.

mod serve;

use anyhow::Result;
use burn::nn::{Gru, GruConfig, Lstm, LstmConfig, LstmState, Rnn, RnnConfig, RnnState};
use burn::tensor::{Device, Distribution, Tensor};
use serde_json::{Value, json};
use serve::{Request, STEPS, layer_answer, median, serve, step_answer};

fn main() -> Result<()> {
    serve(|request| match request.work.as_str() {
        "layer" => layer(request),
        "step" => step(request),
        _ => Ok(json!({})),
    })
}

enum Layer {
    Rnn(Rnn),
    Lstm(Lstm),
    Gru(Gru),
}

/// The state of a layer: of an LSTM, both halves.
struct State {
    hidden: Tensor<2>,
    cell: Option<Tensor<2>>,
}

impl Layer {
    fn new(request: &Request, device: &Device) -> Result<Self> {
        let (input, hidden) = (request.input, request.hidden);
        Ok(match request.cell.as_str() {
            "simple-rnn" => Self::Rnn(RnnConfig::new(input, hidden, true).init(device)),
            "lstm" => Self::Lstm(LstmConfig::new(input, hidden, true).init(device)),
            "gru" => Self::Gru(GruConfig::new(input, hidden, true).init(device)),
            other => anyhow::bail!("no cell is called {other}"),
        })
    }

    /// (batch, time, input) to (batch, time, hidden).
    fn forward(&self, xs: Tensor<3>) -> Tensor<3> {
        match self {
            Self::Rnn(rnn) => rnn.forward(xs, None).0,
            Self::Lstm(lstm) => lstm.forward(xs, None).0,
            Self::Gru(gru) => gru.forward(xs, None),
        }
    }

    fn step(&self, x: Tensor<3>, state: State) -> State {
        match self {
            Self::Rnn(rnn) => {
                let hidden = rnn.forward(x, Some(RnnState::new(state.hidden))).1.hidden;
                State { hidden, cell: None }
            }
            Self::Lstm(lstm) => {
                let cell = state.cell.expect("an LSTM's state has a cell");
                let state = lstm.forward(x, Some(LstmState::new(cell, state.hidden))).1;
                State { hidden: state.hidden, cell: Some(state.cell) }
            }
            Self::Gru(gru) => State { hidden: gru.forward(x, Some(state.hidden)).squeeze_dim(1), cell: None },
        }
    }
}

fn layer(request: &Request) -> Result<Value> {
    let shape = [request.batch, request.time, request.input];
    let device = Device::flex();
    let rnn = Layer::new(request, &device)?;
    let xs = Tensor::<3>::random(shape, Distribution::Default, &device);
    let forward = median(request.repeat, || {
        rnn.forward(xs.clone());
        Ok(device.sync()?)
    })?;

    let device = device.autodiff();
    let rnn = Layer::new(request, &device)?;
    let xs = Tensor::<3>::random(shape, Distribution::Default, &device).require_grad();
    let train = median(request.repeat, || {
        rnn.forward(xs.clone()).sum().backward();
        Ok(device.sync()?)
    })?;
    Ok(layer_answer(forward, train))
}

fn step(request: &Request) -> Result<Value> {
    let device = Device::flex();
    let rnn = Layer::new(request, &device)?;
    let x = Tensor::<3>::random([1, 1, request.input], Distribution::Default, &device);
    let zeros = Tensor::<2>::zeros([1, request.hidden], &device);
    let seconds = median(request.repeat, || {
        let mut state = State { hidden: zeros.clone(), cell: Some(zeros.clone()) };
        for _ in 0..STEPS {
            state = rnn.step(x.clone(), state);
        }
        Ok(device.sync()?)
    })?;
    Ok(step_answer(seconds))
}
