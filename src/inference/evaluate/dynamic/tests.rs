use candle_core::Var;
use rand::RngExt;
use rnn_zoo_models::State;

use super::super::evaluate;
use super::super::fixture::{START, VOCABULARY, assert_close, language_model, step, text, tokens};
use super::*;
use crate::data::example::{Example, Input, Target};
use crate::rng::{Purpose, stream};
use crate::tasks::figures::ACCURACY;
use crate::tasks::{Lm, Names, Task};

/// Parameters as numbers, in name order.
type Numbers = Vec<Vec<f64>>;

fn numbers(tensor: &Tensor) -> Vec<f64> {
    tensor.flatten_all().unwrap().to_vec1().unwrap()
}

fn get(parameters: &Parameters) -> Numbers {
    parameters.iter().map(|(_, var)| numbers(var)).collect()
}

fn set(parameters: &Parameters, all: &Numbers) {
    for ((_, var), values) in parameters.iter().zip(all) {
        var.set(&Tensor::from_slice(values, var.shape(), &Device::Cpu).unwrap()).unwrap();
    }
}

/// Root mean squares of several magnitudes, including zero.
fn statistics(parameters: &Parameters) -> Statistics {
    let mut rng = stream(9, Purpose::Parameters, 0);
    let mut rms = parameters.to_tensors().unwrap();
    for tensor in rms.values_mut() {
        let draw = |at: usize| if at == 0 { 0. } else { rng.random::<f64>().powi(4) };
        let values: Vec<f64> = (0..tensor.elem_count()).map(draw).collect();
        *tensor = Tensor::from_vec(values, tensor.shape(), &Device::Cpu).unwrap();
    }
    Statistics { rms }
}

/// Losses of `ids`, one token at a time, and the state after them.
fn segment(
    network: &dyn Network,
    mut before: u32,
    ids: &[u32],
    mut state: Option<State>,
) -> (Vec<f64>, Option<State>) {
    let mut losses = vec![];
    for &id in ids {
        let (_, shares, next) = step(network, before, state.as_ref());
        losses.push(-shares[id as usize].ln());
        (before, state) = (id, Some(next));
    }
    (losses, state)
}

/// The loss of every token, with gradients by central differences and the rule written out.
fn by_hand(
    dynamic: Dynamic,
    network: &dyn Network,
    parameters: &Parameters,
    statistics: Option<&Statistics>,
    ids: &[u32],
) -> Vec<f64> {
    const H: f64 = 1e-5;
    let trained = get(parameters);
    let rms: Option<Numbers> = statistics.map(|found| found.rms.values().map(numbers).collect());
    let mean = |rms: &Numbers| {
        let means = rms.iter().map(|rms| rms.iter().sum::<f64>() / rms.len() as f64);
        means.sum::<f64>() / rms.len() as f64
    };
    let (mut before, mut state) = (START, None);
    let mut losses = vec![];
    for ids in ids.chunks(dynamic.segment) {
        let (found, after) = segment(network, before, ids, state.clone());
        losses.extend(found);
        let present = get(parameters);
        let mut moved = present.clone();
        for tensor in 0..present.len() {
            for at in 0..present[tensor].len() {
                let loss = |change: f64| {
                    let mut other = present.clone();
                    other[tensor][at] += change;
                    set(parameters, &other);
                    let (losses, _) = segment(network, before, ids, state.clone());
                    losses.iter().sum::<f64>() / ids.len() as f64
                };
                let gradient = (loss(H) - loss(-H)) / (2. * H);
                let (divisor, weight) = match &rms {
                    None => (1., 1.),
                    Some(rms) => (rms[tensor][at] + 2e-5, rms[tensor][at] / mean(rms)),
                };
                let pull = (dynamic.decay * weight).min(1.);
                moved[tensor][at] +=
                    pull * (trained[tensor][at] - present[tensor][at]) - dynamic.lr * gradient / divisor;
            }
        }
        set(parameters, &moved);
        (before, state) = (ids[ids.len() - 1], after);
    }
    set(parameters, &trained);
    losses
}

fn losses(
    dynamic: Dynamic,
    (network, parameters): (&dyn Network, &Parameters),
    statistics: Option<&Statistics>,
    ids: &[u32],
) -> Vec<f64> {
    let trained = parameters.to_tensors().unwrap();
    let update = Update::new(&dynamic, statistics, &trained).unwrap();
    let mut losses = vec![];
    let mut found = |some: &[f64]| losses.extend_from_slice(some);
    dynamic.read(network, parameters, &update, &text(ids), &Device::Cpu, &mut found).unwrap();
    parameters.set_all(&trained).unwrap();
    losses
}

