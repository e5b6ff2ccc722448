//! Tests of the products against sums of rounded operands in f64.

use super::super::active_steps::ActiveSteps;
use super::super::memory::Buffer;
use super::super::product::{GradientOperand, Operand, SequenceLayout};
use super::super::project::{GateGradients, InputShape, LayerInput, project, project_backward};
use super::super::simd::{Isa, bf16_bits, from_bf16_bits};
use super::{RoundedF32, has_pairs};

/// Gates of the products.
const GATES: usize = 3;

fn rounded(x: f32) -> f64 {
    from_bf16_bits(bf16_bits(x)).into()
}

/// Numbers of mixed magnitude and sign, with exact zeros; the same for the same seed.
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1 << 24) as f32 - 0.5
    };
    (0..count)
        .map(|index| if index % 11 == 5 { 0. } else { next() * if index % 7 == 3 { 40. } else { 1. } })
        .collect()
}

/// Compute with the operands of an instruction set.
fn with_operands<T>(isa: Isa, pairs: impl FnOnce() -> T, plain: impl FnOnce() -> T) -> T {
    if has_pairs(isa) { pairs() } else { plain() }
}

/// The gates of `xs`, as a matrix (batch * time, gates * hidden) with the rows of each sequence side by side.
fn gates(isa: Isa, shape: InputShape, xs: &[f32], weight: &[f32], bias: &[f32]) -> Vec<f32> {
    fn run<O: Operand<Sum = f32>>(isa: Isa, shape: InputShape, data: [&[f32]; 3]) -> Buffer<f32> {
        let [xs, weight, bias] = data;
        let active = ActiveSteps::new(None, (shape.batch, shape.time));
        project::<O>(isa, &LayerInput { shape, active: &active, xs, weight, bias: Some(bias), packed: None })
    }
    let data = [xs, weight, bias];
    let gates =
        with_operands(isa, || run::<super::Bf16>(isa, shape, data), || run::<RoundedF32>(isa, shape, data));
    let InputShape { batch, time, hidden, .. } = shape;
    let lanes = isa.lanes::<f32>();
    let vectors = hidden.div_ceil(lanes);
    let layout = SequenceLayout { batch, time, vectors, width: GATES * lanes, by_row: false };
    let mut matrix = Vec::new();
    for (row, t) in (0..batch).flat_map(|row| (0..time).map(move |t| (row, t))) {
        for (gate, unit) in (0..GATES).flat_map(|gate| (0..hidden).map(move |unit| (gate, unit))) {
            let index = layout.at(t, unit / lanes, row) + gate * lanes + unit % lanes;
            // SAFETY: the projection has written all gates.
            matrix.push(unsafe { *gates.at(index) });
        }
    }
    matrix
}

/// Shapes around the sizes of tiles: rows of 16 and 32, a depth of 32, vectors of 16, blocks of the depth.
const SHAPES: [(usize, usize, usize, usize); 9] = [
    (1, 1, 1, 1),
    (2, 3, 5, 20),
    (7, 4, 33, 16),
    (20, 3, 65, 40),
    (33, 2, 128, 64),
    (1, 35, 31, 17),
    (50, 1, 800, 48),
    (3, 11, 64, 33),
    (16, 2, 97, 100),
];

#[test]
fn products_are_sums_of_rounded_operands() {
    for (batch, time, input, hidden) in SHAPES {
        let shape = InputShape { batch, time, input, hidden, gates: GATES };
        let rows = batch * time;
        let (xs, weight) = (values(rows * input, 1), values(GATES * hidden * input, 2));
        let bias = values(GATES * hidden, 3);
        for isa in Isa::available_for_bf16() {
            let found = gates(isa, shape, &xs, &weight, &bias);
            for (row, column) in
                (0..rows).flat_map(|row| (0..GATES * hidden).map(move |column| (row, column)))
            {
                let terms = xs[row * input..][..input].iter().zip(&weight[column * input..][..input]);
                let terms = terms.map(|(&x, &w)| rounded(x) * rounded(w));
                let (sum, size) =
                    terms.fold((0f64, 0f64), |(sum, size), term| (sum + term, size + term.abs()));
                let (sum, size) = (sum + f64::from(bias[column]), size + f64::from(bias[column].abs()));
                let error = (f64::from(found[row * GATES * hidden + column]) - sum).abs();
                // As many roundings of an f32 as there are terms, most of them smaller.
                assert!(error <= 2e-6 * size + 1e-30, "{shape:?} with {}: {error} of {size}", isa.name());
            }
        }
    }
}

/// The gradients of the input, of the weights and of the bias.
type Gradients = [Vec<f32>; 3];

/// Compute the gradients from those of the gates, (rows of a sequence side by side, gates * hidden).
fn gradients<O: GradientOperand<Sum = f32>>(
    isa: Isa,
    shape: InputShape,
    xs: &[f32],
    weight: &[f32],
    d_gates: &[f32],
) -> Gradients {
    let InputShape { batch, time, hidden, .. } = shape;
    let lanes = isa.lanes::<f32>();
    let vectors = hidden.div_ceil(lanes);
    let layout = SequenceLayout { batch, time, vectors, width: GATES * lanes, by_row: O::BY_ROW };
    let operands = Buffer::<O>::zeros(layout.len());
    for (row, t) in (0..batch).flat_map(|row| (0..time).map(move |t| (row, t))) {
        for (gate, unit) in (0..GATES).flat_map(|gate| (0..hidden).map(move |unit| (gate, unit))) {
            let index = layout.at(t, unit / lanes, row) + gate * lanes + unit % lanes;
            let value = d_gates[((row * time + t) * GATES + gate) * hidden + unit];
            // SAFETY: within the layout, of which this is the only reference.
            unsafe { *operands.at(index) = O::round(value) };
        }
    }
    let d_gates = GateGradients::new(operands, ActiveSteps::new(None, (batch, time)).into(), lanes);
    let found = project_backward::<O>(isa, shape, xs, weight, &d_gates, true);
    [found.xs.unwrap_or_default(), found.weight, found.bias]
}

