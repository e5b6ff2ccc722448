//! What must hold of every recurrent layer, whatever its cell, sizes and options: checked on random
//! layers in f64, so that 1e-12 means the same sums in another order.

use std::collections::BTreeMap;

use candle_core::{D, DType, Device, Result, Tensor, Var};
use candle_nn::{VarBuilder, VarMap};
use proptest::prelude::*;
use proptest::test_runner::TestCaseError;
use rand::RngExt;
use rnn_zoo::models::{
    GruOptions, LstmOptions, Merge, Noise, Nonlinearity, Output, Recurrent, RecurrentConfig, Reset,
    SimpleRnnOptions, StackOptions, State,
};
use rnn_zoo::rng::{Purpose, Rng, stream};

const MERGES: [Merge; 4] = [Merge::Concat, Merge::Sum, Merge::Mul, Merge::Ave];

type Check = std::result::Result<(), TestCaseError>;

/// A layer and a batch for it.
#[derive(Clone, Debug)]
struct Case {
    config: RecurrentConfig,
    time: usize,
    /// Steps of each sequence; as many as the batch has rows.
    lengths: Vec<usize>,
    seed: u64,
}

/// Any cell with options of its own.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tanh,
    Relu,
    Lstm,
    Projection,
    GruAfter,
    GruBefore,
}

impl Kind {
    const ALL: [Self; 6] =
        [Self::Tanh, Self::Relu, Self::Lstm, Self::Projection, Self::GruAfter, Self::GruBefore];

    fn config(self, shared: StackOptions) -> RecurrentConfig {
        let simple = |nonlinearity| SimpleRnnOptions { nonlinearity };
        match self {
            Self::Tanh => RecurrentConfig::SimpleRnn(shared.with_cell(simple(Nonlinearity::Tanh))),
            Self::Relu => RecurrentConfig::SimpleRnn(shared.with_cell(simple(Nonlinearity::Relu))),
            Self::Lstm => RecurrentConfig::Lstm(shared.with_cell(LstmOptions::default())),
            Self::Projection => {
                let projection = Some(shared.hidden_size.div_ceil(2));
                RecurrentConfig::Lstm(shared.with_cell(LstmOptions { projection, ..Default::default() }))
            }
            Self::GruAfter => RecurrentConfig::Gru(
                shared.with_cell(GruOptions { reset: Reset::After, ..Default::default() }),
            ),
            Self::GruBefore => {
                // It cannot normalise a product that it resets before.
                let shared = StackOptions { layer_norm: false, ..shared };
                RecurrentConfig::Gru(
                    shared.with_cell(GruOptions { reset: Reset::Before, ..Default::default() }),
                )
            }
        }
    }
}

fn any_config() -> impl Strategy<Value = RecurrentConfig> {
    let sizes = (1..=7usize, 1..=7usize, 1..=2usize);
    let merge = prop::option::of(prop::sample::select(MERGES.to_vec()));
    let options = (any::<bool>(), any::<bool>(), prop::sample::select(vec![0., 0.3]));
    (prop::sample::select(Kind::ALL.to_vec()), sizes, merge, options).prop_map(
        |(kind, (input, hidden, num_layers), bidirectional, (bias, layer_norm, zoneout))| {
            let shared = StackOptions::new(input, hidden);
            kind.config(StackOptions { num_layers, bidirectional, bias, layer_norm, zoneout, ..shared })
        },
    )
}

fn any_case() -> impl Strategy<Value = Case> {
    let batch = (0..=6usize).prop_flat_map(|time| (Just(time), prop::collection::vec(0..=time, 1..=4)));
    (any_config(), batch, any::<u64>()).prop_map(|(config, (time, lengths), seed)| Case {
        config,
        time,
        lengths,
        seed,
    })
}

/// The same case with other options that all cells have.
fn with_shared(config: &RecurrentConfig, change: impl FnOnce(&mut StackOptions)) -> RecurrentConfig {
    let mut config = config.clone();
    change(config.stack_mut());
    config
}

