//! Products of operands in int8, for every instruction set that this machine has.
//!
//! The oracle is the reference in f64, whose products round their operands by the same rule and sum integers exactly.
//! Its pointwise part has more digits than that of the kernels, so now and then a state lies on the other side of a tie
//! and is rounded to the neighbouring integer. The unit tests of the kernels hold single products to the bit.

use std::collections::HashMap;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use rnn_zoo::models::kernels::{Isa, set_threads, threads};
use rnn_zoo::models::{Linear, Precision, Recurrent, RecurrentConfig, StackOptions, State, backward};
use rnn_zoo::rng::{Purpose, Rng, stream};

use super::case::{Case, Results, any_case, check_near, distance, large, oracle_of, root_mean_square};
use crate::random_layer::{Kind, random, values};

/// The distance between neighbouring integers, for a largest magnitude of 1.
pub(super) const INT8_SPACING: f64 = 1. / 127.;

/// Run `work` in int8 with an instruction set.
pub(super) fn in_int8<T>(isa: Isa, work: impl FnOnce() -> T) -> T {
    Precision::Int8.scope(|| isa.scope(work))
}

/// Run `work` with the oracle.
pub(super) fn oracle<T>(work: impl FnOnce() -> T) -> T {
    oracle_of(Precision::Int8, work)
}

fn bits(results: &Results) -> Vec<u64> {
    results.values().flatten().map(|x| x.to_bits()).collect()
}

/// Return the instruction set whose pointwise functions an instruction set has: some differ in their products alone.
fn functions(isa: Isa) -> &'static str {
    match isa.name() {
        "amx" | "avx512vnni" => "avx512",
        "avxvnni" => "avx2",
        name => name,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn layers_equal_the_oracle_and_each_other(case in any_case()) {
        let expected = oracle(|| case.outputs(DType::F64))?;
        let mut first: HashMap<&str, Results> = HashMap::new();
        for isa in Isa::available_for_int8() {
            let found = in_int8(isa, || case.outputs(DType::F32))?;
            check_near(isa.name(), &found, &expected, 4. * INT8_SPACING)?;
            let first = first.entry(functions(isa)).or_insert_with(|| found.clone());
            prop_assert_eq!(bits(&found), bits(first), "{}", isa.name());
        }
    }

    #[test]
    fn losses_equal_the_oracle(
        rows in 1..40usize, features in 1..40usize, classes in 1..300usize, scale in 0.1..5f64, seed: u64,
    ) {
        let run = |dtype| losses((rows, features, classes), scale, dtype, seed);
        let expected = oracle(|| run(DType::F64))?;
        for isa in Isa::available_for_int8() {
            let found = in_int8(isa, || run(DType::F32))?;
            for (found, expected) in found.iter().zip(&expected) {
                let close = (found - expected).abs() <= 1e-4 * expected.abs().max(1.);
                prop_assert!(close, "{} is not {} with {}", found, expected, isa.name());
            }
        }
    }
}

/// Compute the losses of a random linear layer, and the outputs of its first row.
fn losses(
    (rows, features, classes): (usize, usize, usize),
    scale: f64,
    dtype: DType,
    seed: u64,
) -> Result<Vec<f64>> {
    let mut rng = stream(seed, Purpose::Parameters, 0);
    // From f32 in any case: the oracle rounds the same numbers.
    let mut tensor = |dims: &[usize]| (random(dims, DType::F32, &mut rng)? * scale)?.to_dtype(dtype);
    let (xs, weight, bias) = (tensor(&[rows, features])?, tensor(&[classes, features])?, tensor(&[classes])?);
    let linear = Linear::new(weight, Some(bias));
    let targets: Vec<u32> = (0..rows).map(|row| (row * 7 % classes) as u32).collect();
    let targets = Tensor::new(targets, &Device::Cpu)?;
    let mut found = linear.losses(&xs, &targets)?;
    found.push(linear.cross_entropy_sum(&xs, &targets)?.loss);
    found.extend(values(&linear.forward(&xs)?.get(0)?)?);
    Ok(found)
}

/// Return a layer whose weights are constants, and the same with variables.
fn layers(config: &RecurrentConfig, rng: &mut Rng) -> [Box<dyn Recurrent>; 2] {
    let map = VarMap::new();
    let trained = config.build(VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu)).unwrap();
    trained.reset_parameters(rng).unwrap();
    let variables = map.data().lock().unwrap();
    let tensors = variables.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor()));
    let tensors: HashMap<String, Tensor> = tensors.collect();
    [config.build(VarBuilder::from_tensors(tensors, DType::F32, &Device::Cpu)).unwrap(), trained]
}

