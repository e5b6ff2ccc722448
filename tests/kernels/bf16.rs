//! Products of operands in bf16, for every instruction set that this machine has.
//!
//! The oracle is the reference in f64 whose products round their operands to bf16. Its pointwise part has more digits
//! than that of the kernels, so now and then a state or a gradient lies on the other side of a tie and is rounded to
//! the neighbour: single elements differ by up to the last place of a bf16, and the root mean square by far less.

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use rnn_zoo::models::kernels::Isa;
use rnn_zoo::models::{Nonlinearity, Precision, RecurrentConfig, SimpleRnnConfig, StackOptions};
use rnn_zoo::rng::{Purpose, stream};

use super::case::{Results, any_case, check_near, distance, large, oracle_of};
use super::loss::loss_of;
use crate::random_layer::{Kind, random, values};

/// The unit roundoff of bf16.
const ROUNDOFF: f64 = 1. / 256.;

/// Run `work` in bf16 with an instruction set.
fn in_bf16<T>(isa: Isa, work: impl FnOnce() -> T) -> T {
    Precision::Bf16.scope(|| isa.scope(work))
}

/// Run `work` with the oracle.
fn oracle<T>(work: impl FnOnce() -> T) -> T {
    oracle_of(Precision::Bf16, work)
}

/// Compute what [`loss_of`] does, but for the rows whose target has the highest score: of two scores that are equal
/// when rounded the kernels may count another as the highest.
fn losses(dtype: DType, sizes: (usize, usize, usize), scale: f64, seed: u64) -> Result<Results> {
    let mut results = loss_of(dtype, sizes, scale, 0.1, seed)?;
    results.remove("summed loss");
    Ok(results)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn layers_equal_the_oracle(case in any_case()) {
        // A sum near zero decides whether a ReLU has a slope at all.
        let is_relu = |config: &SimpleRnnConfig| config.cell.nonlinearity == Nonlinearity::Relu;
        prop_assume!(!matches!(&case.config, RecurrentConfig::SimpleRnn(config) if is_relu(config)));
        let expected = oracle(|| case.run(DType::F64))?;
        for isa in Isa::available_for_bf16() {
            let found = in_bf16(isa, || case.run(DType::F32))?;
            check_near(isa.name(), &found, &expected, 8. * ROUNDOFF)?;
        }
    }

    #[test]
    fn losses_equal_the_oracle(
        rows in 1..40usize, features in 1..40usize, classes in 1..300usize, scale in 0.1..5f64, seed: u64,
    ) {
        let run = |dtype| losses(dtype, (rows, features, classes), scale, seed);
        let expected = oracle(|| run(DType::F64))?;
        for isa in Isa::available_for_bf16() {
            check_near(isa.name(), &in_bf16(isa, || run(DType::F32))?, &expected, 4. * ROUNDOFF)?;
        }
    }
}

#[test]
fn products_of_several_blocks_equal_the_oracle() {
    for (kind, split) in [(Kind::Lstm, "parts"), (Kind::GruAfter, "units"), (Kind::GruBefore, "batch")] {
        let case = large(kind, split);
        let expected = oracle(|| case.run(DType::F64)).unwrap();
        for isa in Isa::available_for_bf16() {
            let found = in_bf16(isa, || case.run(DType::F32)).unwrap();
            check_near(isa.name(), &found, &expected, 2. * ROUNDOFF)
                .unwrap_or_else(|error| panic!("{error}"));
        }
    }
    let run = |dtype| losses(dtype, (403, 33, 5001), 1., 5);
    let expected = oracle(|| run(DType::F64)).unwrap();
    for isa in Isa::available_for_bf16() {
        let found = in_bf16(isa, || run(DType::F32)).unwrap();
        check_near(isa.name(), &found, &expected, 4. * ROUNDOFF).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn bf16_differs_from_f32_and_ends_with_its_scope() {
    let case = large(Kind::Lstm, "batch");
    for isa in Isa::available_for_bf16() {
        let f32 = isa.scope(|| case.run(DType::F32)).unwrap();
        let bf16 = in_bf16(isa, || case.run(DType::F32)).unwrap();
        let error = distance(&f32["ys"], &bf16["ys"]);
        assert!((1e-5..1e-2).contains(&error), "{error} with {}", isa.name());
        assert_eq!(isa.scope(|| case.run(DType::F32)).unwrap(), f32, "{}", isa.name());
    }
}

#[test]
fn nan_propagates_and_infinities_saturate() {
    for kind in Kind::ALL {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let layer = kind.config(StackOptions::new(3, 20)).build(vb).unwrap();
        for isa in Isa::available_for_bf16() {
            let ys = |x: f32| {
                let xs = Tensor::full(x, (2, 2, 3), &Device::Cpu).unwrap();
                values(&in_bf16(isa, || layer.run(&xs, None, None)).unwrap().ys).unwrap()
            };
            assert!(ys(f32::NAN).iter().all(|y| y.is_nan()), "{kind:?} with {}", isa.name());
            // The largest f32 is rounded to an infinite bf16; gates saturate, and only ReLU is unbounded.
            for x in [f32::MAX, f32::INFINITY, 1e30] {
                let is_bounded = ![Kind::Relu, Kind::Projection].contains(&kind);
                let bounded = |y: &f64| y.is_nan() || !is_bounded || y.abs() <= 1.;
                assert!(ys(x).iter().all(bounded), "{kind:?} of {x} with {}", isa.name());
            }
            assert!(ys(1e-38).iter().all(|y| y.is_finite()), "{kind:?} with {}", isa.name());
        }
    }
}

#[test]
fn streams_equal_sequences() {
    for kind in Kind::STREAMED {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let layer =
            kind.config(StackOptions { num_layers: 2, ..StackOptions::new(7, 75) }).build(vb).unwrap();
        let mut rng = stream(3, Purpose::Parameters, 0);
        layer.reset_parameters(&mut rng).unwrap();
        let xs = random(&[1, 6, 7], DType::F32, &mut rng).unwrap();
        for isa in Isa::available_for_bf16() {
            in_bf16(isa, || {
                let expected = values(&layer.run(&xs, None, None).unwrap().ys).unwrap();
                let mut stream = layer.stream(&[]).unwrap().expect("a stream");
                let mut found = vec![];
                for x in xs.squeeze(0).unwrap().to_vec2::<f32>().unwrap() {
                    found.extend(stream.step(&x).unwrap().iter().map(|&y| f64::from(y)));
                }
                let error = distance(&found, &expected);
                assert!(error < ROUNDOFF / 4., "{kind:?} with {}: {error}", isa.name());
            });
        }
    }
}
