//! Streams, which read one step at a time.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rand::RngExt;
use rnn_zoo::models::kernels::Isa;
use rnn_zoo::models::{Linear, ModelConfig, RecurrentConfig, RnnlmConfig, StackOptions, State};
use rnn_zoo::rng::{Purpose, stream};

use super::case::{Case, any_case};
use crate::random_layer::{Check, Kind, random, values};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn streams_equal_sequences(case in any_case()) {
        let mut config = match &case.config {
            RecurrentConfig::Gru(config) => Kind::GruAfter.config(config.stack.clone()),
            other => other.clone(),
        };
        config.stack_mut().bidirectional = None;
        let case = Case { config, ..case };
        for isa in Isa::available() {
            isa.scope(|| check_stream(&case))?;
        }
    }
}

fn check_stream(case: &Case) -> Check {
    let mut rng = stream(case.seed, Purpose::Parameters, 0);
    let map = VarMap::new();
    let layer = case.config.build(VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?;
    for var in map.all_vars() {
        var.set(&random(var.dims(), DType::F32, &mut rng)?)?;
    }
    let xs = random(&[1, case.time, layer.input_size()], DType::F32, &mut rng)?;
    let zeros = layer.zero_state(1)?;
    let state = State {
        h: random(zeros.h.dims(), DType::F32, &mut rng)?,
        c: zeros.c.map(|c| random(c.dims(), DType::F32, &mut rng)).transpose()?,
    };
    let expected = layer.run(&xs, Some(&state), None)?;
    let Some(mut stream) = layer.stream(&[])? else {
        return Err(TestCaseError::fail("there is no stream of this layer"));
    };
    stream.set_state(&state)?;
    let mut ys = vec![];
    for x in xs.squeeze(0)?.to_vec2::<f32>()? {
        ys.extend_from_slice(stream.step(&x)?);
    }
    let after = stream.state()?;
    for (name, found, expected) in [
        ("ys", ys, values(&expected.ys)?),
        ("h", after.h.flatten_all()?.to_vec1()?, values(&expected.state.h)?),
        (
            "c",
            after.c.map_or(Ok(vec![]), |c| c.flatten_all()?.to_vec1())?,
            expected.state.c.as_ref().map_or(Ok(vec![]), values)?,
        ),
    ] {
        prop_assert_eq!(found.len(), expected.len(), "{}", name);
        for (found, expected) in found.into_iter().zip(expected) {
            let close = (f64::from(found) - expected).abs() <= 1e-5 * expected.abs().max(1.);
            prop_assert!(close, "{}: {} is not {}", name, found, expected);
        }
    }
    Ok(())
}

#[test]
fn token_streams_equal_sequences() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    // A tied model has a projection after the stack if its output is not as wide as the embedding.
    for (kind, tied) in Kind::STREAMED.into_iter().flat_map(|kind| [(kind, false), (kind, true)]) {
        // Enough units for several workers.
        let rnn = kind.config(StackOptions { num_layers: 2, ..StackOptions::new(6, 200) });
        let config = RnnlmConfig { tied, ..RnnlmConfig::new(37, rnn) };
        let model = ModelConfig::Rnnlm(config).build(vb.pp(format!("{kind:?}.{tied}"))).unwrap();
        model.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
        let tokens = [3u32, 36, 0, 7, 7];
        let inputs = Tensor::new(&tokens, &Device::Cpu).unwrap().unsqueeze(0).unwrap();
        let (hidden, state) = model.encode(&(&inputs).into(), None, None).unwrap();
        let expected = model.outputs(&hidden).unwrap().squeeze(0).unwrap().to_vec2::<f32>().unwrap();
        let mut stream = model.stream().unwrap().expect("a language model on the processor has a stream");
        for (token, expected) in tokens.iter().zip(expected) {
            let scores = stream.read(*token).unwrap();
            assert_eq!(scores.len(), 37);
            assert!(scores.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5));
        }
        let after = values(&stream.state().unwrap().h).unwrap();
        assert!(after.iter().zip(values(&state.h).unwrap()).all(|(a, b)| (a - b).abs() < 1e-5));
        assert!(stream.read(37).unwrap_err().to_string().contains("token 37 is beyond the vocabulary of 37"));
    }
}

