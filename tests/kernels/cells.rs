//! Cells that name a kind of fused cell.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::VarBuilder;
use rnn_zoo::models::kernels::CellKind;
use rnn_zoo::models::{Cell, Nonlinearity, Recurrent, Stack, StackOptions, State, Weights};

/// A cell with four gates that names a kind with one.
#[derive(Clone)]
struct WrongKind(Weights);

impl Cell for WrongKind {
    type Options = ();
    const GATES: usize = 4;

    fn new(_options: &(), weights: Weights) -> Result<Self> {
        Ok(Self(weights))
    }

    fn weights(&self) -> &Weights {
        &self.0
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.0
    }

    fn kind(&self) -> Option<CellKind> {
        Some(CellKind::Simple(Nonlinearity::Tanh))
    }

    fn step(&self, _gates_x: &Tensor, _h: &Tensor, state: &State) -> Result<State> {
        Ok(state.clone())
    }
}

#[test]
fn cells_that_name_a_wrong_kind_are_refused() -> Result<()> {
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let stack = Stack::<WrongKind>::new(&StackOptions::new(3, 5).into(), &vb)?;
    let xs = Tensor::zeros((2, 4, 3), DType::F32, &Device::Cpu)?;
    for refused in [stack.forward(&xs, None, None).err(), stack.stream(&[]).err()] {
        let error = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("20 rows of weights") && error.contains("expected 5"), "{error}");
    }
    Ok(())
}
