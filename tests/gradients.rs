//! Gradients of every cell and every option against central differences in f64, of the fused kernels and of the
//! reference.
//!
//! For each parameter, the input and the initial state, the gradient along a random direction d must be
//! (f(x + e d) - f(x - e d)) / 2e. All elements of d are 1 or -1, so an error in any element of a gradient is found.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var, bail};
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{Merge, Output, Recurrent, RecurrentConfig, StackOptions, State};
use rnn_zoo::rng::{Purpose, Rng, stream};

use crate::random_layer::{Kind, Layer, MERGES, random};

const BATCH: usize = 3;
const TIME: usize = 4;
const INPUT: usize = 3;
const HIDDEN: usize = 4;
const EPSILON: f64 = 1e-6;
const TOLERANCE: f64 = 1e-6;

#[test]
fn simple_rnn_gradients_are_central_differences() -> Result<()> {
    [Kind::Tanh, Kind::Relu].into_iter().try_for_each(check_kind)
}

#[test]
fn lstm_gradients_are_central_differences_with_and_without_projection() -> Result<()> {
    [Kind::Lstm, Kind::Projection].into_iter().try_for_each(check_kind)
}

#[test]
fn gru_gradients_are_central_differences_with_reset_after_and_before() -> Result<()> {
    [Kind::GruAfter, Kind::GruBefore].into_iter().try_for_each(check_kind)
}

/// The options of a stack of any cell, and of a call.
struct Case {
    name: String,
    config: StackOptions,
    lengths: Option<&'static [usize]>,
    /// Whether the layer runs with a generator, which has the same seed at every evaluation.
    training: bool,
}

/// Return one case for each option that all cells have, and layer normalisation with each kind of noise.
fn options(layer_norm: bool) -> Vec<Case> {
    let plain = || StackOptions { num_layers: 2, ..StackOptions::new(INPUT, HIDDEN) };
    let both = || StackOptions { bidirectional: Some(Merge::Concat), ..plain() };
    let padded: Option<&[usize]> = Some(&[2, 4, 0]);
    let case = |name: &str, config, lengths, training| Case { name: name.into(), config, lengths, training };
    let mut cases = vec![
        case("one direction", plain(), None, false),
        case("one direction, padded", plain(), padded, false),
        case("no bias", StackOptions { bias: false, ..both() }, padded, false),
        case("zoneout in evaluation", StackOptions { zoneout: 0.3, ..both() }, padded, false),
        case("zoneout in training", StackOptions { zoneout: 0.3, ..both() }, padded, true),
        case("dropout", StackOptions { dropout: 0.4, ..both() }, padded, true),
        case("locked dropout", StackOptions { dropout: 0.4, locked_dropout: true, ..both() }, padded, true),
        case("recurrent dropout", StackOptions { recurrent_dropout: 0.4, ..both() }, padded, true),
        case("weight drop", StackOptions { weight_drop: 0.4, ..both() }, padded, true),
    ];
    if layer_norm {
        let normalised = || StackOptions { layer_norm: true, ..both() };
        for (name, config, training) in [
            ("", normalised(), false),
            (", no bias", StackOptions { bias: false, ..normalised() }, false),
            (", zoneout in evaluation", StackOptions { zoneout: 0.3, ..normalised() }, false),
            (", zoneout in training", StackOptions { zoneout: 0.3, ..normalised() }, true),
            (", recurrent dropout", StackOptions { recurrent_dropout: 0.4, ..normalised() }, true),
            (", weight drop", StackOptions { weight_drop: 0.4, ..normalised() }, true),
        ] {
            cases.push(case(&format!("layer norm{name}"), config, padded, training));
        }
    }
    for merge in MERGES {
        let config = || StackOptions { bidirectional: Some(merge), ..plain() };
        cases.push(case(&format!("merge {merge:?}"), config(), None, false));
        cases.push(case(&format!("merge {merge:?}, padded"), config(), padded, false));
    }
    cases
}