/// A layer with its parameters, which lie within ±0.8 at random.
struct Layer {
    layer: Box<dyn Recurrent>,
    parameters: BTreeMap<String, Var>,
}

impl Layer {
    fn new(config: &RecurrentConfig, rng: &mut Rng) -> Result<Self> {
        let map = VarMap::new();
        let layer = config.build(&VarBuilder::from_varmap(&map, DType::F64, &Device::Cpu))?;
        let mut parameters = BTreeMap::new();
        for (name, var) in map.data().lock().expect("invariant: nothing panics here").iter() {
            parameters.insert(name.clone(), var.clone());
        }
        for var in parameters.values() {
            var.set(&random(var.dims(), rng)?)?;
        }
        Ok(Self { layer, parameters })
    }

    /// Another layer with the parameters of this one, each under the name that `rename` gives it.
    fn same(&self, config: &RecurrentConfig, rename: impl Fn(&str) -> String) -> Result<Self> {
        let other = Self::new(config, &mut stream(0, Purpose::Parameters, 0))?;
        for (name, var) in &self.parameters {
            other.parameters[&rename(name)].set(var.as_tensor())?;
        }
        Ok(other)
    }

    fn random_state(&self, batch: usize, rng: &mut Rng) -> Result<State> {
        let zeros = self.layer.zero_state(batch)?;
        let c = zeros.c.map(|c| random(c.dims(), rng)).transpose()?;
        Ok(State { h: random(zeros.h.dims(), rng)?, c })
    }
}

/// A case with everything drawn.
struct Drawn {
    layer: Layer,
    /// (batch, time, input).
    xs: Tensor,
    state: State,
    rng: Rng,
}

impl Case {
    fn draw(&self) -> Result<Drawn> {
        let mut rng = stream(self.seed, Purpose::Parameters, 0);
        let layer = Layer::new(&self.config, &mut rng)?;
        let xs = random(&[self.lengths.len(), self.time, layer.layer.input_size()], &mut rng)?;
        let state = layer.random_state(self.lengths.len(), &mut rng)?;
        Ok(Drawn { layer, xs, state, rng })
    }
}

impl Drawn {
    fn forward(&self, lengths: Option<&[usize]>) -> Result<Output> {
        self.layer.layer.forward(&self.xs, Some(&self.state), lengths)
    }
}

/// Numbers uniform in ±0.8.
fn random(dims: &[usize], rng: &mut Rng) -> Result<Tensor> {
    let count = dims.iter().product();
    let values: Vec<f64> = (0..count).map(|_| 1.6 * rng.random::<f64>() - 0.8).collect();
    Tensor::from_vec(values, dims, &Device::Cpu)
}

fn values(tensor: &Tensor) -> Result<Vec<f64>> {
    tensor.flatten_all()?.to_vec1()
}

fn bits(tensor: &Tensor) -> Result<Vec<u64>> {
    Ok(values(tensor)?.into_iter().map(f64::to_bits).collect())
}

/// ys, h and, for an LSTM, c.
fn tensors(output: &Output) -> Vec<(&'static str, Tensor)> {
    let named = [("ys", Some(&output.ys)), ("h", Some(&output.state.h)), ("c", output.state.c.as_ref())];
    named.into_iter().filter_map(|(name, tensor)| Some((name, tensor?.clone()))).collect()
}

fn check_close(what: &str, found: &Tensor, expected: &Tensor) -> Check {
    prop_assert_eq!(found.dims(), expected.dims(), "the shape of {}", what);
    for (found, expected) in values(found)?.into_iter().zip(values(expected)?) {
        let allowed = 1e-12 * expected.abs().max(1.);
        prop_assert!((found - expected).abs() <= allowed, "{}: {} is not {}", what, found, expected);
    }
    Ok(())
}

