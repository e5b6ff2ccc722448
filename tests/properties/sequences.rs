//! Sequences in parts, step by step, and in another order of the batch.

use candle_core::{Device, Tensor};
use proptest::prelude::*;
use rand::RngExt;
use rnn_zoo::rng::{Purpose, stream};

use super::case::{Case, any_case, check_close, check_state, rows_of, with_shared};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn two_calls_equal_one_call(case in any_case(), part in 0.0..=1.0f64) {
        let config = with_shared(&case.config, |shared| shared.bidirectional = None);
        let drawn = Case { config, ..case.clone() }.draw()?;
        let whole = drawn.run(Some(&case.lengths))?;
        let cut = (part * case.time as f64) as usize;
        let first: Vec<usize> = case.lengths.iter().map(|&length| length.min(cut)).collect();
        let rest: Vec<usize> = case.lengths.iter().map(|&length| length.saturating_sub(cut)).collect();
        let layer = &drawn.layer.layer;
        let begun = layer.run(&drawn.xs.narrow(1, 0, cut)?, Some(&drawn.state), Some(&first))?;
        let xs = drawn.xs.narrow(1, cut, case.time - cut)?;
        let ended = layer.run(&xs, Some(&begun.state), Some(&rest))?;
        check_close("ys", &Tensor::cat(&[&begun.ys, &ended.ys], 1)?, &whole.ys)?;
        check_state("state", &ended.state, &whole.state)?;
    }

    #[test]
    fn steps_equal_sequences(case in any_case()) {
        let config = with_shared(&case.config, |shared| shared.bidirectional = None);
        let drawn = Case { config, ..case.clone() }.draw()?;
        let whole = drawn.run(None)?;
        let mut state = drawn.state.clone();
        for t in 0..case.time {
            let (y, next) = drawn.layer.layer.step(&drawn.xs.narrow(1, t, 1)?.squeeze(1)?, &state)?;
            check_close("y", &y, &whole.ys.narrow(1, t, 1)?.squeeze(1)?)?;
            state = next;
        }
        check_state("state", &state, &whole.state)?;
    }

    #[test]
    fn the_order_of_the_batch_does_not_matter(case in any_case(), shuffle: u64) {
        let drawn = case.draw()?;
        let mut order: Vec<u32> = (0..case.lengths.len() as u32).collect();
        order.sort_by_key(|&row| stream(shuffle, Purpose::Shuffle, row.into()).random::<u64>());
        let lengths: Vec<usize> = order.iter().map(|&row| case.lengths[row as usize]).collect();
        let order = Tensor::new(&order[..], &Device::Cpu)?;
        let straight = drawn.run(Some(&case.lengths))?;
        let state = rows_of(&drawn.state, &order)?;
        let permuted = drawn.layer.layer.run(&drawn.xs.index_select(&order, 0)?, Some(&state), Some(&lengths))?;
        check_close("ys", &permuted.ys, &straight.ys.index_select(&order, 0)?)?;
        check_state("state", &permuted.state, &rows_of(&straight.state, &order)?)?;
        check_close("last", &permuted.last()?, &straight.last()?.index_select(&order, 0)?)?;
    }
}
