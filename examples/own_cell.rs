//! A new kind of cell: the minimal gated unit (Zhou et al. 2016).
//!
//! ```text
//! f  = sigmoid(W_f x + b_f + U_f h)
//! n  = tanh(W_n x + b_n + f * (U_n h + c_n))
//! h' = f * h + (1 - f) * n
//! ```
//!
//! The cell computes one step. [`Stack`] adds layers, both directions, lengths, dropout and zoneout.
//!
//! ```text
//! cargo run --release --example own_cell
//! ```

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap, ops::sigmoid};
use rnn_zoo::models::{Cell, Merge, Recurrent, Stack, StackOptions, State, Weights, split_gates};

#[derive(Clone)]
struct MinimalCell {
    weights: Weights,
}

impl Cell for MinimalCell {
    type Options = ();

    const GATES: usize = 2;

    fn new(_options: &(), weights: Weights) -> Result<Self> {
        Ok(Self { weights })
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    /// The recurrent bias of `n` is inside the product with `f`.
    fn folds_hidden_bias(&self) -> bool {
        false
    }

    fn step(&self, gates_x: &Tensor, h: &Tensor, state: &State) -> Result<State> {
        let gates_h = self.weights.project_hidden(h)?;
        let gates_h = match self.weights.hidden_bias() {
            Some(bias) => gates_h.broadcast_add(bias)?,
            None => gates_h,
        };
        let [f_x, n_x] = split_gates(gates_x)?; // each (batch, hidden)
        let [f_h, n_h] = split_gates(&gates_h)?;
        let f = sigmoid(&(f_x + f_h)?)?;
        let n = (n_x + (&f * n_h)?)?.tanh()?;
        let h = (&n + (f * (&state.h - &n)?)?)?;
        Ok(State { h, c: None })
    }
}

fn main() -> Result<()> {
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    let options = StackOptions { num_layers: 2, bidirectional: Some(Merge::Sum), ..StackOptions::new(4, 8) };
    let layers = Stack::<MinimalCell>::new(&options.into(), vb)?;

    let xs = Tensor::randn(0f32, 1., (3, 10, 4), &Device::Cpu)?; // (batch, time, features)
    let output = layers.run(&xs, None, Some(&[10, 7, 2]))?; // lengths of the sequences
    println!("outputs {:?}, final states {:?}", output.ys.dims(), output.state.h.dims());
    let mut names: Vec<String> =
        parameters.data().lock().map(|data| data.keys().cloned().collect()).unwrap_or_default();
    names.sort();
    println!("parameters: {}", names.join(", "));
    Ok(())
}
