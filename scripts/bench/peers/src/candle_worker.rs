//! candle-nn's side of compare.py: its `lstm` and `gru`; it has no simple network.
//!
//! Inputs are time-major in memory, so that the time steps which candle-nn slices out need no copy.

mod serve;

use std::collections::HashMap;

use anyhow::Result;
use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use candle_nn::rnn::{GRUConfig, LSTMConfig, RNN, gru, lstm};
use candle_nn::{AdamW, Embedding, LSTM, Linear, Module, Optimizer, ParamsAdamW, VarBuilder, VarMap};
use serde_json::{Value, json};
use serve::{Request, STEPS, layer_answer, median, serve, step_answer};

const CPU: Device = Device::Cpu;

fn main() -> Result<()> {
    serve(|request| match (request.work.as_str(), request.cell.as_str()) {
        ("layer", "lstm") => {
            layer(request, |vb| Ok(lstm(request.input, request.hidden, LSTMConfig::default(), vb)?))
        }
        ("layer", "gru") => {
            layer(request, |vb| Ok(gru(request.input, request.hidden, GRUConfig::default(), vb)?))
        }
        ("step", "lstm") => {
            step(request, |vb| Ok(lstm(request.input, request.hidden, LSTMConfig::default(), vb)?))
        }
        ("step", "gru") => {
            step(request, |vb| Ok(gru(request.input, request.hidden, GRUConfig::default(), vb)?))
        }
        ("lm", "lstm") => language_model(request),
        _ => Ok(json!({})),
    })
}

fn layer<R: RNN>(request: &Request, build: impl Fn(VarBuilder) -> Result<R>) -> Result<Value> {
    let (rnn, frozen) = both(build)?;
    let xs = Var::randn(0f32, 1., (request.time, request.batch, request.input), &CPU)?;
    let plain = xs.as_detached_tensor().transpose(0, 1)?;
    let forward = median(request.repeat, || {
        frozen.states_to_tensor(&frozen.seq(&plain)?)?;
        Ok(())
    })?;
    let train = median(request.repeat, || {
        let states = rnn.seq(&xs.transpose(0, 1)?)?;
        rnn.states_to_tensor(&states)?.sum_all()?.backward()?;
        Ok(())
    })?;
    Ok(layer_answer(forward, train))
}

fn step<R: RNN>(request: &Request, build: impl Fn(VarBuilder) -> Result<R>) -> Result<Value> {
    let (_, frozen) = both(build)?;
    let x = Tensor::randn(0f32, 1., (1, request.input), &CPU)?;
    let seconds = median(request.repeat, || {
        let mut state = frozen.zero_state(1)?;
        for _ in 0..STEPS {
            state = frozen.step(&x, &state)?;
        }
        Ok(())
    })?;
    Ok(step_answer(seconds))
}

/// A layer to train, and the same for inference: of plain tensors, for which candle records no graph.
fn both<R>(build: impl Fn(VarBuilder) -> Result<R>) -> Result<(R, R)> {
    let map = VarMap::new();
    let rnn = build(VarBuilder::from_varmap(&map, DType::F32, &CPU))?;
    let vars = map.data().lock().expect("no other thread").clone();
    let plain: HashMap<String, Tensor> =
        vars.into_iter().map(|(name, var)| (name, var.as_detached_tensor())).collect();
    Ok((rnn, build(VarBuilder::from_tensors(plain, DType::F32, &CPU))?))
}

struct LanguageModel {
    embedding: Embedding,
    rnns: Vec<LSTM>,
    decoder: Linear,
}

impl LanguageModel {
    fn new(request: &Request, vb: &VarBuilder) -> Result<Self> {
        let layers = (0..request.layers).map(|at| {
            let width = if at == 0 { request.embedding } else { request.hidden };
            let config = LSTMConfig { layer_idx: at, ..LSTMConfig::default() };
            lstm(width, request.hidden, config, vb.pp("rnn"))
        });
        Ok(Self {
            embedding: candle_nn::embedding(request.vocab, request.embedding, vb.pp("embedding"))?,
            rnns: layers.collect::<candle_core::Result<_>>()?,
            decoder: candle_nn::linear(request.hidden, request.vocab, vb.pp("decoder"))?,
        })
    }

    /// The mean loss of `tokens`, time-major, each of which is its own target.
    fn loss(&self, tokens: &Tensor) -> Result<Tensor> {
        let mut xs = self.embedding.forward(tokens)?.transpose(0, 1)?;
        for rnn in &self.rnns {
            let hidden: Vec<Tensor> = rnn.seq(&xs)?.into_iter().map(|state| state.h).collect();
            xs = Tensor::stack(&hidden, 0)?.transpose(0, 1)?;
        }
        let logits = self.decoder.forward(&xs.transpose(0, 1)?.flatten_to(1)?)?;
        Ok(candle_nn::loss::cross_entropy(&logits, &tokens.flatten_all()?)?)
    }
}

fn language_model(request: &Request) -> Result<Value> {
    let map = VarMap::new();
    let model = LanguageModel::new(request, &VarBuilder::from_varmap(&map, DType::F32, &CPU))?;
    let vars = map.all_vars();
    let mut optimizer = AdamW::new(vars.clone(), ParamsAdamW { weight_decay: 0., ..Default::default() })?;
    let size = request.time * request.batch;
    let tokens: Vec<u32> = (0..size).map(|at| (at * 7919 % request.vocab) as u32).collect();
    let tokens = Tensor::from_vec(tokens, (request.time, request.batch), &CPU)?;
    let seconds = median(request.repeat, || {
        let mut gradients = model.loss(&tokens)?.backward()?;
        clip_by_norm(&vars, &mut gradients, 1.)?;
        Ok(optimizer.step(&gradients)?)
    })?;
    Ok(json!({ "step_ms": seconds * 1e3 }))
}

fn clip_by_norm(vars: &[Var], gradients: &mut GradStore, largest: f64) -> Result<()> {
    let mut squares = 0.;
    for var in vars {
        if let Some(gradient) = gradients.get(var) {
            squares += f64::from(gradient.sqr()?.sum_all()?.to_scalar::<f32>()?);
        }
    }
    let norm = squares.sqrt();
    if norm > largest {
        for var in vars {
            if let Some(gradient) = gradients.remove(var) {
                gradients.insert(var, (gradient * (largest / norm))?);
            }
        }
    }
    Ok(())
}
