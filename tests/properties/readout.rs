//! Readouts of a predictor: padding, and gradients against central differences in f64.

use std::collections::BTreeMap;

use candle_core::{DType, Device, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use rnn_zoo::models::{Inputs, Network, Predictor, PredictorConfig, Readout, RecurrentConfig};
use rnn_zoo::rng::{Purpose, Rng, stream};

use super::case::{any_config, bits, check_close};
use crate::random_layer::random;

const EPSILON: f64 = 1e-6;
const TOLERANCE: f64 = 1e-5;

/// The change of the slope within `EPSILON` that shows a corner.
const CORNER: f64 = 1e-3;

/// A predictor that reads features, and its parameters.
struct Drawn {
    network: Predictor,
    parameters: BTreeMap<String, Var>,
    rng: Rng,
}

fn draw(readout: Readout, rnn: &RecurrentConfig, seed: u64) -> Result<Drawn> {
    let config = PredictorConfig::new(3, readout, rnn.clone());
    let map = VarMap::new();
    let network = Predictor::new(&config, VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu))?;
    let mut rng = stream(seed, Purpose::Parameters, 0);
    let mut parameters = BTreeMap::new();
    for (name, var) in map.data().lock().unwrap().iter() {
        parameters.insert(name.clone(), var.clone());
    }
    for var in parameters.values() {
        var.set(&random(var.dims(), DType::F64, &mut rng)?)?;
    }
    Ok(Drawn { network, parameters, rng })
}

fn scores(network: &Predictor, xs: &Tensor, lengths: Option<&[usize]>) -> Result<Tensor> {
    network.outputs(&network.encode(&Inputs::from(xs), None, lengths)?.0)
}

fn any_readout() -> impl Strategy<Value = Readout> {
    prop::sample::select(Readout::POOLED.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn padded_sequences_read_as_single_sequences(
        readout in any_readout(),
        rnn in any_config(),
        lengths in prop::collection::vec(0..=6usize, 1..=4),
        padding in 0..=3usize,
        seed in any::<u64>(),
    ) {
        let Drawn { network, mut rng, .. } = draw(readout, &rnn, seed)?;
        let time = lengths.iter().max().unwrap() + padding;
        let input = rnn.stack().input_size;
        let xs = random(&[lengths.len(), time, input], DType::F64, &mut rng)?;
        let together = scores(&network, &xs, Some(&lengths))?;
        for (row, &length) in lengths.iter().enumerate() {
            let single = scores(&network, &xs.narrow(0, row, 1)?.narrow(1, 0, length)?, None)?;
            check_close("the scores", &together.narrow(0, row, 1)?, &single)?;
        }
        // Numbers in the padding are not read.
        let mask: Vec<f64> = lengths
            .iter()
            .flat_map(|&length| (0..time).map(move |t| if t < length { 0. } else { f64::NAN }))
            .flat_map(|x| std::iter::repeat_n(x, input))
            .collect();
        let junk = (&xs + Tensor::from_vec(mask, xs.dims(), &Device::Cpu)?)?;
        prop_assert_eq!(bits(&scores(&network, &junk, Some(&lengths))?)?, bits(&together)?);
    }

    #[test]
    fn readout_gradients_are_central_differences(
        readout in any_readout(),
        rnn in any_config(),
        lengths in prop::option::of(Just([3, 4, 0])),
        seed in any::<u64>(),
    ) {
        let Drawn { network, mut parameters, mut rng } = draw(readout, &rnn, seed)?;
        let xs = random(&[3, 4, rnn.stack().input_size], DType::F64, &mut rng)?;
        let xs = Var::from_tensor(&xs)?;
        let weights = random(&[3, 3], DType::F64, &mut rng)?;
        let lengths = lengths.as_ref().map(<[usize; 3]>::as_slice);
        let value = || (scores(&network, xs.as_tensor(), lengths)? * &weights)?.sum_all();
        parameters.insert("xs".into(), xs.clone());
        let gradients = value()?.backward()?;
        for (name, var) in &parameters {
            let Some(gradient) = gradients.get(var) else { continue }; // a recurrent weight that nothing reads
            let direction = random(var.dims(), DType::F64, &mut rng)?.sign()?;
            let origin = var.copy()?;
            let at = |offset: f64| {
                var.set(&(&origin + (&direction * offset)?)?)?;
                value()?.to_scalar::<f64>()
            };
            let (above, below) = (at(EPSILON)?, at(-EPSILON)?);
            var.set(&origin)?;
            let slope = (gradient * &direction)?.sum_all()?.to_scalar::<f64>()?;
            let difference = (above - below) / (2. * EPSILON);
            // A corner between both sides, as of a maximum or a rectifier, has no slope.
            let middle = value()?.to_scalar::<f64>()?;
            let bend = (above + below - 2. * middle).abs() / EPSILON;
            if bend > CORNER {
                continue;
            }
            let allowed = TOLERANCE * difference.abs().max(1.);
            prop_assert!((slope - difference).abs() <= allowed, "{}: {} is not {}", name, slope, difference);
        }
    }
}