#[test]
fn steps_match_the_rule_with_central_differences() {
    let (network, parameters) = language_model();
    let ids = tokens(&mut stream(1, Purpose::Train, 0), 11);
    let own = statistics(&parameters);
    // With statistics, decays that restore some elements completely.
    for (dynamic, statistics) in [
        (Dynamic { lr: 0.3, decay: 0.2, segment: 3 }, None),
        (Dynamic { lr: 0.002, decay: 0.5, segment: 4 }, Some(&own)),
    ] {
        let expected = by_hand(dynamic, network.as_ref(), &parameters, statistics, &ids);
        let found = losses(dynamic, (network.as_ref(), &parameters), statistics, &ids);
        assert_eq!(found.len(), ids.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!((found - expected).abs() < 1e-6, "{dynamic:?}: {found} is not {expected}");
        }
        let (plain, _) = segment(network.as_ref(), START, &ids, None);
        assert!((found[10] - plain[10]).abs() > 1e-3, "{dynamic:?} has learned nothing");
        let data = text(&ids);
        let scores =
            dynamic.evaluate(network.as_ref(), &parameters, statistics, &data, &Device::Cpu).unwrap();
        assert_close(scores.loss, found.iter().sum::<f64>() / found.len() as f64);
        assert_eq!((scores.tokens, scores.figures.get(ACCURACY)), (ids.len(), None));
    }
}

#[test]
fn zero_learning_rate_gives_the_plain_loss() {
    let (network, parameters) = language_model();
    let data = text(&tokens(&mut stream(2, Purpose::Train, 0), 600));
    let plain = evaluate(network.as_ref(), &data, 1, Lm.meter(Names::default()), &Device::Cpu).unwrap();
    for (segment, decay) in [(1, 0.), (5, 0.3), (256, 0.), (1000, 0.)] {
        let dynamic = Dynamic { lr: 0., decay, segment };
        let scores = dynamic.evaluate(network.as_ref(), &parameters, None, &data, &Device::Cpu).unwrap();
        assert_close(scores.loss, plain.loss);
    }
}

#[test]
fn losses_do_not_depend_on_later_tokens() {
    let (network, parameters) = language_model();
    let model = (network.as_ref(), &parameters);
    let ids = tokens(&mut stream(3, Purpose::Train, 0), 23);
    let dynamic = Dynamic { lr: 0.2, decay: 0.1, segment: 4 };
    let before = losses(dynamic, model, None, &ids);
    for place in [0, 3, 4, 13, 21] {
        let mut other = ids.clone();
        other[place] = (other[place] + 1) % VOCABULARY as u32;
        let after = losses(dynamic, model, None, &other);
        assert_eq!(after[..place], before[..place], "token {place}");
        assert_ne!(after[place], before[place]);
        assert_ne!(after[place + 1..], before[place + 1..]);
    }
}

#[test]
fn parameters_are_restored_on_success_and_error() {
    let (network, parameters) = language_model();
    let trained = get(&parameters);
    let data = text(&tokens(&mut stream(4, Purpose::Train, 0), 30));
    let run = |lr| {
        let dynamic = Dynamic { lr, decay: 0., segment: 5 };
        dynamic.evaluate(network.as_ref(), &parameters, None, &data, &Device::Cpu)
    };
    run(0.5).unwrap();
    assert_eq!(get(&parameters), trained);
    let problem = run(1e300).unwrap_err().to_string();
    assert!(
        problem.contains("diverged after 5 tokens") && problem.contains("option `dynamic.lr = "),
        "{problem}"
    );
    assert_eq!(get(&parameters), trained);
}