fn check_same(found: &Output, expected: &Output) -> Check {
    for ((name, found), (_, expected)) in tensors(found).into_iter().zip(tensors(expected)) {
        prop_assert_eq!(bits(&found)?, bits(&expected)?, "{}", name);
    }
    Ok(())
}

fn check_state(what: &str, found: &State, expected: &State) -> Check {
    check_close(&format!("{what}, h"), &found.h, &expected.h)?;
    match (&found.c, &expected.c) {
        (Some(found), Some(expected)) => check_close(&format!("{what}, c"), found, expected),
        (None, None) => Ok(()),
        _ => Err(TestCaseError::fail("one state has a c and the other has none")),
    }
}

/// The same rows of every tensor of a state, in that order.
fn rows_of(state: &State, rows: &Tensor) -> Result<State> {
    let c = state.c.as_ref().map(|c| c.index_select(rows, 1)).transpose()?;
    Ok(State { h: state.h.index_select(rows, 1)?, c })
}

/// `xs` with `junk(..)` past each sequence's length.
fn pad_with(xs: &Tensor, lengths: &[usize], mut junk: impl FnMut() -> f64) -> Result<Tensor> {
    let (_, time, features) = xs.dims3()?;
    let padding = |at: usize| at / features % time >= lengths[at / features / time];
    let padded = values(xs)?.into_iter().enumerate();
    let padded: Vec<f64> = padded.map(|(at, x)| if padding(at) { junk() } else { x }).collect();
    Tensor::from_vec(padded, xs.dims(), &Device::Cpu)
}

/// Each sequence with its own steps in reverse order, and its padding where it was.
fn reversed(xs: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let (_, time, _) = xs.dims3()?;
    let mut rows = vec![];
    for (row, &length) in lengths.iter().enumerate() {
        let order = (0..time as u32).map(|t| if t < length as u32 { length as u32 - 1 - t } else { t });
        rows.push(xs.get(row)?.index_select(&Tensor::from_iter(order, &Device::Cpu)?, 0)?);
    }
    Tensor::stack(&rows, 0)
}

