use candle_core::Tensor;

use super::*;
use crate::data::batch::Targets;
use crate::data::example::{Input, Target};
use proptest::prelude::*;

fn stream(count: usize) -> Dataset {
    Dataset::Stream { tokens: SplitTokens::from_ids(&ids(count)), start: START }
}

/// Before the first token.
const START: u32 = 60_000;

fn ids(count: usize) -> Vec<u32> {
    (1..=count as u32).collect()
}

/// Examples whose every element tells which of them it is; the lengths go through 0, 1, 2, 3, 4.
fn examples(count: usize) -> Dataset {
    let example = |index: usize| {
        let row = vec![index as u32 + 1; index % 5];
        Example { input: Input::Tokens(row.clone()), target: Target::Tags(row) }
    };
    Dataset::from((0..count).map(example).collect::<Vec<_>>())
}

fn rows(tensor: &Tensor) -> Vec<Vec<u32>> {
    tensor.to_vec2().unwrap()
}

fn classes(batch: &Batch) -> &Tensor {
    match &batch.targets {
        Targets::Classes(classes) => classes,
        _ => panic!("tokens are classes"),
    }
}

/// The inputs and targets of each row in a whole epoch, without padding.
fn whole_rows(epoch: &Epoch<'_>, count: usize) -> Vec<(Vec<u32>, Vec<u32>)> {
    let mut found = vec![(vec![], vec![]); count];
    for index in 0..epoch.len() {
        let batch = epoch.batch(index, &Device::Cpu).unwrap();
        assert_eq!(batch.fresh, index == 0, "the state goes on from window to window");
        let (inputs, targets) = (rows(batch.inputs.as_steps().unwrap()), rows(classes(&batch)));
        for (row, (read, answer)) in found.iter_mut().enumerate() {
            let length = batch.lengths.as_ref().map_or(inputs[row].len(), |lengths| lengths[row]);
            read.extend_from_slice(&inputs[row][..length]);
            answer.extend_from_slice(&targets[row][..length]);
        }
    }
    found
}

fn numbers(text: &str) -> Vec<usize> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

proptest! {
    #[test]
    fn evaluation_asks_for_every_token_once_after_the_one_before_it(
        count in 1..200usize, row_count in 1..40usize, window in 1..60usize,
    ) {
        let data = stream(count);
        let batch_size = row_count.min(count);
        let epoch = data.epoch(Cut { batch_size, window, trim: false, vary: false }, None).unwrap();
        let rows = whole_rows(&epoch, batch_size);
        let targets: Vec<u32> = rows.iter().flat_map(|(_, targets)| targets.clone()).collect();
        prop_assert_eq!(targets, ids(count));
        for (token, before) in rows.iter().flat_map(|(read, targets)| targets.iter().zip(read)) {
            prop_assert_eq!(*before, if *token == 1 { START } else { token - 1 });
        }
    }

    #[test]
    fn training_rows_are_equally_long_stretches_and_read_the_target_before(
        batch_size in 1..9usize, window in 1..20usize, more in 0..200usize,
    ) {
        let count = batch_size * window + more;
        let data = stream(count);
        let epoch = data.epoch(Cut { batch_size, window, trim: true, vary: false }, None).unwrap();
        prop_assert!((0..epoch.len()).all(|index| epoch.batch(index, &Device::Cpu).unwrap().lengths.is_none()));
        let length = count / batch_size;
        for (row, (read, targets)) in whole_rows(&epoch, batch_size).into_iter().enumerate() {
            prop_assert_eq!(&targets, &ids(count)[row * length..][..length]);
            prop_assert_eq!(&read[1..], &targets[..length - 1]);
            prop_assert_eq!(read[0], if row == 0 { START } else { targets[0] - 1 });
        }
    }

    #[test]
    fn a_stream_too_short_for_a_window_is_told_a_cut_that_fits(
        count in 4..300usize, batch_size in 1..40usize, window in 1..60usize,
    ) {
        prop_assume!(count < batch_size * window);
        let data = stream(count);
        let problem = data.epoch(Cut { batch_size, window, trim: true, vary: false }, None).unwrap_err().to_string();
        let [tokens, _, _, batch_size, window] = numbers(&problem)[..] else { panic!("{problem}") };
        prop_assert_eq!(tokens, count);
        prop_assert!(data.epoch(Cut { batch_size, window, trim: true, vary: false }, None).is_ok(), "{}", problem);
    }

    #[test]
    fn an_epoch_of_examples_is_a_permutation_that_seed_and_epoch_decide(
        count in 20..60usize, batch_size in 1..9usize, seed: u64, number in 0..1000usize,
    ) {
        let data = examples(count);
        let cut = Cut { batch_size, window: 1, trim: true, vary: false };
        let order = |shuffle| data.epoch(cut, shuffle).unwrap().order;
        let drawn = order(Some(Shuffle { seed, epoch: number, similar_sizes: true }));
        let mut sorted = drawn.clone();
        sorted.sort_unstable();
        prop_assert_eq!(&sorted, &(0..count).collect::<Vec<_>>());
        prop_assert_eq!(&order(None), &sorted);
        prop_assert_eq!(&order(Some(Shuffle { seed, epoch: number, similar_sizes: true })), &drawn);
        prop_assert_ne!(&order(Some(Shuffle { seed, epoch: number + 1, similar_sizes: true })), &drawn);
        prop_assert_ne!(&order(Some(Shuffle { seed: seed.wrapping_add(1), epoch: number, similar_sizes: true })), &drawn);
    }

    #[test]
    fn batches_of_examples_hold_each_once_padded_to_the_longest(
        count in 1..40usize, batch_size in 1..9usize, seed: u64,
    ) {
        let data = examples(count);
        let epoch = data.epoch(Cut { batch_size, window: 1, trim: true, vary: false }, Some(Shuffle { seed, epoch: 0, similar_sizes: true })).unwrap();
        let mut seen = 0;
        for index in 0..epoch.len() {
            let batch = epoch.batch(index, &Device::Cpu).unwrap();
            let (inputs, targets) = (rows(batch.inputs.as_steps().unwrap()), rows(classes(&batch)));
            prop_assert!(batch.fresh && inputs.len() <= batch_size);
            for (row, input) in inputs.iter().enumerate() {
                let number = epoch.order[seen];
                let length = batch.lengths.as_ref().map_or(input.len(), |lengths| lengths[row]);
                prop_assert_eq!(length, number % 5);
                let expected: Vec<u32> =
                    (0..input.len()).map(|t| if t < length { number as u32 + 1 } else { 0 }).collect();
                prop_assert_eq!((input, &targets[row]), (&expected, &expected));
                seen += 1;
            }
        }
        prop_assert_eq!(seen, count);
    }
}

