//! Padded batches.

use candle_core::{DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rand::RngExt;
use rnn_zoo::models::{Output, State};

use super::case::{Drawn, any_case, bits, check_close, check_same, check_state, rows_of, tensors};
use crate::random_layer::{random, values};

/// Replace the steps past the length of each sequence by values of `junk`.
fn pad_with(xs: &Tensor, lengths: &[usize], mut junk: impl FnMut() -> f64) -> Result<Tensor> {
    let (_, time, features) = xs.dims3()?;
    let padding = |at: usize| at / features % time >= lengths[at / features / time];
    let padded = values(xs)?.into_iter().enumerate();
    let padded: Vec<f64> = padded.map(|(at, x)| if padding(at) { junk() } else { x }).collect();
    Tensor::from_vec(padded, xs.dims(), &Device::Cpu)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn padding_reaches_no_result_and_no_gradient(case in any_case()) {
        let Drawn { layer, xs, state, mut rng } = case.draw()?;
        let loss_weights = rng.clone();
        let run = |junk: &mut dyn FnMut() -> f64| -> Result<(Output, Vec<(String, Tensor)>)> {
            let xs = Var::from_tensor(&pad_with(&xs, &case.lengths, junk)?)?;
            let [h, c] = [Some(&state.h), state.c.as_ref()].map(|tensor| tensor.map(Var::from_tensor).transpose());
            let (h, c) = (h?, c?);
            let initial = State {
                h: h.as_ref().map_or_else(|| state.h.clone(), |h| h.as_tensor().clone()),
                c: c.as_ref().map(|c| c.as_tensor().clone()),
            };
            let output = layer.layer.run(&xs, Some(&initial), Some(&case.lengths))?;
            let mut loss = Tensor::zeros((), DType::F64, &Device::Cpu)?;
            let mut weights = loss_weights.clone();
            for (_, tensor) in tensors(&output) {
                loss = (loss + (&tensor * random(tensor.dims(), DType::F64, &mut weights)?)?.sum_all()?)?;
            }
            let store = loss.backward()?;
            let named = layer.parameters.iter().map(|(name, var)| (name.clone(), var));
            let inputs = [("xs", Some(&xs)), ("h0", h.as_ref()), ("c0", c.as_ref())];
            let inputs = inputs.into_iter().filter_map(|(name, var)| Some((name.to_string(), var?)));
            let gradient = |(name, var): (String, &Var)| Some((name, store.get(var)?.clone()));
            Ok((output, named.chain(inputs).filter_map(gradient).collect()))
        };
        let (clean, gradients) = run(&mut || 0.)?;
        if case.time > 0 {
            prop_assert!(gradients.iter().any(|(name, _)| name == "xs"));
            prop_assert_eq!(gradients.iter().filter(|(name, _)| name.contains("weight_ih")).count(),
                layer.parameters.keys().filter(|name| name.contains("weight_ih")).count());
        }
        let mut any_number = || 2e3 * rng.random::<f64>() - 1e3;
        let junk: [&mut dyn FnMut() -> f64; 4] =
            [&mut any_number, &mut || f64::NAN, &mut || f64::INFINITY, &mut || f64::NEG_INFINITY];
        for junk in junk {
            let (output, others) = run(junk)?;
            check_same(&output, &clean)?;
            prop_assert_eq!(others.len(), gradients.len());
            for ((name, found), (_, expected)) in others.iter().zip(&gradients) {
                prop_assert_eq!(bits(found)?, bits(expected)?, "the gradient of {}", name);
            }
        }
        // Outputs past a length are zero.
        let zeros = pad_with(&clean.ys, &case.lengths, || 0.)?;
        prop_assert_eq!(values(&clean.ys)?, values(&zeros)?);
    }

    #[test]
    fn padded_batches_equal_single_sequences(case in any_case()) {
        let drawn = case.draw()?;
        let together = drawn.run(Some(&case.lengths))?;
        for (row, &length) in case.lengths.iter().enumerate() {
            let only = Tensor::new(&[row as u32], &Device::Cpu)?;
            let xs = drawn.xs.narrow(0, row, 1)?.narrow(1, 0, length)?;
            let single = drawn.layer.layer.run(&xs, Some(&rows_of(&drawn.state, &only)?), None)?;
            let ys = together.ys.narrow(0, row, 1)?.narrow(1, 0, length)?;
            check_close("ys", &ys, &single.ys)?;
            check_state("state", &rows_of(&together.state, &only)?, &single.state)?;
            check_close("last", &together.last()?.narrow(0, row, 1)?, &single.last()?)?;
        }
    }

    #[test]
    fn full_lengths_equal_no_lengths(case in any_case()) {
        let drawn = case.draw()?;
        let lengths = vec![case.time; case.lengths.len()];
        check_same(&drawn.run(Some(&lengths))?, &drawn.run(None)?)?;
    }
}
