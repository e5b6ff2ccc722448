//! Fused layers.

use candle_core::{DType, Device, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use rnn_zoo::models::kernels::Isa;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{StackOptions, State, backward};
use rnn_zoo::rng::{Purpose, stream};

use super::case::{any_case, check_close, large};
use crate::random_layer::{Kind, Layer, random, values};

#[test]
fn nan_propagates() {
    for kind in Kind::ALL {
        let map = VarMap::new();
        let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
        let layer = kind.config(StackOptions::new(3, 4)).build(vb).unwrap();
        let xs = Tensor::full(f32::NAN, (2, 2, 3), &Device::Cpu).unwrap();
        let ys = layer.run(&xs, None, None).unwrap().ys.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert!(ys.iter().all(|y| y.is_nan()), "{kind:?}: {ys:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn fused_layers_equal_the_reference(case in any_case()) {
        for (dtype, tolerance) in [(DType::F64, 1e-11), (DType::F32, 2e-5)] {
            let expected = without_fused(|| case.run(dtype))?;
            for isa in Isa::available() {
                let found = isa.scope(|| case.run(dtype))?;
                check_close(&format!("{} in {dtype:?}", isa.name()), &found, &expected, tolerance)?;
            }
        }
    }
}

#[test]
fn blocked_products_equal_the_reference() {
    for kind in [Kind::Lstm, Kind::GruAfter] {
        let case = large(kind, "parts");
        let expected = without_fused(|| case.run(DType::F64)).unwrap();
        for isa in Isa::available() {
            let found = isa.scope(|| case.run(DType::F64)).unwrap();
            check_close(isa.name(), &found, &expected, 1e-11).unwrap_or_else(|error| panic!("{error}"));
        }
    }
}

#[test]
fn backward_can_run_twice() {
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu);
    let config = Kind::Lstm.config(StackOptions::new(3, 4));
    let layer = config.build(vb).unwrap();
    layer.reset_parameters(&mut stream(1, Purpose::Parameters, 0)).unwrap();
    let xs = random(&[2, 5, 3], DType::F64, &mut stream(2, Purpose::Parameters, 0)).unwrap();
    let output = layer.run(&xs, None, None).unwrap();
    let loss =
        (output.ys.sum_all().unwrap() + output.last().unwrap().sqr().unwrap().sum_all().unwrap()).unwrap();
    let gradients = |_| {
        let found = backward(&loss).unwrap();
        map.all_vars()
            .iter()
            .map(|var| values(&found.get(var).unwrap().unwrap()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(gradients(1), gradients(2));
    // Candle's own backward pass has the same results.
    let store = loss.backward().unwrap();
    let of_store: Vec<_> =
        map.all_vars().iter().map(|var| values(store.get(var).unwrap()).unwrap()).collect();
    assert_eq!(of_store, gradients(3));
}

#[test]
fn zoneout_selects_between_finite_and_infinite_states() {
    let hidden = 20;
    let map = VarMap::new();
    let vb = VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    let layer =
        Kind::Relu.config(StackOptions { zoneout: 0.5, ..StackOptions::new(1, hidden) }).build(vb).unwrap();
    for (name, var) in map.data().lock().unwrap().iter() {
        let value = if name == "weight_ih_l0" { f32::MAX } else { 0. };
        var.set(&Tensor::full(value, var.dims(), &Device::Cpu).unwrap()).unwrap();
    }
    let xs = Tensor::full(2f32, (3, 1, 1), &Device::Cpu).unwrap(); // the new state is infinite
    let run = || {
        let h = Var::ones((1, 3, hidden), DType::F32, &Device::Cpu).unwrap();
        let state = State { h: h.as_tensor().clone(), c: None };
        let mut noise = stream(1, Purpose::Noise, 0);
        let output = layer.run_t(&xs, Some(&state), None, Some(&mut noise)).unwrap();
        let gradients = backward(&output.ys.sum_all().unwrap()).unwrap();
        (values(&output.ys).unwrap(), values(&gradients.get(&h).unwrap().unwrap()).unwrap())
    };
    let (ys, d_h) = without_fused(run);
    for kept in [1., f64::INFINITY] {
        assert!(ys.iter().filter(|&&y| y == kept).count() > hidden, "{ys:?}");
    }
    for isa in Isa::available() {
        assert_eq!(isa.scope(run), (ys.clone(), d_h.clone()), "{}", isa.name());
    }
}

#[test]
fn an_infinite_input_leaves_other_gradients_finite() {
    // Hidden sizes that are no whole vectors: the padding of the weights is zero, and zero times infinity is NaN.
    for (kind, hidden) in [Kind::Tanh, Kind::Lstm, Kind::Projection, Kind::GruAfter, Kind::GruBefore]
        .into_iter()
        .flat_map(|kind| [5, 20].map(|hidden| (kind, hidden)))
    {
        let mut rng = stream(9, Purpose::Parameters, 0);
        let config = kind.config(StackOptions::new(1, hidden));
        let Layer { layer, parameters } = Layer::new(&config, DType::F32, &Device::Cpu, &mut rng).unwrap();
        let mut xs = vec![0.5f32; 2 * 4];
        xs[1] = f32::INFINITY;
        let xs = Var::from_vec(xs, (2, 4, 1), &Device::Cpu).unwrap();
        let zeros = layer.zero_state(2).unwrap();
        let h = Var::from_tensor(&zeros.h).unwrap();
        let state = State { h: h.as_tensor().clone(), c: zeros.c };
        let run = || {
            let output = layer.run(&xs, Some(&state), None).unwrap();
            let gradients = backward(&output.ys.sqr().unwrap().sum_all().unwrap()).unwrap();
            let mut found = vec![("ys".to_string(), values(&output.ys).unwrap())];
            let inputs = [("xs".to_string(), &xs), ("h0".to_string(), &h)];
            for (name, var) in parameters.iter().map(|(name, var)| (name.clone(), var)).chain(inputs) {
                found.push((name, values(&gradients.get(var).unwrap().unwrap()).unwrap()));
            }
            found
        };
        let expected = without_fused(run);
        for isa in Isa::available() {
            for ((name, found), (_, expected)) in isa.scope(run).iter().zip(&expected) {
                let what = format!("{name} of {kind:?} of {hidden} units with {}", isa.name());
                // The gradient of a weight of the input is a multiple of the infinite input.
                assert!(name.starts_with("weight_ih") || expected.iter().all(|x| x.is_finite()), "{what}");
                for (found, expected) in found.iter().zip(expected) {
                    let close = (found - expected).abs() <= 1e-4 * expected.abs().max(1.);
                    assert!(
                        close || !found.is_finite() && !expected.is_finite(),
                        "{what}: {found} {expected}"
                    );
                }
            }
        }
    }
}
