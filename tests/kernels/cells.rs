//! Cells that name a kind of fused cell, and the packed weights that they keep.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use rnn_zoo::models::kernels::CellKind;
use rnn_zoo::models::{
    Cell, Gru, GruConfig, GruOptions, Network, Nonlinearity, Recurrent, RecurrentConfig, Reset, Rnnlm,
    RnnlmConfig, Stack, StackOptions, State, Weights,
};
use rnn_zoo::rng::{Purpose, stream};

use crate::random_layer::{random, values};

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
    let stack = Stack::<WrongKind>::new(&StackOptions::new(3, 5).into(), vb)?;
    let xs = Tensor::zeros((2, 4, 3), DType::F32, &Device::Cpu)?;
    for refused in [stack.run(&xs, None, None).err(), stack.stream(&[]).err()] {
        let error = refused.map(|error| error.to_string()).unwrap_or_default();
        assert!(error.contains("20 rows of weights") && error.contains("expected 5"), "{error}");
    }
    Ok(())
}

/// A GRU whose reset gate moves while it exists.
#[derive(Clone)]
struct SwitchedGru {
    weights: Weights,
    resets_before: Arc<AtomicBool>,
}

impl Cell for SwitchedGru {
    type Options = Arc<AtomicBool>;
    const GATES: usize = 3;

    fn new(options: &Self::Options, weights: Weights) -> Result<Self> {
        Ok(Self { weights, resets_before: options.clone() })
    }

    fn weights(&self) -> &Weights {
        &self.weights
    }

    fn weights_mut(&mut self) -> &mut Weights {
        &mut self.weights
    }

    fn kind(&self) -> Option<CellKind> {
        Some(if self.resets_before.load(Ordering::Relaxed) { CellKind::GruBefore } else { CellKind::Gru })
    }

    fn step(&self, _gates_x: &Tensor, _h: &Tensor, _state: &State) -> Result<State> {
        unreachable!("the kernels run this cell")
    }
}

/// Draw random parameters of a GRU layer that are no variables.
fn frozen(input: usize, hidden: usize) -> Result<HashMap<String, Tensor>> {
    let map = VarMap::new();
    Gru::new(&GruConfig::new(input, hidden), VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
    let mut rng = stream(1, Purpose::Parameters, 0);
    let vars = map.data().lock().unwrap();
    vars.iter().map(|(name, var)| Ok((name.clone(), random(var.dims(), DType::F32, &mut rng)?))).collect()
}

fn outputs(layer: &dyn Recurrent, xs: &Tensor) -> Result<Vec<f64>> {
    values(&layer.run(xs, None, None)?.ys)
}

#[test]
fn packed_weights_are_those_of_the_present_kind() -> Result<()> {
    let weights = frozen(3, 20)?;
    let vb = VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu);
    let stack = || StackOptions::new(3, 20);
    let gru = |reset| Gru::new(&stack().with_cell(GruOptions { reset, ..Default::default() }), vb.clone());
    let (after, before) = (gru(Reset::After)?, gru(Reset::Before)?);
    let resets_before = Arc::new(AtomicBool::new(false));
    let switched = Stack::<SwitchedGru>::new(&stack().with_cell(resets_before.clone()), vb.clone())?;
    let xs = random(&[2, 6, 3], DType::F32, &mut stream(2, Purpose::Parameters, 0))?;
    assert_ne!(outputs(&after, &xs)?, outputs(&before, &xs)?);
    for is_before in [false, true, false, true, true] {
        resets_before.store(is_before, Ordering::Relaxed);
        let expected = if is_before { &before } else { &after };
        assert_eq!(outputs(&switched, &xs)?, outputs(expected, &xs)?);
        assert_eq!(switched.stream(&[])?.is_some(), expected.stream(&[])?.is_some());
    }
    Ok(())
}

#[test]
fn repack_uses_weights_that_were_changed_in_place() -> Result<()> {
    type Repack = fn(&Gru);
    let repacks: [Repack; 2] =
        [Gru::repack, |gru| gru.cells().iter().for_each(|cell| cell.weights().repack())];
    for (changed, repack) in ["weight_ih_l0", "weight_hh_l0"].into_iter().zip(repacks) {
        let weights = frozen(3, 20)?;
        let gru = |weights: &HashMap<String, Tensor>| {
            let vb = VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu);
            Gru::new(&GruConfig::new(3, 20), vb)
        };
        let layer = gru(&weights)?;
        let xs = random(&[2, 6, 3], DType::F32, &mut stream(2, Purpose::Parameters, 0))?;
        let before = outputs(&layer, &xs)?;
        let weight = &weights[changed];
        weight.slice_set(&(weight.copy()? * 0.5)?, 0, 0)?;
        repack(&layer);
        let after = outputs(&layer, &xs)?;
        assert_ne!(after, before, "{changed}");
        assert_eq!(after, outputs(&gru(&weights)?, &xs)?, "{changed}");
        let mut stream = layer.stream(&[])?.unwrap();
        let x = xs.get(0)?.get(0)?.to_vec1::<f32>()?;
        let y: Vec<f64> = stream.step(&x)?.iter().map(|&y| y.into()).collect();
        assert!(y.iter().zip(&after).all(|(a, b)| (a - b).abs() < 1e-6), "{changed}");
    }
    Ok(())
}

#[test]
fn repack_of_a_network_reaches_its_layers() -> Result<()> {
    let map = VarMap::new();
    let config = RnnlmConfig::new(5, RecurrentConfig::Gru(GruConfig::new(3, 20)));
    Rnnlm::new(&config, VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
    let weights: HashMap<String, Tensor> =
        map.data().lock().unwrap().iter().map(|(name, var)| (name.clone(), var.detach())).collect();
    let model = |weights: &HashMap<String, Tensor>| {
        Rnnlm::new(&config, VarBuilder::from_tensors(weights.clone(), DType::F32, &Device::Cpu))
    };
    let tokens = Tensor::new(&[[0u32, 3, 1]], &Device::Cpu)?;
    let hidden = |model: &Rnnlm| values(&model.encode(&(&tokens).into(), None, None)?.0);
    let changed = model(&weights)?;
    let before = hidden(&changed)?;
    let weight = &weights["rnn.weight_hh_l0"];
    weight.slice_set(&(weight.copy()? * 0.5)?, 0, 0)?;
    changed.repack();
    assert_ne!(hidden(&changed)?, before);
    assert_eq!(hidden(&changed)?, hidden(&model(&weights)?)?);
    Ok(())
}
