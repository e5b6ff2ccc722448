use candle_core::{DType, Device, Var};
use candle_nn::VarMap;

use super::*;
use crate::{Merge, SimpleRnn};

const INPUT: usize = 3;
const HIDDEN: usize = 5;
const BATCH: usize = 2;
const TIME: usize = 4;

/// Biases that are not zero.
const BIAS: Option<Init> = Some(Init::Uniform { lo: -0.5, up: 0.5 });

fn random(dims: &[usize]) -> Tensor {
    Tensor::rand(-1f32, 1., dims, &Device::Cpu).unwrap()
}

fn assert_close(name: &str, found: &Tensor, expected: &Tensor) {
    assert_eq!(found.dims(), expected.dims(), "{name}");
    let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    for (found, expected) in values(found).into_iter().zip(values(expected)) {
        assert!((found - expected).abs() <= 1e-6, "{name} has {found}; expected {expected}");
    }
}

/// Check every method of `found` against `expected`. `tensors` are those of a state.
fn assert_equal<S>(
    found: &impl RNN<State = S>,
    expected: &impl RNN<State = S>,
    initial: &S,
    tensors: impl Fn(&S) -> Vec<Tensor>,
) {
    let close = |name: &str, found: &S, expected: &S| {
        let (found, expected) = (tensors(found), tensors(expected));
        assert_eq!(found.len(), expected.len(), "{name}");
        found.iter().zip(&expected).for_each(|(found, expected)| assert_close(name, found, expected));
    };
    let (xs, x) = (random(&[BATCH, TIME, INPUT]), random(&[BATCH, INPUT]));
    close("zero_state", &found.zero_state(BATCH).unwrap(), &expected.zero_state(BATCH).unwrap());
    close("step", &found.step(&x, initial).unwrap(), &expected.step(&x, initial).unwrap());
    for (name, found_states, expected_states) in [
        ("seq", found.seq(&xs).unwrap(), expected.seq(&xs).unwrap()),
        ("seq_init", found.seq_init(&xs, initial).unwrap(), expected.seq_init(&xs, initial).unwrap()),
    ] {
        assert_eq!((found_states.len(), expected_states.len()), (TIME, TIME), "{name}");
        found_states.iter().zip(&expected_states).for_each(|(found, expected)| close(name, found, expected));
        let joined = found.states_to_tensor(&found_states).unwrap();
        assert_close("states_to_tensor", &joined, &expected.states_to_tensor(&expected_states).unwrap());
    }
}

#[test]
fn gradients_equal_those_of_the_layer() {
    let parameters = VarMap::new();
    let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
    let layer = lstm(INPUT, HIDDEN, LSTMConfig::default(), vb).unwrap();
    let xs = Var::from_tensor(&random(&[BATCH, TIME, INPUT])).unwrap();
    let gradient = |ys: Tensor| ys.sqr().unwrap().sum_all().unwrap().backward().unwrap().remove(&xs).unwrap();
    let states = layer.seq(&xs).unwrap();
    let found = gradient(layer.states_to_tensor(&states).unwrap());
    assert_close("gradient", &found, &gradient(Recurrent::run(&layer, &xs, None, None).unwrap().ys));
}

#[test]
fn lstm_equals_candles_own() {
    let biased = LSTMConfig { b_ih_init: BIAS, b_hh_init: BIAS, ..LSTMConfig::default() };
    for config in [biased, LSTMConfig::default_no_bias()] {
        let parameters = VarMap::new();
        let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
        let expected = candle_nn::lstm(INPUT, HIDDEN, config, vb.clone()).unwrap();
        let found = lstm(INPUT, HIDDEN, config, vb).unwrap();
        let initial = LSTMState::new(random(&[BATCH, HIDDEN]), random(&[BATCH, HIDDEN]));
        assert_equal(&found, &expected, &initial, |state| vec![state.h.clone(), state.c.clone()]);
    }
}

#[test]
fn gru_equals_candles_own() {
    let biased = GRUConfig { b_ih_init: BIAS, b_hh_init: BIAS, ..GRUConfig::default() };
    for config in [biased, GRUConfig::default_no_bias()] {
        let parameters = VarMap::new();
        let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
        let expected = candle_nn::gru(INPUT, HIDDEN, config, vb.clone()).unwrap();
        let found = gru(INPUT, HIDDEN, config, vb).unwrap();
        let initial = GRUState { h: random(&[BATCH, HIDDEN]) };
        assert_equal(&found, &expected, &initial, |state| vec![state.h.clone()]);
    }
}