#[test]
fn batched_streams_equal_single_streams_to_the_bit() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    for kind in Kind::STREAMED {
        // Sizes that are no multiples of a vector or a tile.
        let rnn = kind.config(StackOptions { num_layers: 2, zoneout: 0.1, ..StackOptions::new(6, 75) });
        let config = RnnlmConfig { tied: (kind as usize).is_multiple_of(2), ..RnnlmConfig::new(37, rnn) };
        let model = ModelConfig::Rnnlm(config).build(vb.pp(format!("{kind:?}"))).unwrap();
        model.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
        for isa in Isa::available() {
            isa.scope(|| {
                let mut rng = stream(2, Purpose::Sampling, kind as u64);
                // The tokens of each text so far.
                let mut texts: Vec<Vec<u32>> = vec![vec![]; 23];
                let mut together = model.stream().unwrap().unwrap();
                together.set_state(&model.zero_state(texts.len()).unwrap()).unwrap();
                for round in 0..4 {
                    let tokens: Vec<u32> = texts.iter().map(|_| rng.random_range(0..37)).collect();
                    together.read_all(&tokens).unwrap();
                    let state = together.state().unwrap();
                    for (row, (text, &token)) in texts.iter_mut().zip(&tokens).enumerate() {
                        text.push(token);
                        let mut single_stream = model.stream().unwrap().unwrap();
                        text.iter().for_each(|&token| single_stream.read_all(&[token]).unwrap());
                        let expected = (single_stream.scores(0).unwrap(), together.scores(row).unwrap());
                        assert_eq!(expected.0, expected.1, "{kind:?}, {}, row {row}", isa.name());
                        let (single, state) = (single_stream.state().unwrap(), state.select(&[row]).unwrap());
                        assert_eq!(values(&single.h).unwrap(), values(&state.h).unwrap());
                        assert_eq!(
                            single.c.map(|c| values(&c).unwrap()),
                            state.c.map(|c| values(&c).unwrap())
                        );
                    }
                    // Some texts end and some occur twice. One round replaces the batch through a state.
                    let rows: Vec<usize> =
                        (0..23 - 7 * round).map(|_| rng.random_range(0..texts.len())).collect();
                    texts = rows.iter().map(|&row| texts[row].clone()).collect();
                    match round {
                        1 => together.set_state(&state.select(&rows).unwrap()).unwrap(),
                        _ => together.select(&rows).unwrap(),
                    }
                }
                assert!(together.read_all(&[1, 2, 3]).is_err() && together.scores(2).is_err());
                assert!(together.select(&[2]).is_err());
            });
        }
    }
}

#[test]
fn projection_and_decoder_stay_separate_products() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let config =
        RnnlmConfig { tied: true, ..RnnlmConfig::new(9, Kind::Relu.config(StackOptions::new(2, 3))) };
    let model = ModelConfig::Rnnlm(config).build(vb).unwrap();
    let vars = map.data().lock().unwrap().clone();
    let set = |name: &str, values: &[f32]| {
        let var = &vars[name];
        var.set(&Tensor::new(values, &Device::Cpu).unwrap().reshape(var.dims()).unwrap()).unwrap();
    };
    vars.keys().for_each(|name| set(name, &vec![0.; vars[name].elem_count()]));
    // The two products one after the other are exact. The square of this number, in a merged matrix, is not.
    let above_one = 1. + f32::EPSILON;
    set("rnn.bias_ih_l0", &[1., 1., 0.]);
    set("projection.weight", &[above_one, -1., 0., 0., 0., 0.]);
    set("encoder.weight", &[above_one; 18]);
    let inputs = Tensor::new(&[[3u32]], &Device::Cpu).unwrap();
    let decoded = model.outputs(&model.encode(&(&inputs).into(), None, None).unwrap().0).unwrap();
    assert_eq!(decoded.flatten_all().unwrap().to_vec1::<f32>().unwrap(), [f32::EPSILON * above_one; 9]);
    assert_eq!(model.stream().unwrap().unwrap().read(3).unwrap(), [f32::EPSILON * above_one; 9]);
}