/// Check every case of a kind of cell on every device, with the fused kernels and without.
fn check_kind(kind: Kind) -> Result<()> {
    let devices = crate::devices();
    for (index, case) in options(kind != Kind::GruBefore).into_iter().enumerate() {
        let config = kind.config(case.config);
        for device in &devices {
            let check = |implementation: &str| {
                let mut rng = stream(index as u64, Purpose::Parameters, 0);
                let function = Function::new(&config, case.lengths, case.training, device, &mut rng)?;
                let device = rnn_zoo::device::name(device);
                function.check(&format!("{kind:?}, {}, {implementation} on {device}", case.name), &mut rng)
            };
            check("fused")?;
            without_fused(|| check("reference"))?;
        }
    }
    Ok(())
}

/// A layer as a scalar function of its parameters, its input and its initial state: the sum of all elements of its
/// results, each with a random weight.
struct Function {
    layer: Box<dyn Recurrent>,
    lengths: Option<&'static [usize]>,
    training: bool,
    variables: BTreeMap<String, Var>,
    /// Of ys, h and c.
    weights: Vec<Tensor>,
}

impl Function {
    fn new(
        config: &RecurrentConfig,
        lengths: Option<&'static [usize]>,
        training: bool,
        device: &Device,
        rng: &mut Rng,
    ) -> Result<Self> {
        let random = |dims: &[usize], rng: &mut Rng| random(dims, DType::F64, rng)?.to_device(device);
        let layer = Layer::new(config, DType::F64, device, rng)?;
        let State { h, c } = layer.random_state(BATCH, rng)?;
        let Layer { layer, parameters: mut variables } = layer;
        variables.insert("xs".into(), Var::from_tensor(&random(&[BATCH, TIME, INPUT], rng)?)?);
        variables.insert("h0".into(), Var::from_tensor(&h.to_device(device)?)?);
        if let Some(c) = c {
            variables.insert("c0".into(), Var::from_tensor(&c.to_device(device)?)?);
        }
        let mut function = Self { layer, lengths, training, variables, weights: vec![] };
        for output in function.outputs()? {
            function.weights.push(random(output.dims(), rng)?);
        }
        Ok(function)
    }

    /// Return ys, h and, for an LSTM, c.
    fn outputs(&self) -> Result<Vec<Tensor>> {
        let input = |name| self.variables.get(name).map(|var: &Var| var.as_tensor().clone());
        let Some((xs, h)) = input("xs").zip(input("h0")) else { bail!("xs and h0 are always there") };
        let state = State { h, c: input("c0") };
        let mut noise = stream(1, Purpose::Noise, 0);
        let rng = self.training.then_some(&mut noise as &mut dyn rand::Rng);
        let Output { ys, state, .. } = self.layer.run_t(&xs, Some(&state), self.lengths, rng)?;
        Ok([Some(ys), Some(state.h), state.c].into_iter().flatten().collect())
    }

    fn value(&self) -> Result<Tensor> {
        let outputs = self.outputs()?;
        let terms = outputs.iter().zip(&self.weights).map(|(output, weights)| (output * weights)?.sum_all());
        Tensor::stack(&terms.collect::<Result<Vec<_>>>()?, 0)?.sum_all()
    }

    fn check(&self, name: &str, rng: &mut Rng) -> Result<()> {
        let gradients = self.value()?.backward()?;
        for (variable, var) in &self.variables {
            let Some(gradient) = gradients.get(var) else { bail!("{name}: {variable} has no gradient") };
            let origin = var.copy()?;
            let direction = random(var.dims(), DType::F64, rng)?.sign()?.to_device(var.device())?;
            let value_at = |offset: f64| {
                var.set(&(&origin + (&direction * offset)?)?)?;
                self.value()?.to_scalar::<f64>()
            };
            let difference = (value_at(EPSILON)? - value_at(-EPSILON)?) / (2. * EPSILON);
            var.set(&origin)?;
            let slope = (gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
            let allowed = TOLERANCE * difference.abs().max(1.);
            assert!(
                (slope - difference).abs() <= allowed,
                "{name}: the gradient of {variable} is {slope} along a direction; differences say {difference}"
            );
        }
        Ok(())
    }
}
