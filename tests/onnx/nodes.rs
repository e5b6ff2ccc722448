//! The ONNX project's own node tests of RNN, LSTM and GRU.

use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use rnn_zoo::formats::onnx::{Direction, RecurrentLayer, recurrent_layers};
use serde::de::IgnoredAny;

use crate::golden::{Case, Result, load};
use crate::pytorch::largest_difference;

/// The tests whose layers our cells do not have, with the problem that is named.
const REFUSED: [(&str, &str); 1] =
    [("test_lstm_with_peepholes", "has peepholes, which our cells do not have")];

/// Compute Y, Y_h and Y_c as the operator has them.
fn results(layer: &RecurrentLayer, xs: &Tensor) -> Result<[Option<Tensor>; 3]> {
    let parameters = layer.parameters.clone().into_iter().collect();
    let rnn = layer.config.build(VarBuilder::from_tensors(parameters, DType::F32, &Device::Cpu))?;
    let reversed = |tensor: &Tensor| match layer.direction {
        Direction::Reverse => tensor.flip(&[1]),
        _ => Ok(tensor.clone()),
    };
    let xs = if layer.batch_first { xs.clone() } else { xs.transpose(0, 1)? };
    let output = rnn.run(&reversed(&xs)?, None, None)?;
    let (batch, time, width) = output.ys.dims3()?;
    let directions = layer.config.stack().directions();
    let ys = reversed(&output.ys)?.reshape((batch, time, directions, width / directions))?;
    let states = [Some(output.state.h), output.state.c]; // (directions, batch, hidden)
    Ok(match layer.batch_first {
        true => {
            let [h, c] = states.map(|state| state.map(|state| state.transpose(0, 1)).transpose());
            [Some(ys), h?, c?]
        }
        false => {
            let [h, c] = states;
            [Some(ys.permute((1, 2, 0, 3))?), h, c] // (time, directions, batch, hidden)
        }
    })
}

#[test]
fn node_tests_of_onnx_pass_but_for_those_with_peepholes() -> Result<()> {
    let cases: Vec<Case<IgnoredAny>> = load("onnx_nodes")?;
    assert_eq!(cases.len(), 18);
    for case in &cases {
        let model = case.kinds["input"]["model"].to_vec1::<u8>()?;
        let layers = recurrent_layers(Path::new("node.onnx"), &model);
        if let Some((_, problem)) = REFUSED.iter().find(|(name, _)| *name == case.name) {
            let error = layers.unwrap_err().to_string();
            assert!(error.contains(problem), "{}: {error}", case.name);
            continue;
        }
        let found = results(&layers?[0], &case.kinds["input"]["X"])?;
        for (name, found) in ["Y", "Y_h", "Y_c"].into_iter().zip(found) {
            let Some(expected) = case.kinds["output"].get(name) else { continue };
            let difference = largest_difference(&found.unwrap(), expected)?;
            assert!(difference < 1e-5, "{} {name}: {difference}", case.name);
        }
    }
    Ok(())
}