/// The other direction's name for a parameter.
fn swap_direction(name: &str) -> String {
    name.strip_suffix("_reverse").map_or(format!("{name}_reverse"), String::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_lies_in_the_padding_reaches_no_result_and_no_gradient(case in any_case()) {
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
            let output = layer.layer.forward(&xs, Some(&initial), Some(&case.lengths))?;
            let mut loss = Tensor::zeros((), DType::F64, &Device::Cpu)?;
            let mut weights = loss_weights.clone();
            for (_, tensor) in tensors(&output) {
                loss = (loss + (&tensor * random(tensor.dims(), &mut weights)?)?.sum_all()?)?;
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
        // Nothing comes out of the padding either.
        let zeros = pad_with(&clean.ys, &case.lengths, || 0.)?;
        prop_assert_eq!(values(&clean.ys)?, values(&zeros)?);
    }

    #[test]
    fn a_padded_batch_is_its_sequences_run_alone(case in any_case()) {
        let drawn = case.draw()?;
        let together = drawn.forward(Some(&case.lengths))?;
        for (row, &length) in case.lengths.iter().enumerate() {
            let only = Tensor::new(&[row as u32], &Device::Cpu)?;
            let xs = drawn.xs.narrow(0, row, 1)?.narrow(1, 0, length)?;
            let alone = drawn.layer.layer.forward(&xs, Some(&rows_of(&drawn.state, &only)?), None)?;
            let ys = together.ys.narrow(0, row, 1)?.narrow(1, 0, length)?;
            check_close("ys", &ys, &alone.ys)?;
            check_state("state", &rows_of(&together.state, &only)?, &alone.state)?;
            check_close("last", &together.last()?.narrow(0, row, 1)?, &alone.last()?)?;
        }
    }

    #[test]
    fn full_lengths_are_no_lengths(case in any_case()) {
        let drawn = case.draw()?;
        let lengths = vec![case.time; case.lengths.len()];
        check_same(&drawn.forward(Some(&lengths))?, &drawn.forward(None)?)?;
    }

    #[test]
    fn a_sequence_in_two_calls_is_the_sequence_in_one(case in any_case(), part in 0.0..=1.0f64) {
        let config = with_shared(&case.config, |shared| shared.bidirectional = None);
        let drawn = Case { config, ..case.clone() }.draw()?;
        let whole = drawn.forward(Some(&case.lengths))?;
        let cut = (part * case.time as f64) as usize;
        let first: Vec<usize> = case.lengths.iter().map(|&length| length.min(cut)).collect();
        let rest: Vec<usize> = case.lengths.iter().map(|&length| length.saturating_sub(cut)).collect();
        let layer = &drawn.layer.layer;
        let begun = layer.forward(&drawn.xs.narrow(1, 0, cut)?, Some(&drawn.state), Some(&first))?;
        let xs = drawn.xs.narrow(1, cut, case.time - cut)?;
        let ended = layer.forward(&xs, Some(&begun.state), Some(&rest))?;
        check_close("ys", &Tensor::cat(&[&begun.ys, &ended.ys], 1)?, &whole.ys)?;
        check_state("state", &ended.state, &whole.state)?;
    }

    #[test]
    fn steps_are_the_sequence(case in any_case()) {
        let config = with_shared(&case.config, |shared| shared.bidirectional = None);
        let drawn = Case { config, ..case.clone() }.draw()?;
        let whole = drawn.forward(None)?;
        let mut state = drawn.state.clone();
        for t in 0..case.time {
            let (y, next) = drawn.layer.layer.step(&drawn.xs.narrow(1, t, 1)?.squeeze(1)?, &state)?;
            check_close("y", &y, &whole.ys.narrow(1, t, 1)?.squeeze(1)?)?;
            state = next;
        }
        check_state("state", &state, &whole.state)?;
    }

    #[test]
    fn rows_of_a_batch_do_not_know_their_place(case in any_case(), shuffle: u64) {
        let drawn = case.draw()?;
        let mut order: Vec<u32> = (0..case.lengths.len() as u32).collect();
        order.sort_by_key(|&row| stream(shuffle, Purpose::Shuffle, row.into()).random::<u64>());
        let lengths: Vec<usize> = order.iter().map(|&row| case.lengths[row as usize]).collect();
        let order = Tensor::new(&order[..], &Device::Cpu)?;
        let straight = drawn.forward(Some(&case.lengths))?;
        let state = rows_of(&drawn.state, &order)?;
        let permuted = drawn.layer.layer.forward(&drawn.xs.index_select(&order, 0)?, Some(&state), Some(&lengths))?;
        check_close("ys", &permuted.ys, &straight.ys.index_select(&order, 0)?)?;
        check_state("state", &permuted.state, &rows_of(&straight.state, &order)?)?;
        check_close("last", &permuted.last()?, &straight.last()?.index_select(&order, 0)?)?;
    }

    #[test]
    fn the_last_output_is_the_end_of_one_direction_and_the_beginning_of_the_other(case in any_case()) {
        prop_assume!(case.lengths.iter().all(|&length| length > 0));
        let merge = case.config.stack().bidirectional.map(|_| Merge::Concat);
        let config = with_shared(&case.config, |shared| shared.bidirectional = merge);
        let output = Case { config, ..case.clone() }.draw()?.forward(Some(&case.lengths))?;
        for (row, &length) in case.lengths.iter().enumerate() {
            let at = |t: usize| output.ys.get(row)?.get(t);
            let expected = match merge {
                None => at(length - 1)?,
                Some(_) => {
                    let hidden = output.ys.dim(D::Minus1)? / 2;
                    let [end, start] = [at(length - 1)?.narrow(0, 0, hidden)?, at(0)?.narrow(0, hidden, hidden)?];
                    Tensor::cat(&[end, start], 0)?
                }
            };
            check_close("last", &output.last()?.get(row)?, &expected)?;
        }
    }

    #[test]
    fn directions_merge_as_their_name_says(case in any_case(), merge in prop::sample::select(MERGES[1..].to_vec())) {
        let both = |merge| with_shared(&case.config, |shared| {
            shared.num_layers = 1;
            shared.bidirectional = Some(merge);
        });
        let apart = Case { config: both(Merge::Concat), ..case.clone() }.draw()?;
        let merged = apart.layer.same(&both(merge), str::to_string)?;
        let merged = merged.layer.forward(&apart.xs, Some(&apart.state), Some(&case.lengths))?;
        let apart = apart.forward(Some(&case.lengths))?;
        let by_hand = |sides: &Tensor| -> Result<Tensor> {
            let hidden = sides.dim(D::Minus1)? / 2;
            let [a, b] = [sides.narrow(D::Minus1, 0, hidden)?, sides.narrow(D::Minus1, hidden, hidden)?];
            match merge {
                Merge::Mul => a * b,
                Merge::Sum => a + b,
                _ => (a + b)? * 0.5,
            }
        };
        check_close("ys", &merged.ys, &by_hand(&apart.ys)?)?;
        check_close("last", &merged.last()?, &by_hand(&apart.last()?)?)?;
        check_state("state", &merged.state, &apart.state)?;
    }

    #[test]
    fn reversing_the_input_swaps_the_directions(case in any_case()) {
        let merge = case.config.stack().bidirectional.unwrap_or(Merge::Concat);
        let config = with_shared(&case.config, |shared| {
            shared.bidirectional = Some(merge);
            if merge == Merge::Concat {
                shared.num_layers = 1; // a second layer's weights would have to swap halves too
            }
        });
        let drawn = Case { config: config.clone(), ..case.clone() }.draw()?;
        let swapped = drawn.layer.same(&config, swap_direction)?;
        let others: Vec<u32> = (0..drawn.state.h.dims()[0] as u32).map(|index| index ^ 1).collect();
        let others = Tensor::new(&others[..], &Device::Cpu)?;
        let swap = |state: &State| -> Result<State> {
            let c = state.c.as_ref().map(|c| c.index_select(&others, 0)).transpose()?;
            Ok(State { h: state.h.index_select(&others, 0)?, c })
        };
        let straight = drawn.forward(Some(&case.lengths))?;
        let xs = reversed(&drawn.xs, &case.lengths)?;
        let back = swapped.layer.forward(&xs, Some(&swap(&drawn.state)?), Some(&case.lengths))?;
        let mut ys = reversed(&back.ys, &case.lengths)?;
        if merge == Merge::Concat {
            let hidden = ys.dim(2)? / 2;
            ys = Tensor::cat(&[ys.narrow(2, hidden, hidden)?, ys.narrow(2, 0, hidden)?], 2)?;
        }
        check_close("ys", &ys, &straight.ys)?;
        check_state("state", &swap(&back.state)?, &straight.state)?;
    }

    #[test]
    fn one_seed_gives_the_same_noise_to_the_bit(case in any_case(), seed: u64) {
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
            drawn.layer.layer.forward_t(&drawn.xs, Some(&drawn.state), Some(&case.lengths), noise)
        };
        let seeded = || Some(stream(seed, Purpose::Noise, 0));
        check_same(&run(seeded())?, &run(seeded())?)?;
        check_same(&run(None)?, &run(None)?)?;
    }

    #[test]
    fn noise_without_dropout_changes_nothing(case in any_case(), seed: u64) {
        let config = with_shared(&case.config, |shared| shared.zoneout = 0.);
        let drawn = Case { config, ..case.clone() }.draw()?;
        let mut rng = stream(seed, Purpose::Noise, 0);
        let noisy =
            drawn.layer.layer.forward_t(&drawn.xs, Some(&drawn.state), Some(&case.lengths), Some(&mut rng))?;
        check_same(&noisy, &drawn.forward(Some(&case.lengths))?)?;
        prop_assert_eq!(rng, stream(seed, Purpose::Noise, 0), "nothing was drawn");
    }
}

/// A change that turns one kind of noise on.
type Turn = fn(&mut StackOptions);

#[test]
fn every_kind_of_noise_acts_in_training_and_differs_by_seed() -> Result<()> {
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
                let output = layer.forward_t(&drawn.xs, None, Some(&case.lengths), Some(&mut rng))?;
                values(&output.ys)
            };
            let quiet = values(&drawn.layer.layer.forward(&drawn.xs, None, Some(&case.lengths))?.ys)?;
            let [one, two] = [noisy(1)?, noisy(2)?];
            assert!(one != quiet && one != two, "{kind:?}: {name} does nothing in training");
        }
    }
    Ok(())
}

