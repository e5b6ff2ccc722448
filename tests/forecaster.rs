//! The forecaster: gradients against central differences in f64, the fused kernels against plain ops, and shapes.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use rand::RngExt;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{
    Forecaster, ForecasterConfig, GruConfig, Head, Inputs, LstmConfig, Network, PointLoss, RecurrentConfig,
    Series, StackOptions,
};
use rnn_zoo::rng::{Purpose, Rng, stream};

use crate::random_layer::random;

const BATCH: usize = 3;
const HIDDEN: usize = 4;
const EPSILON: f64 = 1e-6;
const TOLERANCE: f64 = 1e-6;

/// A forecaster of 5 steps from 6, with segments of 2 or none. The stack's input is as wide as it has to be.
fn config(segment: Option<usize>, known: usize, series: usize, head: Head, linear: bool) -> ForecasterConfig {
    let channels = 1 + known;
    let input = if segment.is_some() { HIDDEN } else { channels };
    let stack = StackOptions { num_layers: 2, ..StackOptions::new(input, HIDDEN) };
    let rnn = match series {
        0 => RecurrentConfig::Gru(GruConfig::from(stack)),
        _ => RecurrentConfig::Lstm(LstmConfig::from(stack)),
    };
    ForecasterConfig {
        window: 6,
        horizon: 5,
        segment,
        channels,
        known,
        series,
        head,
        linear,
        dropout: 0.,
        rnn,
    }
}

fn cases() -> Vec<ForecasterConfig> {
    let mean = || Head::Mean { loss: PointLoss::Mse };
    let student = || Head::StudentT { levels: vec![0.5] };
    let quantiles = || Head::Quantiles { levels: vec![0.1, 0.9] };
    vec![
        config(None, 0, 0, mean(), false),
        config(None, 2, 0, student(), true),
        config(Some(2), 0, 0, mean(), false),
        config(Some(2), 0, 3, quantiles(), true),
        config(Some(3), 2, 3, student(), true),
    ]
}

/// A forecaster with random parameters, and windows for it.
struct Case {
    config: ForecasterConfig,
    network: Forecaster,
    variables: BTreeMap<String, Var>,
    inputs: Inputs,
}

impl Case {
    fn new(config: ForecasterConfig, dtype: DType, rng: &mut Rng) -> Result<Self> {
        let map = VarMap::new();
        let network = Forecaster::new(&config, VarBuilder::from_varmap(&map, dtype, &Device::Cpu))?;
        let mut variables = BTreeMap::new();
        for (name, var) in map.data().lock().expect("invariant: nothing panics here").iter() {
            variables.insert(name.clone(), var.clone());
        }
        for var in variables.values() {
            var.set(&random(var.dims(), dtype, rng)?)?;
        }
        let past = random(&[BATCH, config.window, config.channels], dtype, rng)?;
        let future = match config.known {
            0 => None,
            known => Some(random(&[BATCH, config.horizon, known], dtype, rng)?),
        };
        let ids: Vec<u32> = (0..BATCH).map(|_| rng.random_range(0..config.series.max(1) as u32)).collect();
        let ids = Tensor::new(ids, &Device::Cpu)?;
        Ok(Self { config, network, variables, inputs: Inputs::Series(Series { past, future, ids }) })
    }

    fn outputs(&self) -> Result<Tensor> {
        let (hidden, _) = self.network.encode(&self.inputs, None, None)?;
        self.network.outputs(&hidden)
    }
}