#[test]
fn products_of_several_blocks_equal_the_oracle() {
    for (kind, split) in [(Kind::Lstm, "parts"), (Kind::GruAfter, "units"), (Kind::GruBefore, "batch")] {
        let case = Case { noisy: false, ..large(kind, split) };
        let expected = oracle(|| case.outputs(DType::F64)).unwrap();
        for isa in Isa::available_for_int8() {
            let found = in_int8(isa, || case.outputs(DType::F32)).unwrap();
            check_near(isa.name(), &found, &expected, 2. * INT8_SPACING)
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn int8_is_near_f32_and_ends_with_its_scope() {
    for kind in Kind::ALL {
        let case = Case { noisy: false, ..large(kind, "batch") };
        let isa = Isa::available_for_int8()[0];
        let f32 = isa.scope(|| case.outputs(DType::F32)).unwrap();
        let int8 = in_int8(isa, || case.outputs(DType::F32)).unwrap();
        let error = distance(&f32["ys"], &int8["ys"]);
        let size = root_mean_square(f32["ys"].iter().copied());
        assert!(error > 1e-5 && error < 0.05 * size, "{kind:?}: {error} of {size}");
        assert_eq!(isa.scope(|| case.outputs(DType::F32)).unwrap(), f32);
    }
}

#[test]
fn threads_and_packing_change_no_bit() {
    for (kind, split) in [(Kind::Lstm, "units"), (Kind::Projection, "batch"), (Kind::GruBefore, "units")] {
        let case = large(kind, split);
        let mut rng = stream(5, Purpose::Parameters, 0);
        let [frozen, trained] = layers(&case.config, &mut rng);
        let xs = random(&[case.batch, case.time, frozen.input_size()], DType::F32, &mut rng).unwrap();
        for isa in Isa::available_for_int8() {
            let ys = |layer: &dyn Recurrent| {
                let output = in_int8(isa, || layer.run(&xs, None, case.lengths.as_deref())).unwrap();
                values(&output.ys).unwrap()
            };
            let expected = ys(frozen.as_ref());
            assert_eq!(ys(trained.as_ref()), expected, "{kind:?} with {}", isa.name());
            let all = threads();
            set_threads(1);
            let alone = ys(trained.as_ref());
            set_threads(all);
            assert_eq!(alone, expected, "{kind:?} with {}", isa.name());
        }
    }
}

#[test]
fn streams_equal_sequences_to_the_bit() {
    for kind in Kind::STREAMED {
        let config = kind.config(StackOptions { num_layers: 2, zoneout: 0.1, ..StackOptions::new(7, 75) });
        let mut rng = stream(3, Purpose::Parameters, 0);
        let [layer, _] = layers(&config, &mut rng);
        let xs = random(&[23, 6, 7], DType::F32, &mut rng).unwrap();
        for isa in Isa::available_for_int8() {
            in_int8(isa, || {
                let ys = layer.run(&xs, None, None).unwrap().ys;
                for rows in [1, 23] {
                    let mut stream = layer.stream(&[]).unwrap().expect("a stream");
                    stream.set_state(&layer.zero_state(rows).unwrap()).unwrap();
                    for t in 0..6 {
                        let x =
                            xs.narrow(0, 0, rows).unwrap().get_on_dim(1, t).unwrap().flatten_all().unwrap();
                        stream.step(&x.to_vec1::<f32>().unwrap()).unwrap();
                        for row in 0..rows {
                            let expected = ys.get(row).unwrap().get(t).unwrap().to_vec1::<f32>().unwrap();
                            let found = stream.output(row).unwrap();
                            assert_eq!(found, expected, "{kind:?} with {}, step {t}", isa.name());
                        }
                    }
                }
            });
        }
    }
}

#[test]
fn the_scores_of_a_stream_are_those_of_its_decoder() {
    let mut rng = stream(4, Purpose::Parameters, 0);
    let [layer, _] = layers(&Kind::Lstm.config(StackOptions::new(9, 70)), &mut rng);
    let mut tensor = |dims: &[usize]| random(dims, DType::F32, &mut rng).unwrap();
    let decoder = Linear::new(tensor(&[131, 70]), Some(tensor(&[131])));
    let x = tensor(&[1, 1, 9]);
    for isa in Isa::available_for_int8() {
        in_int8(isa, || {
            let h = layer.run(&x, None, None).unwrap().ys.squeeze(1).unwrap();
            let expected = values(&decoder.forward(&h).unwrap()).unwrap();
            let mut stream = layer.stream(std::slice::from_ref(&decoder)).unwrap().expect("a stream");
            let scores = stream.step(&x.flatten_all().unwrap().to_vec1::<f32>().unwrap()).unwrap();
            for (&found, expected) in scores.iter().zip(expected) {
                assert!((f64::from(found) - expected).abs() < 1e-5, "{found} {expected} with {}", isa.name());
            }
        });
    }
}

#[test]
fn states_beyond_one_keep_their_size() {
    for kind in Kind::ALL {
        let mut rng = stream(6, Purpose::Parameters, 0);
        let config = kind.config(StackOptions::new(3, 40));
        let [layer, _] = layers(&config, &mut rng);
        let zeros = layer.zero_state(2).unwrap();
        let state = State {
            h: (random(zeros.h.dims(), DType::F32, &mut rng).unwrap() * 9.).unwrap(),
            c: zeros.c.clone(),
        };
        let xs = random(&[2, 3, 3], DType::F32, &mut rng).unwrap();
        let run = || values(&layer.run(&xs, Some(&state), None).unwrap().ys).unwrap();
        let exact = run();
        for isa in Isa::available_for_int8() {
            let error = distance(&in_int8(isa, run), &exact);
            let size = root_mean_square(exact.iter().copied());
            assert!(error < 0.05 * size, "{kind:?} with {}: {error} of {size}", isa.name());
        }
    }
}

#[test]
fn nan_and_infinity_become_nan_in_their_own_sequence() {
    for kind in Kind::ALL {
        let mut rng = stream(7, Purpose::Parameters, 0);
        let [layer, _] = layers(&kind.config(StackOptions::new(3, 20)), &mut rng);
        for isa in Isa::available_for_int8() {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut xs = vec![0.5f32; 3 * 4 * 3];
                xs[(4 + 1) * 3 + 2] = bad; // sequence 1, step 1
                let xs = Tensor::from_vec(xs, (3, 4, 3), &Device::Cpu).unwrap();
                let ys = in_int8(isa, || layer.run(&xs, None, None)).unwrap().ys;
                for (row, from, is_nan) in [(0, 0, false), (1, 1, true), (2, 0, false)] {
                    let ys = values(&ys.get(row).unwrap().narrow(0, from, 4 - from).unwrap()).unwrap();
                    assert!(ys.iter().all(|y| y.is_nan() == is_nan), "{kind:?} of {bad} with {}", isa.name());
                }
            }
            let zeros = layer.zero_state(1).unwrap();
            let h = (zeros.h.ones_like().unwrap() * f64::NAN).unwrap();
            let xs = Tensor::zeros((1, 2, 3), DType::F32, &Device::Cpu).unwrap();
            let ys =
                in_int8(isa, || layer.run(&xs, Some(&State { h, c: zeros.c.clone() }), None)).unwrap().ys;
            assert!(values(&ys).unwrap().iter().all(|y| y.is_nan()), "{kind:?} with {}", isa.name());
        }
    }
}

#[test]
fn huge_and_tiny_inputs_keep_gates_within_their_bounds() {
    for kind in Kind::ALL {
        let mut rng = stream(8, Purpose::Parameters, 0);
        let [layer, _] = layers(&kind.config(StackOptions::new(3, 20)), &mut rng);
        for isa in Isa::available_for_int8() {
            for x in [1e30f32, f32::MAX, 1e-30, 1e-45, 0.] {
                let xs = Tensor::full(x, (2, 2, 3), &Device::Cpu).unwrap();
                let ys = values(&in_int8(isa, || layer.run(&xs, None, None)).unwrap().ys).unwrap();
                let is_bounded = ![Kind::Relu, Kind::Projection].contains(&kind);
                let fits = |y: &f64| y.is_nan() && x > 1e29 || !is_bounded || y.abs() <= 1.;
                assert!(ys.iter().all(fits), "{kind:?} of {x} with {}: {ys:?}", isa.name());
            }
        }
    }
}

#[test]
fn gradients_are_refused() {
    let mut rng = stream(9, Purpose::Parameters, 0);
    let [_, layer] = layers(&Kind::Lstm.config(StackOptions::new(3, 5)), &mut rng);
    let xs = random(&[2, 4, 3], DType::F32, &mut rng).unwrap();
    let problem = Precision::Int8.scope(|| {
        let ys = layer.run(&xs, None, None).unwrap().ys;
        backward(&ys.sum_all().unwrap()).map(|_| ()).unwrap_err().to_string()
    });
    assert!(problem.contains("int8 is a precision of inference and has no gradients"), "{problem}");
}