/// A relu layer that does nothing but keep its state: no input, no bias, and the identity between steps.
/// After `time` steps of noise, what is left of a state of ones.
fn worn_down(units: usize, time: usize, turn: Turn) -> Result<Vec<f64>> {
    let mut shared = StackOptions::new(1, units);
    turn(&mut shared);
    let layer = Layer::new(&Kind::Relu.config(shared), &mut stream(0, Purpose::Parameters, 0))?;
    for (name, var) in &layer.parameters {
        var.set(&match name.as_str() {
            "weight_hh_l0" => Tensor::eye(units, DType::F64, &Device::Cpu)?,
            _ => var.zeros_like()?,
        })?;
    }
    let ones = State { h: Tensor::ones((1, 1, units), DType::F64, &Device::Cpu)?, c: None };
    let xs = Tensor::zeros((1, time, 1), DType::F64, &Device::Cpu)?;
    let mut rng = stream(1, Purpose::Noise, 0);
    values(&layer.layer.forward_t(&xs, Some(&ones), None, Some(&mut rng))?.state.h)
}

#[test]
fn recurrent_dropout_and_weight_drop_draw_one_mask_for_all_steps() -> Result<()> {
    let kinds: [Turn; 2] = [|shared| shared.recurrent_dropout = 0.5, |shared| shared.weight_drop = 0.5];
    for turn in kinds {
        let left = worn_down(400, 6, turn)?;
        // Kept at every step and doubled, or dropped at every step; a mask a step would keep 1 in 64.
        assert!(left.iter().all(|&unit| unit == 64. || unit == 0.));
        let kept = left.iter().filter(|&&unit| unit == 64.).count();
        assert!((160..240).contains(&kept), "{kept} of 400 units are kept");
    }
    Ok(())
}

#[test]
fn zoneout_keeps_its_share_of_units_in_training_and_mixes_them_in_evaluation() -> Result<()> {
    let config = Kind::Lstm.config(StackOptions { zoneout: 0.3, ..StackOptions::new(2, 500) });
    let drawn = Case { config, time: 1, lengths: vec![1], seed: 4 }.draw()?;
    let plain_config = Kind::Lstm.config(StackOptions::new(2, 500));
    let plain = drawn.layer.same(&plain_config, str::to_string)?;
    let new = plain.layer.forward(&drawn.xs, Some(&drawn.state), None)?.state;
    let (Some(old_c), Some(new_c)) = (&drawn.state.c, &new.c) else { panic!("an LSTM has a c") };
    let pairs = [(&drawn.state.h, &new.h), (old_c, new_c)];

    let mut rng = stream(1, Purpose::Noise, 0);
    let trained = drawn.layer.layer.forward_t(&drawn.xs, Some(&drawn.state), None, Some(&mut rng))?.state;
    let evaluated = drawn.forward(None)?.state;
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