#[test]
fn forecaster_gradients_are_central_differences() -> Result<()> {
    for (index, config) in cases().into_iter().enumerate() {
        let mut rng = stream(index as u64, Purpose::Parameters, 0);
        let case = Case::new(config, DType::F64, &mut rng)?;
        let weights = random(case.outputs()?.dims(), DType::F64, &mut rng)?;
        let value = || (case.outputs()? * &weights)?.sum_all();
        let gradients = value()?.backward()?;
        for (name, var) in &case.variables {
            let gradient = gradients.get(var).unwrap_or_else(|| panic!("{index}: {name} has no gradient"));
            let origin = var.copy()?;
            let direction = random(var.dims(), DType::F64, &mut rng)?.sign()?;
            let value_at = |offset: f64| {
                var.set(&(&origin + (&direction * offset)?)?)?;
                value()?.to_scalar::<f64>()
            };
            let difference = (value_at(EPSILON)? - value_at(-EPSILON)?) / (2. * EPSILON);
            var.set(&origin)?;
            let slope = (gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
            let allowed = TOLERANCE * difference.abs().max(1.);
            assert!((slope - difference).abs() <= allowed, "{index}, {name}: {slope} is not {difference}");
        }
    }
    Ok(())
}

#[test]
fn forecaster_of_kernels_is_that_of_plain_ops() -> Result<()> {
    for (index, config) in cases().into_iter().enumerate() {
        let case = Case::new(config, DType::F32, &mut stream(index as u64, Purpose::Parameters, 1))?;
        let numbers = |tensor: Tensor| tensor.flatten_all()?.to_vec1::<f32>();
        let outputs = case.outputs()?;
        assert_eq!(outputs.dims(), [BATCH, 5, case.config.head.outputs()]);
        let plain = without_fused(|| case.outputs())?;
        for (found, expected) in numbers(outputs)?.into_iter().zip(numbers(plain)?) {
            assert!((found - expected).abs() < 1e-5, "{index}: {found} is not {expected}");
        }
    }
    Ok(())
}

#[test]
fn forecaster_of_a_window_does_not_depend_on_the_others_of_its_batch() -> Result<()> {
    for (index, config) in cases().into_iter().enumerate() {
        let mut case = Case::new(config, DType::F64, &mut stream(index as u64, Purpose::Parameters, 2))?;
        let all = case.outputs()?.to_vec3::<f64>()?;
        let Inputs::Series(Series { past, future, ids }) = case.inputs.clone() else { unreachable!() };
        let last = |tensor: &Tensor| tensor.narrow(0, BATCH - 1, 1);
        let future = future.as_ref().map(last).transpose()?;
        case.inputs = Inputs::Series(Series { past: last(&past)?, future, ids: last(&ids)? });
        let alone = case.outputs()?.to_vec3::<f64>()?;
        for (found, expected) in alone[0].iter().flatten().zip(all[BATCH - 1].iter().flatten()) {
            assert!((found - expected).abs() < 1e-12, "{index}: {found} is not {expected}");
        }
    }
    Ok(())
}

#[test]
fn windows_and_configurations_that_do_not_fit_are_refused() -> Result<()> {
    let mean = || Head::Mean { loss: PointLoss::Mae };
    let refused = |config: &ForecasterConfig, mention: &str| {
        let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
        let error = Forecaster::new(config, vb).err().unwrap().to_string();
        assert!(error.contains(mention), "{error}");
    };
    let plain = config(Some(2), 0, 0, mean(), false);
    refused(&ForecasterConfig { segment: Some(4), ..plain.clone() }, "a multiple of segment, 4");
    refused(&ForecasterConfig { segment: Some(0), ..plain.clone() }, "segment is 0");
    refused(&ForecasterConfig { horizon: 0, ..plain.clone() }, "horizon is 0");
    refused(&ForecasterConfig { channels: 3, segment: None, ..plain.clone() }, "a step has 3 channels");
    let of_series = ForecasterConfig { series: 3, ..config(None, 0, 0, mean(), false) };
    refused(&of_series, "series is 3; expected 0 without segments");
    let narrow = RecurrentConfig::Gru(GruConfig::new(1, HIDDEN));
    let narrow = ForecasterConfig { series: 3, rnn: narrow, ..plain.clone() };
    refused(&narrow, "input_size is 1; expected at least 2 with vectors of series");
    let levels = vec![0.9, 0.1];
    refused(&ForecasterConfig { head: Head::Quantiles { levels }, ..plain.clone() }, "ascending");
    let mut case = Case::new(plain, DType::F32, &mut stream(1, Purpose::Parameters, 3))?;
    let past = Tensor::zeros((BATCH, 5, 1), DType::F32, &Device::Cpu)?;
    let ids = Tensor::zeros(BATCH, DType::U32, &Device::Cpu)?;
    case.inputs = Inputs::Series(Series { past, future: None, ids });
    let error = case.outputs().unwrap_err().to_string();
    assert!(error.contains("has 5 steps of 1 channels; expected 6 of 1"), "{error}");
    Ok(())
}
