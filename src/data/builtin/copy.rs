//! `builtin:copy`, the copying task: repeat a series of symbols after a delay.
//!
//! ```text
//! tokens   3 1 4 1 5 _ _ _ _ _ _ _ ! _ _ _ _ _      _ is BLANK, ! is MARKER
//! tags     _ _ _ _ _ _ _ _ _ _ _ _ _ 3 1 4 1 5
//! ```
//!
//! The network reads the symbols and, after a delay, the marker. After the marker it has to output the symbols in their
//! order; at all other steps it outputs blanks.
//!
//! The task goes back to S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory" (1997). This form,
//! with 8 symbols, is that of M. Arjovsky, A. Shah and Y. Bengio, "Unitary Evolution Recurrent Neural
//! Networks" (2016), who remember 10 of them; their T is `delay + 1`.

use rand::RngExt;

use crate::rng::Rng;

/// The number of symbols, which are the tokens 0 to 7.
pub const SYMBOLS: u32 = 8;

/// The blank: a token and a tag.
pub const BLANK: u32 = SYMBOLS;

/// The marker, a token after which the symbols are expected. It is never a tag.
pub const MARKER: u32 = SYMBOLS + 1;

/// The number of tokens: the symbols, the blank and the marker.
pub const VOCABULARY: usize = SYMBOLS as usize + 2;

/// One sequence of the copying task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopyExample {
    /// The input, shape (time): the symbols, `delay` blanks, the marker, then blanks.
    pub tokens: Vec<u32>,
    /// The target at every step, shape (time): blanks up to the marker, then the symbols.
    pub tags: Vec<u32>,
}

/// The number of time steps of an example: `2 remembered + delay + 1`.
pub fn length(remembered: usize, delay: usize) -> usize {
    2 * remembered + delay + 1
}

/// `count` examples with `remembered` symbols each, and `delay` blanks between them and the marker.
pub fn examples(
    mut rng: Rng,
    count: usize,
    remembered: usize,
    delay: usize,
) -> impl Iterator<Item = CopyExample> {
    (0..count).map(move |_| {
        let symbols: Vec<u32> = (0..remembered).map(|_| rng.random_range(..SYMBOLS)).collect();
        let blanks = |count| vec![BLANK; count];
        CopyExample {
            tokens: [symbols.clone(), blanks(delay), vec![MARKER], blanks(remembered)].concat(),
            tags: [blanks(remembered + delay + 1), symbols].concat(),
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::floor::tests::assert_mean;
    use super::*;
    use crate::rng::{Purpose, stream};

    fn draw(seed: u64, count: usize, remembered: usize, delay: usize) -> Vec<CopyExample> {
        examples(stream(seed, Purpose::Train, 0), count, remembered, delay).collect()
    }

    /// Compute the cross-entropy, in nats per step, of the best answer without memory of the symbols.
    ///
    /// It answers the blanks with certainty and each symbol with probability 1/8, so it loses ln 8 at `remembered` of
    /// the steps: `remembered ln 8 / (2 remembered + delay + 1)`, the baseline of Arjovsky et al.,
    /// `10 ln 8 / (T + 20)`.
    fn memoryless_cross_entropy(remembered: usize, delay: usize) -> f64 {
        remembered as f64 * f64::from(SYMBOLS).ln() / length(remembered, delay) as f64
    }

    #[test]
    fn memoryless_baseline_is_that_of_the_paper() {
        // T = 100: 10 ln 8 / 120.
        assert!((memoryless_cross_entropy(10, 99) - 0.173_286_795_139_986_3).abs() < 1e-12);
        assert_eq!(memoryless_cross_entropy(0, 5), 0.0);
    }

    #[test]
    fn best_constant_answer_has_the_baseline_loss() {
        // Counts the symbols at recall; the best constant answer is their distribution.
        let drawn = draw(1, 4000, 10, 20);
        let recalled = drawn.iter().flat_map(|example| &example.tags[31..]);
        let zeros: Vec<f64> = recalled.map(|tag| f64::from(u8::from(*tag == 0))).collect();
        assert_mean("share of symbol 0", 1.0 / 8.0, &zeros);
        let mut counts = [0.0f64; 8];
        drawn.iter().flat_map(|example| &example.tags[31..]).for_each(|tag| counts[*tag as usize] += 1.0);
        let total: f64 = counts.iter().sum();
        let nats: f64 = counts.iter().map(|count| -count * (count / total).ln()).sum();
        let per_step = nats / (drawn.len() * length(10, 20)) as f64;
        assert!((per_step - memoryless_cross_entropy(10, 20)).abs() < 1e-3, "{per_step}");
    }

    #[test]
    fn example_is_that_of_the_documentation() {
        let CopyExample { tokens, tags } = draw(3, 1, 2, 3).remove(0);
        let [a, b] = [tokens[0], tokens[1]];
        assert_eq!(tokens, [a, b, BLANK, BLANK, BLANK, MARKER, BLANK, BLANK]);
        assert_eq!(tags, [BLANK, BLANK, BLANK, BLANK, BLANK, BLANK, a, b]);
    }

    proptest! {
        #[test]
        fn examples_end_with_their_symbols(seed: u64, remembered in 0usize..20, delay in 0usize..100) {
            let drawn = draw(seed, 3, remembered, delay);
            prop_assert_eq!(&drawn, &draw(seed, 3, remembered, delay));
            for CopyExample { tokens, tags } in drawn {
                let steps = length(remembered, delay);
                prop_assert_eq!([tokens.len(), tags.len()], [steps, steps]);
                prop_assert_eq!(&tokens[..remembered], &tags[steps - remembered..]);
                prop_assert!(tokens[..remembered].iter().all(|symbol| *symbol < SYMBOLS));
                prop_assert_eq!(tokens.iter().position(|t| *t == MARKER), Some(remembered + delay));
                prop_assert!(tags[..steps - remembered].iter().all(|tag| *tag == BLANK));
            }
        }
    }
}
