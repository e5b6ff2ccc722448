//! Both directions and their merge.

use candle_core::{D, DType, Device, Result, Tensor, Var};
use proptest::prelude::*;
use rnn_zoo::models::ops::without_fused;
use rnn_zoo::models::{Merge, StackOptions, State, backward};
use rnn_zoo::rng::{Purpose, stream};

use super::case::{Case, any_case, check_close, check_state, new_layer, same_layer, with_shared};
use crate::random_layer::{Kind, Layer, MERGES};

/// Reverse the steps of each sequence; the padding stays at the end.
fn reversed(xs: &Tensor, lengths: &[usize]) -> Result<Tensor> {
    let (_, time, _) = xs.dims3()?;
    let mut rows = vec![];
    for (row, &length) in lengths.iter().enumerate() {
        let order = (0..time as u32).map(|t| if t < length as u32 { length as u32 - 1 - t } else { t });
        rows.push(xs.get(row)?.index_select(&Tensor::from_iter(order, &Device::Cpu)?, 0)?);
    }
    Tensor::stack(&rows, 0)
}

/// Return the name of the same parameter of the other direction.
fn swap_direction(name: &str) -> String {
    name.strip_suffix("_reverse").map_or(format!("{name}_reverse"), String::from)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn last_merges_the_last_output_of_each_direction(case in any_case()) {
        prop_assume!(case.lengths.iter().all(|&length| length > 0));
        let merge = case.config.stack().bidirectional.map(|_| Merge::Concat);
        let config = with_shared(&case.config, |shared| shared.bidirectional = merge);
        let output = Case { config, ..case.clone() }.draw()?.run(Some(&case.lengths))?;
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
    fn merges_equal_their_definitions(case in any_case(), merge in prop::sample::select(MERGES[1..].to_vec())) {
        let both = |merge| with_shared(&case.config, |shared| {
            shared.num_layers = 1;
            shared.bidirectional = Some(merge);
        });
        let separate = Case { config: both(Merge::Concat), ..case.clone() }.draw()?;
        let merged = same_layer(&separate.layer, &both(merge), str::to_string)?;
        let merged = merged.layer.run(&separate.xs, Some(&separate.state), Some(&case.lengths))?;
        let separate = separate.run(Some(&case.lengths))?;
        let by_hand = |sides: &Tensor| -> Result<Tensor> {
            let hidden = sides.dim(D::Minus1)? / 2;
            let [a, b] = [sides.narrow(D::Minus1, 0, hidden)?, sides.narrow(D::Minus1, hidden, hidden)?];
            match merge {
                Merge::Mul => a * b,
                Merge::Sum => a + b,
                _ => (a + b)? * 0.5,
            }
        };
        check_close("ys", &merged.ys, &by_hand(&separate.ys)?)?;
        check_close("last", &merged.last()?, &by_hand(&separate.last()?)?)?;
        check_state("state", &merged.state, &separate.state)?;
    }

    #[test]
    fn reversing_the_input_swaps_the_directions(case in any_case()) {
        let merge = case.config.stack().bidirectional.unwrap_or(Merge::Concat);
        let config = with_shared(&case.config, |shared| {
            shared.bidirectional = Some(merge);
            if merge == Merge::Concat {
                shared.num_layers = 1; // the input weights of a second layer would have to swap halves too
            }
        });
        let drawn = Case { config: config.clone(), ..case.clone() }.draw()?;
        let swapped = same_layer(&drawn.layer, &config, swap_direction)?;
        let others: Vec<u32> = (0..drawn.state.h.dims()[0] as u32).map(|index| index ^ 1).collect();
        let others = Tensor::new(&others[..], &Device::Cpu)?;
        let swap = |state: &State| -> Result<State> {
            let c = state.c.as_ref().map(|c| c.index_select(&others, 0)).transpose()?;
            Ok(State { h: state.h.index_select(&others, 0)?, c })
        };
        let straight = drawn.run(Some(&case.lengths))?;
        let xs = reversed(&drawn.xs, &case.lengths)?;
        let back = swapped.layer.run(&xs, Some(&swap(&drawn.state)?), Some(&case.lengths))?;
        let mut ys = reversed(&back.ys, &case.lengths)?;
        if merge == Merge::Concat {
            let hidden = ys.dim(2)? / 2;
            ys = Tensor::cat(&[ys.narrow(2, hidden, hidden)?, ys.narrow(2, 0, hidden)?], 2)?;
        }
        check_close("ys", &ys, &straight.ys)?;
        check_state("state", &swap(&back.state)?, &straight.state)?;
    }
}

#[test]
fn empty_batches_and_sequences_have_empty_outputs() -> Result<()> {
    let merges = MERGES.map(Some).into_iter().chain([None]);
    for (kind, merge) in Kind::ALL.into_iter().flat_map(|kind| merges.clone().map(move |merge| (kind, merge)))
    {
        let stack = StackOptions { bidirectional: merge, num_layers: 2, ..StackOptions::new(3, 4) };
        let Layer { layer, .. } = new_layer(&kind.config(stack), &mut stream(1, Purpose::Parameters, 0))?;
        for (batch, time) in [(0, 5), (0, 0), (2, 0)] {
            let check = || {
                let xs = Var::zeros((batch, time, 3), DType::F64, &Device::Cpu)?;
                let zeros = layer.zero_state(batch)?;
                let lengths = vec![time; batch];
                for lengths in [None, Some(&lengths[..])] {
                    let output = layer.run(&xs, None, lengths)?;
                    assert_eq!(output.ys.dims(), [batch, time, layer.output_size()]);
                    assert_eq!(output.last()?.dims(), [batch, layer.output_size()]);
                    check_state("state", &output.state, &zeros).unwrap();
                    backward(&output.ys.sum_all()?)?;
                }
                Result::Ok(())
            };
            check()?;
            without_fused(check)?;
        }
    }
    Ok(())
}
