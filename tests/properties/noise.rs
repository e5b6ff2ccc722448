//! Dropout, weight drop and zoneout.

use candle_core::{DType, Device, Result, Tensor};
use proptest::prelude::*;
use rnn_zoo::models::{Noise, StackOptions, State};
use rnn_zoo::rng::{Purpose, Rng, stream};

use super::case::{Case, any_case, check_same, new_layer, same_layer, with_shared};
use crate::random_layer::{Kind, values};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn noise_is_reproducible_to_the_bit(case in any_case(), seed: u64) {
        let config = with_shared(&case.config, |shared| {
            *shared = StackOptions {
                dropout: 0.4, locked_dropout: seed % 2 == 0, recurrent_dropout: 0.3, weight_drop: 0.2, zoneout: 0.3,
                ..shared.clone()
            };
        });
        let drawn = Case { config, ..case.clone() }.draw()?;
        let run = |rng: Option<Rng>| {
            let mut rng = rng;
            let noise: Noise<'_> = rng.as_mut().map(|rng| rng as &mut dyn rand::Rng);
            drawn.layer.layer.run_t(&drawn.xs, Some(&drawn.state), Some(&case.lengths), noise)
        };
        let seeded = || Some(stream(seed, Purpose::Noise, 0));
        check_same(&run(seeded())?, &run(seeded())?)?;
        check_same(&run(None)?, &run(None)?)?;
    }

    #[test]
    fn a_generator_without_dropout_changes_nothing(case in any_case(), seed: u64) {
        let config = with_shared(&case.config, |shared| shared.zoneout = 0.);
        let drawn = Case { config, ..case.clone() }.draw()?;
        let mut rng = stream(seed, Purpose::Noise, 0);
        let noisy =
            drawn.layer.layer.run_t(&drawn.xs, Some(&drawn.state), Some(&case.lengths), Some(&mut rng))?;
        check_same(&noisy, &drawn.run(Some(&case.lengths))?)?;
        prop_assert_eq!(rng, stream(seed, Purpose::Noise, 0), "nothing was drawn");
    }
}

/// A change of the options that enables one kind of noise.
type Turn = fn(&mut StackOptions);

#[test]
fn every_noise_acts_in_training_and_depends_on_the_seed() -> Result<()> {
    let kinds: [(&str, Turn); 5] = [
        ("dropout", |shared| shared.dropout = 0.5),
        ("locked dropout", |shared| (shared.dropout, shared.locked_dropout) = (0.5, true)),
        ("recurrent dropout", |shared| shared.recurrent_dropout = 0.5),
        ("weight drop", |shared| shared.weight_drop = 0.5),
        ("zoneout", |shared| shared.zoneout = 0.5),
    ];
    for kind in Kind::ALL {
        for (name, turn) in kinds {
            let mut shared = StackOptions { num_layers: 2, ..StackOptions::new(3, 16) };
            turn(&mut shared);
            let case = Case { config: kind.config(shared), time: 4, lengths: vec![4, 3], seed: 1 };
            let drawn = case.draw()?;
            let noisy = |seed| {
                let mut rng = stream(seed, Purpose::Noise, 0);
                let layer = &drawn.layer.layer;
                let output = layer.run_t(&drawn.xs, None, Some(&case.lengths), Some(&mut rng))?;
                values(&output.ys)
            };
            let quiet = values(&drawn.layer.layer.run(&drawn.xs, None, Some(&case.lengths))?.ys)?;
            let [one, two] = [noisy(1)?, noisy(2)?];
            assert!(
                one != quiet && one != two,
                "{kind:?}: {name} has no effect in training, or the same for two seeds"
            );
        }
    }
    Ok(())
}

/// Return the state after `time` steps with noise, from a state of ones. The layer is a relu of the identity, without
/// input and bias, which keeps its state if there is no noise.
fn state_after_noise(units: usize, time: usize, turn: Turn) -> Result<Vec<f64>> {
    let mut shared = StackOptions::new(1, units);
    turn(&mut shared);
    let layer = new_layer(&Kind::Relu.config(shared), &mut stream(0, Purpose::Parameters, 0))?;
    for (name, var) in &layer.parameters {
        var.set(&match name.as_str() {
            "weight_hh_l0" => Tensor::eye(units, DType::F64, &Device::Cpu)?,
            _ => var.zeros_like()?,
        })?;
    }
    let ones = State { h: Tensor::ones((1, 1, units), DType::F64, &Device::Cpu)?, c: None };
    let xs = Tensor::zeros((1, time, 1), DType::F64, &Device::Cpu)?;
    let mut rng = stream(1, Purpose::Noise, 0);
    values(&layer.layer.run_t(&xs, Some(&ones), None, Some(&mut rng))?.state.h)
}

#[test]
fn recurrent_dropout_and_weight_drop_draw_one_mask_per_sequence() -> Result<()> {
    let kinds: [Turn; 2] = [|shared| shared.recurrent_dropout = 0.5, |shared| shared.weight_drop = 0.5];
    for turn in kinds {
        let left = state_after_noise(400, 6, turn)?;
        // A unit is kept and doubled at every step, or dropped at every step. With one mask per step, 1 of 64 units
        // would be kept.
        assert!(left.iter().all(|&unit| unit == 64. || unit == 0.));
        let kept = left.iter().filter(|&&unit| unit == 64.).count();
        assert!((160..240).contains(&kept), "{kept} of 400 units are kept");
    }
    Ok(())
}

#[test]
fn zoneout_keeps_units_in_training_and_mixes_states_in_evaluation() -> Result<()> {
    let config = Kind::Lstm.config(StackOptions { zoneout: 0.3, ..StackOptions::new(2, 500) });
    let drawn = Case { config, time: 1, lengths: vec![1], seed: 4 }.draw()?;
    let plain_config = Kind::Lstm.config(StackOptions::new(2, 500));
    let plain = same_layer(&drawn.layer, &plain_config, str::to_string)?;
    let new = plain.layer.run(&drawn.xs, Some(&drawn.state), None)?.state;
    let (Some(old_c), Some(new_c)) = (&drawn.state.c, &new.c) else { panic!("an LSTM has a c") };
    let pairs = [(&drawn.state.h, &new.h), (old_c, new_c)];

    let mut rng = stream(1, Purpose::Noise, 0);
    let trained = drawn.layer.layer.run_t(&drawn.xs, Some(&drawn.state), None, Some(&mut rng))?.state;
    let evaluated = drawn.run(None)?.state;
    let of = |state: &State| [Some(state.h.clone()), state.c.clone()];
    for (((old, new), trained), evaluated) in pairs.into_iter().zip(of(&trained)).zip(of(&evaluated)) {
        let (Some(trained), Some(evaluated)) = (trained, evaluated) else { panic!("an LSTM has a c") };
        let mut kept = 0;
        let units = values(old)?.into_iter().zip(values(new)?);
        for ((old, new), (trained, evaluated)) in
            units.zip(values(&trained)?.into_iter().zip(values(&evaluated)?))
        {
            assert!(trained == old || trained == new, "{trained} is neither {old} nor {new}");
            kept += usize::from(trained == old);
            assert!((evaluated - (0.3 * old + 0.7 * new)).abs() < 1e-12);
        }
        assert!((115..185).contains(&kept), "{kept} of 500 units keep their state; expected 150");
    }
    Ok(())
}