#[test]
fn gradients_are_sums_of_rounded_operands() {
    for (batch, time, input, hidden) in SHAPES {
        let shape = InputShape { batch, time, input, hidden, gates: GATES };
        let (rows, columns) = (batch * time, GATES * hidden);
        let (xs, weight) = (values(rows * input, 1), values(columns * input, 2));
        let d_gates = values(rows * columns, 4);
        let sum = |terms: &mut dyn Iterator<Item = (f32, f32)>| {
            terms
                .map(|(a, b)| rounded(a) * rounded(b))
                .fold((0f64, 0f64), |(sum, size), term| (sum + term, size + term.abs()))
        };
        for isa in Isa::available_for_bf16() {
            let [d_xs, d_weight, d_bias] = with_operands(
                isa,
                || gradients::<super::Bf16>(isa, shape, &xs, &weight, &d_gates),
                || gradients::<RoundedF32>(isa, shape, &xs, &weight, &d_gates),
            );
            let check = |what: &str, found: f32, (sum, size): (f64, f64)| {
                let error = (f64::from(found) - sum).abs();
                assert!(error <= 2e-6 * size + 1e-30, "{what} of {shape:?} with {}: {error}", isa.name());
            };
            for (row, k) in (0..rows).flat_map(|row| (0..input).map(move |k| (row, k))) {
                let terms =
                    (0..columns).map(|column| (d_gates[row * columns + column], weight[column * input + k]));
                check("xs", d_xs[row * input + k], sum(&mut { terms }));
            }
            for column in 0..columns {
                for k in 0..input {
                    let terms = (0..rows).map(|row| (d_gates[row * columns + column], xs[row * input + k]));
                    check("weight", d_weight[column * input + k], sum(&mut { terms }));
                }
                let terms = (0..rows).map(|row| (d_gates[row * columns + column], 1.));
                check("bias", d_bias[column], sum(&mut { terms }));
            }
        }
    }
}

#[test]
fn nan_and_infinity_reach_their_own_row_and_column_alone() {
    let (batch, time, input, hidden) = (5, 3, 37, 21);
    let shape = InputShape { batch, time, input, hidden, gates: GATES };
    let columns = GATES * hidden;
    let bias = vec![0.; columns];
    for isa in Isa::available_for_bf16() {
        for (bad, in_weight) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX]
            .map(|bad| [(bad, false), (bad, true)])
            .concat()
        {
            let (mut xs, mut weight) = (vec![1.; batch * time * input], vec![1.; columns * input]);
            match in_weight {
                true => weight[17 * input + 36] = bad,
                false => xs[8 * input + 36] = bad,
            }
            let found = gates(isa, shape, &xs, &weight, &bias);
            for (index, &gate) in found.iter().enumerate() {
                let is_hit = if in_weight { index % columns == 17 } else { index / columns == 8 };
                let what = format!("{bad} in weight: {in_weight}, {} at {index}: {gate}", isa.name());
                match is_hit {
                    false => assert_eq!(gate, input as f32, "{what}"),
                    true if bad.is_nan() => assert!(gate.is_nan(), "{what}"),
                    // The largest f32 is nearer to infinity than to the largest bf16.
                    true => assert_eq!(gate, if bad == f32::MAX { f32::INFINITY } else { bad }, "{what}"),
                }
            }
        }
    }
}

#[test]
fn calls_leave_no_tiles_behind() {
    use super::super::amx::{Amx, stored_configuration};
    let Some(amx) = Amx::try_new() else { return };
    let Some(isa) = Isa::available_for_bf16().into_iter().find(|isa| isa.name() == "amx") else { return };
    let shape = InputShape { batch: 3, time: 2, input: 40, hidden: 20, gates: GATES };
    let (xs, weight, bias) = (values(6 * 40, 1), values(60 * 40, 2), values(60, 3));
    gates(isa, shape, &xs, &weight, &bias);
    assert_eq!(stored_configuration(amx), [0; 64]);
    let refused = std::panic::catch_unwind(|| gates(isa, shape, &xs[1..], &weight, &bias));
    assert!(refused.is_err());
    assert_eq!(stored_configuration(amx), [0; 64]);
    // Threads of their own, at the same time, with tiles of other heights.
    std::thread::scope(|scope| {
        for batch in [1, 5, 16, 19] {
            let (xs, weight, bias) = (&xs, &weight, &bias);
            scope.spawn(move || {
                let shape = InputShape { batch, time: 1, input: 12, hidden: 20, gates: GATES };
                let run = || gates(isa, shape, &xs[..batch * 12], &weight[..60 * 12], bias);
                let expected = run();
                for _ in 0..200 {
                    assert_eq!(run(), expected);
                }
                assert_eq!(stored_configuration(amx), [0; 64]);
            });
        }
    });
}