proptest! {
    #[test]
    fn batches_of_texts_hold_each_once_beside_texts_of_similar_length(
        lengths in proptest::collection::vec(1..30usize, 1..60), batch_size in 1..9usize, seed: u64,
    ) {
        let example = |&length: &usize| Example {
            input: Input::Tokens(vec![1; length]),
            target: Target::Class(0),
        };
        let data = Dataset::from(lengths.iter().map(example).collect::<Vec<_>>());
        let cut = Cut { batch_size, window: 1, trim: true, vary: false };
        let epoch = |similar_sizes| {
            data.epoch(cut, Some(Shuffle { seed, epoch: 0, similar_sizes })).unwrap()
        };
        let similar = epoch(true);
        let mut order = similar.order.clone();
        order.sort_unstable();
        prop_assert_eq!(order, (0..lengths.len()).collect::<Vec<_>>());
        prop_assert_eq!(similar.len(), lengths.len().div_ceil(batch_size));
        let mut ranges: Vec<(usize, usize)> = (0..similar.len())
            .map(|index| {
                let batch = similar.batch(index, &Device::Cpu).unwrap();
                let longest = batch.inputs.steps().unwrap();
                let lengths = batch.lengths.unwrap_or(vec![longest]);
                (*lengths.iter().min().unwrap(), longest)
            })
            .collect();
        // All of them are one pool, so that the lengths of one batch end where those of the next begin.
        ranges.sort_unstable();
        prop_assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{:?}", ranges);
        let mut plain = epoch(false).order;
        plain.sort_unstable();
        prop_assert_eq!(plain, (0..lengths.len()).collect::<Vec<_>>());
    }
}

#[test]
fn features_and_values_are_padded_like_tokens() {
    let example = |steps: usize, value: f32| Example {
        input: Input::Features { values: vec![value; 2 * steps], width: 2 },
        target: Target::Values(vec![value]),
    };
    let data = Dataset::from(vec![example(1, 3.), example(2, 4.)]);
    let epoch = data.epoch(Cut { batch_size: 2, window: 1, trim: true, vary: false }, None).unwrap();
    let Batch { inputs, targets, lengths, .. } = epoch.batch(0, &Device::Cpu).unwrap();
    assert_eq!(
        inputs.as_steps().unwrap().to_vec3::<f32>().unwrap(),
        [[[3., 3.], [0., 0.]], [[4., 4.], [4., 4.]]]
    );
    let Targets::Values(values) = targets else { panic!("{targets:?}") };
    assert_eq!((values.to_vec2::<f32>().unwrap(), lengths), (vec![vec![3.], vec![4.]], Some(vec![1, 2])));
}

#[test]
fn varied_windows_read_every_token_once_and_are_others_in_every_epoch() {
    let data = stream(20 * 2000);
    let cut = Cut { batch_size: 20, window: 35, trim: true, vary: true };
    let widths = |seed, number| {
        let epoch = data.epoch(cut, Some(Shuffle { seed, epoch: number, similar_sizes: true })).unwrap();
        let read = whole_rows(&epoch, 20);
        let fixed = data.epoch(Cut { vary: false, ..cut }, None).unwrap();
        assert_eq!(read, whole_rows(&fixed, 20));
        let width = |index| epoch.batch(index, &Device::Cpu).unwrap().inputs.steps().unwrap();
        (0..epoch.len()).map(width).collect::<Vec<_>>()
    };
    let first = widths(1, 0);
    assert_eq!(first, widths(1, 0));
    assert_ne!(first, widths(1, 1));
    assert_ne!(first, widths(2, 0));
    // All but the last, which ends with the row: around 35, some around half of it.
    let mut whole = first[..first.len() - 1].to_vec();
    assert!(whole.iter().all(|width| (5..=45).contains(width)), "{whole:?}");
    whole.sort_unstable();
    assert!((33..=37).contains(&whole[whole.len() / 2]), "{whole:?}");
}

#[test]
fn data_too_short_for_one_batch_is_an_error_that_says_what_helps() {
    let cut = Cut { batch_size: 20, window: 35, trim: true, vary: false };
    let problem = |data: &Dataset| data.epoch(cut, None).unwrap_err().to_string();
    assert_eq!(
        problem(&stream(100)),
        "the training split has 100 tokens, fewer than one window of option `batch_size = 20` times \
         option `bptt = 35`; use more text, or option `batch_size = 10` option `bptt = 10`"
    );
    assert!(problem(&stream(0)).ends_with("; use more text"));
    assert_eq!(problem(&examples(0)), "the training split is empty; use more data");
}