#[test]
fn invalid_states_are_refused_and_change_nothing() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let layer = Kind::Lstm.config(StackOptions::new(2, 4)).build(vb.clone()).unwrap();
    layer.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
    let mut stream = layer.stream(&[]).unwrap().unwrap();
    stream.step(&[0.5, -0.5]).unwrap();
    let before = values(&stream.state().unwrap().h).unwrap();
    let [none, one, two] = [0, 1, 2].map(|batch| layer.zero_state(batch).unwrap());
    for (h, c) in [(&none, &none), (&one, &two), (&two, &one)] {
        let problem = stream.set_state(&State { h: h.h.clone(), c: c.c.clone() }).unwrap_err().to_string();
        assert!(problem.contains("a batch of at least 1"), "{problem}");
        assert_eq!(values(&stream.state().unwrap().h).unwrap(), before);
    }
    let zeros = |width: usize| Tensor::zeros((1, 1, width), DType::F32, &Device::Cpu).unwrap();
    for (h, c, expected) in [
        (4, None, "the state has no cell state; the stream's layers have one"),
        (3, Some(4), "the hidden states of the layers are [3] wide; those of the stream are [4]"),
        (4, Some(5), "the cell states of the layers are [5] wide; those of the stream are [4]"),
    ] {
        let problem = stream.set_state(&State { h: zeros(h), c: c.map(zeros) }).unwrap_err().to_string();
        assert!(problem.starts_with(expected), "{problem}");
        assert_eq!(values(&stream.state().unwrap().h).unwrap(), before);
    }
    let gru = Kind::GruAfter.config(StackOptions::new(2, 4)).build(vb.pp("gru")).unwrap();
    let mut of_gru = gru.stream(&[]).unwrap().unwrap();
    let problem = of_gru.set_state(&State { h: zeros(4), c: Some(zeros(4)) }).unwrap_err().to_string();
    assert!(problem.starts_with("the state has a cell state; the stream's layers have none"), "{problem}");
    let linear = Linear::new(Tensor::zeros((3, 5), DType::F32, &Device::Cpu).unwrap(), None);
    let problem = layer.stream(&[linear]).map(drop).unwrap_err().to_string();
    assert!(problem.contains("a linear layer of 5 features cannot read the 4 of a stream"), "{problem}");
}

#[test]
fn decoders_without_outputs_are_refused() {
    let vb = VarBuilder::zeros(DType::F32, &Device::Cpu);
    let layer = Kind::Lstm.config(StackOptions::new(2, 4)).build(vb).unwrap();
    let linear = |outputs: usize, inputs: usize| {
        Linear::new(Tensor::zeros((outputs, inputs), DType::F32, &Device::Cpu).unwrap(), None)
    };
    for decoder in [vec![linear(0, 4)], vec![linear(3, 4), linear(0, 3)], vec![linear(0, 4), linear(3, 0)]] {
        let problem = layer.stream(&decoder).map(drop).unwrap_err().to_string();
        assert!(problem.contains("has no outputs; expected at least 1"), "{problem}");
    }
}

/// Return the same matrix in column-major order. Of a vector, repeat the first element.
fn strided(tensor: &Tensor) -> Result<Tensor> {
    match tensor.rank() {
        2 => tensor.t()?.contiguous()?.t(),
        _ => tensor.narrow(0, 0, 1)?.broadcast_as(tensor.shape()),
    }
}

/// Repeat the first row of a matrix, or the first element of a vector.
fn broadcast(tensor: &Tensor) -> Result<Tensor> {
    tensor.narrow(0, 0, 1)?.broadcast_as(tensor.shape())
}

#[test]
fn strided_weights_equal_contiguous_weights() -> Result<()> {
    let (input, hidden, outputs) = (3, 21, 5);
    for (kind, view) in
        Kind::STREAMED.into_iter().flat_map(|kind| [strided, broadcast].map(|view| (kind, view)))
    {
        let config = kind.config(StackOptions { num_layers: 2, ..StackOptions::new(input, hidden) });
        let map = VarMap::new();
        let width =
            config.build(VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu))?.zero_state(1)?.h.dims()[2];
        let mut rng = stream(kind as u64, Purpose::Parameters, 0);
        let views: HashMap<String, Tensor> = map
            .data()
            .lock()
            .unwrap()
            .iter()
            .map(|(name, var)| Ok((name.clone(), view(&random(var.dims(), DType::F32, &mut rng)?)?)))
            .collect::<Result<_>>()?;
        let decoder = view(&random(&[outputs, width], DType::F32, &mut rng)?)?;
        let bias = view(&random(&[outputs], DType::F32, &mut rng)?)?;
        let xs = random(&[1, 4, input], DType::F32, &mut rng)?;
        let run = |weights: HashMap<String, Tensor>, decoder: &Tensor, bias: &Tensor| {
            let layer = config.build(VarBuilder::from_tensors(weights, DType::F32, &Device::Cpu))?;
            let mut stream = layer.stream(&[Linear::new(decoder.clone(), Some(bias.clone()))])?.unwrap();
            let mut read = vec![];
            for x in xs.squeeze(0)?.to_vec2::<f32>()? {
                read.extend_from_slice(stream.step(&x)?);
            }
            Result::Ok((values(&layer.run(&xs, None, None)?.ys)?, read))
        };
        assert!(!decoder.is_contiguous() && views.values().all(|view| !view.is_contiguous()));
        let contiguous =
            views.iter().map(|(name, view)| Ok((name.clone(), view.contiguous()?))).collect::<Result<_>>()?;
        let expected = run(contiguous, &decoder.contiguous()?, &bias.contiguous()?)?;
        assert_eq!(run(views, &decoder, &bias)?, expected, "{kind:?}");
    }
    Ok(())
}