#[test]
fn in_place_step_matches_tensor_ops() {
    let (_, parameters) = language_model();
    let mut rng = stream(6, Purpose::Parameters, 0);
    // Several pieces, the last one short.
    let mut tensor = |dtype| {
        let values: Vec<f64> = (0..2 * PIECE + 75).map(|_| rng.random::<f64>() - 0.5).collect();
        Tensor::from_vec(values, (7, (2 * PIECE + 75) / 7), &Device::Cpu).unwrap().to_dtype(dtype).unwrap()
    };
    for dtype in [DType::F32, DType::F64] {
        let [present, gradient, home, rms] = std::array::from_fn(|_| tensor(dtype));
        let own = Statistics { rms: NamedTensors::from([("w".to_string(), rms.abs().unwrap())]) };
        let trained = NamedTensors::from([("w".to_string(), home)]);
        for own in [None, Some(&own)] {
            let dynamic = Dynamic { lr: 0.03, decay: 0.2, segment: 1 };
            let update = Update::new(&dynamic, own, &trained).unwrap();
            let expected = update.moved(&present, &gradient, &update.fixed["w"]).unwrap();
            let parameters = Parameters::from_iter([(
                "w".to_string(),
                Var::from_tensor(&present.copy().unwrap()).unwrap(),
            )]);
            let gradients = NamedTensors::from([("w".to_string(), gradient.clone())]).into();
            update.step(&parameters, &gradients).unwrap();
            let wide = |tensor: &Tensor| numbers(&tensor.to_dtype(DType::F64).unwrap());
            let found = wide(parameters.get("w").unwrap());
            let start = wide(&present);
            assert!(found.iter().zip(&start).all(|(found, start)| found != start), "some have not moved");
            for (found, expected) in found.iter().zip(wide(&expected)) {
                let close = (found - expected).abs() < 1e-5 * expected.abs().max(1.);
                assert!(close, "{dtype:?}: {found} is not {expected}");
            }
        }
    }
    // A parameter without a gradient decays too.
    let update =
        Update::new(&Dynamic { lr: 1., decay: 0.5, segment: 1 }, None, &parameters.to_tensors().unwrap())
            .unwrap();
    let before = get(&parameters);
    set(&parameters, &before.iter().map(|values| values.iter().map(|x| x + 2.).collect()).collect());
    update.step(&parameters, &Gradients::default()).unwrap();
    for (found, before) in get(&parameters).iter().flatten().zip(before.iter().flatten()) {
        assert_close(*found, before + 1.);
    }
}

#[test]
fn statistics_are_rms_gradients_over_all_rows() {
    const H: f64 = 1e-5;
    let (network, parameters) = language_model();
    // 100 rows of four tokens, in two segments.
    let ids = tokens(&mut stream(5, Purpose::Train, 0), 4 * ROWS_PER_GRADIENT);
    let found = Statistics::collect(network.as_ref(), &parameters, &text(&ids), 2, &Device::Cpu).unwrap();
    let trained = get(&parameters);
    let row_losses = |part: usize, states: &[Option<State>]| {
        let (mut sum, mut after) = (0., vec![]);
        for (row, state) in states.iter().enumerate() {
            let from = 4 * row + 2 * part;
            let before = if from == 0 { START } else { ids[from - 1] };
            let (losses, state) = segment(network.as_ref(), before, &ids[from..from + 2], state.clone());
            sum += losses.iter().sum::<f64>();
            after.push(state);
        }
        (sum / (2 * ROWS_PER_GRADIENT) as f64, after)
    };
    let fresh = vec![None; ROWS_PER_GRADIENT];
    let later = row_losses(0, &fresh).1;
    for (tensor, (name, rms)) in found.rms.iter().enumerate() {
        let at = trained[tensor].len() / 2;
        let mut squares = 0.;
        for (part, states) in [&fresh, &later].into_iter().enumerate() {
            let loss = |change: f64| {
                let mut other = trained.clone();
                other[tensor][at] += change;
                set(&parameters, &other);
                row_losses(part, states).0
            };
            squares += ((loss(H) - loss(-H)) / (2. * H)).powi(2);
        }
        let (found, expected) = (numbers(rms)[at], (squares / 2.).sqrt());
        assert!((found - expected).abs() < 1e-7, "{name}: {found} is not {expected}");
    }
}

#[test]
fn invalid_settings_and_data_name_the_field() {
    let (network, parameters) = language_model();
    let refused = |dynamic: Dynamic, statistics: Option<&Statistics>, data: &Dataset| {
        let scores = dynamic.evaluate(network.as_ref(), &parameters, statistics, data, &Device::Cpu);
        scores.unwrap_err().to_string()
    };
    let good = Dynamic::suited(5, false);
    for (dynamic, field) in [
        (Dynamic { lr: -1., ..good }, "dynamic.lr:"),
        (Dynamic { lr: f64::NAN, ..good }, "dynamic.lr:"),
        (Dynamic { decay: 1., ..good }, "dynamic.decay:"),
        (Dynamic { decay: -0.1, ..good }, "dynamic.decay:"),
        (Dynamic { segment: 0, ..good }, "dynamic.segment:"),
    ] {
        assert!(refused(dynamic, None, &text(&[1, 2])).starts_with(field), "{dynamic:?}");
    }
    let mut other = statistics(&parameters);
    other.rms.remove("decoder.bias");
    assert!(refused(good, Some(&other), &text(&[1, 2])).contains("another model's statistics"));
    let example = Example { input: Input::Tokens(vec![1]), target: Target::Class(0) };
    assert!(refused(good, None, &vec![example].into()).contains("only a language model"));
}