/// Check `seq_init`, `step` and `states_to_tensor` against [`Recurrent::run`].
fn assert_equals_forward<C: Cell, S: Clone>(
    stack: &Stack<C>,
    candle_state: impl Fn(State) -> S,
    state: impl Fn(&S) -> State,
) where
    Stack<C>: RNN<State = S>,
{
    let mut initial = zeros(stack, BATCH).unwrap();
    initial.h = random(initial.h.dims());
    initial.c = initial.c.map(|c| random(c.dims()));
    let xs = random(&[BATCH, TIME, INPUT]);
    let expected =
        Recurrent::run(stack, &xs, Some(&State::stack(&[initial.clone()]).unwrap()), None).unwrap();
    let initial = candle_state(initial);
    let states = stack.seq_init(&xs, &initial).unwrap();
    let mut stepped = initial;
    for (t, found) in states.iter().enumerate() {
        stepped = RNN::step(stack, &xs.narrow(1, t, 1).unwrap().squeeze(1).unwrap(), &stepped).unwrap();
        let y = expected.ys.narrow(1, t, 1).unwrap().squeeze(1).unwrap();
        assert_close("seq_init", &state(found).h, &y);
        assert_close("step", &state(&stepped).h, &y);
    }
    let last = expected.state.layer(0).unwrap();
    for found in [&states[TIME - 1], &stepped] {
        let State { h, c } = state(found);
        assert_close("h", &h, &last.h);
        assert_eq!(c.is_some(), last.c.is_some());
        c.iter().zip(&last.c).for_each(|(c, last)| assert_close("c", c, last));
    }
}

#[test]
fn states_are_those_of_forward() {
    for zoneout in [0., 0.3] {
        let parameters = VarMap::new();
        let vb = VarBuilder::from_varmap(&parameters, DType::F32, &Device::Cpu);
        let stack = || StackOptions { zoneout, ..StackOptions::new(INPUT, HIDDEN) };
        let rnn = SimpleRnn::new(&stack().into(), vb.pp("rnn")).unwrap();
        assert_equals_forward(&rnn, |state| state, State::clone);
        let lstm = Lstm::new(&stack().into(), vb.pp("lstm")).unwrap();
        let candle_state = |State { h, c }| LSTMState::new(h, c.unwrap());
        assert_equals_forward(&lstm, candle_state, |LSTMState { h, c }| State {
            h: h.clone(),
            c: Some(c.clone()),
        });
        let gru = Gru::new(&stack().into(), vb.pp("gru")).unwrap();
        assert_equals_forward(
            &gru,
            |State { h, .. }| GRUState { h },
            |GRUState { h }| State { h: h.clone(), c: None },
        );
    }
}

#[test]
fn states_of_a_simple_rnn_join_along_time() {
    let vb = VarBuilder::from_varmap(&VarMap::new(), DType::F32, &Device::Cpu);
    let rnn = SimpleRnn::new(&StackOptions::new(INPUT, HIDDEN).into(), vb).unwrap();
    let xs = random(&[BATCH, TIME, INPUT]);
    let states = rnn.seq(&xs).unwrap();
    let expected = Recurrent::run(&rnn, &xs, None, None).unwrap().ys; // (batch, time, hidden)
    assert_close("states_to_tensor", &rnn.states_to_tensor(&states).unwrap(), &expected);
}

#[test]
fn configurations_that_do_not_fit_are_refused() {
    let vb = || VarBuilder::zeros(DType::F32, &Device::Cpu);
    let problem = |config| lstm(INPUT, HIDDEN, config, vb()).unwrap_err().to_string();
    let default = LSTMConfig::default;
    let layer = problem(LSTMConfig { layer_idx: 1, ..default() });
    assert!(layer.contains("layer_idx is 1 and direction Forward; expected layer 0"), "{layer}");
    let backward = problem(LSTMConfig { direction: Direction::Backward, ..default() });
    assert!(backward.contains("direction Backward"), "{backward}");
    let bias = problem(LSTMConfig { b_hh_init: None, ..default() });
    assert!(bias.contains("expected both biases or none"), "{bias}");
    // Nothing is created before the configuration is checked.
    let map = VarMap::new();
    let created = || VarBuilder::from_varmap(&map, DType::F32, &Device::Cpu);
    for (input, hidden, problem) in [
        (4, 1_000_000_000, "hidden_size is 1000000000"),
        (0, 4, "input_size is 0"),
        (4, 0, "hidden_size is 0"),
    ] {
        let of_lstm = lstm(input, hidden, default(), created()).map(drop).unwrap_err().to_string();
        let of_gru = gru(input, hidden, GRUConfig::default(), created()).map(drop).unwrap_err().to_string();
        for error in [of_lstm, of_gru] {
            assert!(error.starts_with(problem), "{error}");
        }
    }
    assert!(lstm(INPUT, HIDDEN, LSTMConfig { b_hh_init: None, ..default() }, created()).is_err());
    assert!(gru(INPUT, HIDDEN, GRUConfig { b_ih_init: None, ..GRUConfig::default() }, created()).is_err());
    assert!(map.all_vars().is_empty());
    for stack in [
        StackOptions { num_layers: 2, ..StackOptions::new(INPUT, HIDDEN) },
        StackOptions { bidirectional: Some(Merge::Sum), ..StackOptions::new(INPUT, HIDDEN) },
    ] {
        let gru = Gru::new(&stack.into(), vb()).unwrap();
        let error = gru.seq(&random(&[BATCH, TIME, INPUT])).map(drop).unwrap_err().to_string();
        assert!(error.contains("one layer in one direction, not 2 of them"), "{error}");
    }
}
