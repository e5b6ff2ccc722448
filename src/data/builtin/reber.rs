//! `builtin:reber`, the embedded Reber grammar: recall one symbol across a string of any length.
//!
//! A Reber string is a path through an automaton. If a node has two arcs, both have the same probability:
//!
//! | node | symbols and next nodes |
//! |---|---|
//! | 0 | B to 1 |
//! | 1 | T to 2, P to 3 |
//! | 2 | S to 2, X to 4 |
//! | 3 | T to 3, V to 5 |
//! | 4 | X to 3, S to 6 |
//! | 5 | P to 4, V to 6 |
//! | 6 | E to the end |
//!
//! The embedded grammar writes `B`, then `T` or `P`, then a Reber string, then the same `T` or `P`
//! again, then `E`, as in `BTBPVVETE`. Only a network that remembers the second symbol can predict the last but one.
//!
//! The automaton is that of A. S. Reber (1967), as used for networks by A. Cleeremans, D.
//! Servan-Schreiber and J. McClelland (1989) and by A. W. Smith and D. Zipser (1989); the embedded
//! form is experiment 1 of S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory" (1997).

use rand::RngExt;

use super::floor::Floor;
use crate::rng::Rng;

/// The symbols of the grammar.
pub const SYMBOLS: [char; 7] = ['B', 'T', 'P', 'S', 'X', 'V', 'E'];

/// The arcs of the inner automaton: from each node, the symbols and the nodes that they lead to.
const INNER: [&[(char, usize)]; 7] = [
    &[('B', 1)],
    &[('T', 2), ('P', 3)],
    &[('S', 2), ('X', 4)],
    &[('T', 3), ('V', 5)],
    &[('X', 3), ('S', 6)],
    &[('P', 4), ('V', 6)],
    &[('E', INNER_END)],
];
const INNER_END: usize = 7;

/// A state of the automaton of the embedded grammar.
#[derive(Clone, Copy, Debug, PartialEq)]
enum AutomatonState {
    Start,
    /// Before the symbol to remember.
    Fork,
    /// In the inner string, at a node of `INNER`.
    Inner {
        remembered: char,
        node: usize,
    },
    /// After the repeated symbol.
    Recalled,
    End,
}

impl AutomatonState {
    /// The symbols that can come next, all with the same probability, and the states after them.
    fn arcs(self) -> Vec<(char, AutomatonState)> {
        match self {
            Self::Start => vec![('B', Self::Fork)],
            Self::Fork => {
                ['T', 'P'].map(|remembered| (remembered, Self::Inner { remembered, node: 0 })).into()
            }
            Self::Inner { remembered, node: INNER_END } => vec![(remembered, Self::Recalled)],
            Self::Inner { remembered, node } => {
                INNER[node].iter().map(|&(symbol, node)| (symbol, Self::Inner { remembered, node })).collect()
            }
            Self::Recalled => vec![('E', Self::End)],
            Self::End => vec![],
        }
    }
}

/// An infinite series of strings of the embedded Reber grammar, without newlines. The shortest have 9 symbols.
pub fn strings(mut rng: Rng) -> impl Iterator<Item = String> {
    std::iter::repeat_with(move || {
        let mut string = String::new();
        let mut state = AutomatonState::Start;
        while let arcs = state.arcs()
            && !arcs.is_empty()
        {
            let (symbol, next) = arcs[rng.random_range(0..arcs.len())];
            string.push(symbol);
            state = next;
        }
        string
    })
}

/// The symbols that may follow `prefix`: empty behind a whole string, `None` where no string of the
/// grammar begins with `prefix`.
pub fn allowed(prefix: &str) -> Option<Vec<char>> {
    let follow =
        |state: AutomatonState, symbol| state.arcs().into_iter().find(|arc| arc.0 == symbol).map(|arc| arc.1);
    let state = prefix.chars().try_fold(AutomatonState::Start, follow)?;
    Some(state.arcs().into_iter().map(|(symbol, _)| symbol).collect())
}

/// The entropy and the expected length of a string with its newline, as one word and one `<eos>`.
///
/// The automaton is deterministic, so a string has one path and its entropy is that of the path's
/// choices. It comes to 7 bits and 13 characters; the tests work both out by hand.
pub fn floor() -> Floor {
    let inner = inner_expectations();
    Floor {
        // The fork adds one even choice,
        nats_per_story: inner.nats + std::f64::consts::LN_2,
        // and B, T or P, T or P again, E and the newline five characters.
        characters_per_story: inner.symbols + 5.0,
        words_per_story: 2.0,
    }
}

/// Expectations over the paths from a node to the end.
#[derive(Clone, Copy, Default, PartialEq)]
struct PathMeans {
    nats: f64,
    symbols: f64,
}

/// Solve `E(node) = cost(node) + mean over arcs of E(next)` by fixed-point iteration, until no value changes. It
/// converges because each loop ends with probability 1/2 or more.
fn inner_expectations() -> PathMeans {
    let mut expected = [PathMeans::default(); INNER_END + 1];
    loop {
        let before = expected;
        for (node, arcs) in INNER.iter().enumerate() {
            let choices = arcs.len() as f64;
            let mean = |part: fn(&PathMeans) -> f64| {
                arcs.iter().map(|&(_, next)| part(&expected[next])).sum::<f64>() / choices
            };
            expected[node] =
                PathMeans { nats: choices.ln() + mean(|e| e.nats), symbols: 1.0 + mean(|e| e.symbols) };
        }
        if expected == before {
            return expected[0];
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::super::floor::tests::assert_mean;
    use super::*;
    use crate::rng::{Purpose, stream};

    /// A Reber string in its embedding.
    fn embed(inner: &str) -> String {
        format!("BT{inner}TE")
    }

    fn accepted(string: &str) -> bool {
        allowed(string).is_some_and(|next| next.is_empty())
    }

    #[test]
    fn strings_known_from_the_literature_are_accepted() {
        for inner in ["BTSSXXTVVE", "BPVVE", "BTXXVPSE", "BPVPXVPXVPXVVE", "BTSXXVPSE", "BTXSE", "BPVPSE"] {
            assert!(accepted(&embed(inner)), "{inner}");
        }
    }

    #[test]
    fn strings_known_to_be_wrong_are_refused() {
        for inner in ["BTSSPXSE", "BPTVVB", "BTXXVVSE", "BPVSPSE", "BTSSSE"] {
            assert!(!accepted(&embed(inner)), "{inner}");
        }
        assert!(!accepted("BTBPVVEPE"), "the second symbol must return");
        assert!(!accepted("BPBPVVETE"), "the second symbol must return");
    }

    #[test]
    fn allowed_symbols_are_those_of_the_automaton() {
        for (prefix, next) in [
            ("", "B"),
            ("B", "TP"),
            ("BT", "B"),
            ("BPB", "TP"),
            ("BPBT", "SX"),
            ("BPBTS", "SX"),
            ("BPBTX", "XS"),
            ("BPBTXX", "TV"),
            ("BPBP", "TV"),
            ("BPBPT", "TV"),
            ("BPBPV", "PV"),
            ("BPBPVP", "XS"),
            ("BPBPVV", "E"),
            ("BTBTXS", "E"),
            ("BTBTXSE", "T"),
            ("BPBTXSE", "P"),
            ("BPBTXSEP", "E"),
            ("BPBTXSEPE", ""),
        ] {
            assert_eq!(allowed(prefix), Some(next.chars().collect()), "{prefix}");
        }
        for never in ["T", "BB", "BTT", "BTBS", "BTBTXSEP", "BTBTXSETEE", "b", "é"] {
            assert_eq!(allowed(never), None, "{never}");
        }
    }

    #[test]
    fn both_arcs_of_a_node_are_taken_half_of_the_time() {
        let mut taken: BTreeMap<(String, char), f64> = BTreeMap::new();
        let mut visits: BTreeMap<String, f64> = BTreeMap::new();
        for string in strings(stream(1, Purpose::Test, 0)).take(20_000) {
            let mut state = AutomatonState::Start;
            for symbol in string.chars() {
                *taken.entry((format!("{state:?}"), symbol)).or_default() += 1.0;
                *visits.entry(format!("{state:?}")).or_default() += 1.0;
                state = state.arcs().into_iter().find(|arc| arc.0 == symbol).unwrap().1;
            }
        }
        let forks = taken.iter().filter(|((state, _), count)| **count < visits[state]);
        let mut arcs = 0;
        for ((state, symbol), count) in forks {
            let visits = visits[state];
            let off = (count / visits - 0.5).abs();
            assert!(off < 4.0 * 0.5 / visits.sqrt(), "{state} {symbol}: {count} of {visits}");
            arcs += 1;
        }
        // The outer fork, and five inner forks in either embedding.
        assert_eq!(arcs, 2 * (1 + 2 * 5));
    }

    /// With `n_i` even choices ahead of node i: `n_2 = 2 + n_4`, `n_3 = 2 + n_5`,
    /// `n_4 = 1 + n_3 / 2`, `n_5 = 1 + n_4 / 2`, so `n_4 = 10/3` and `n_1 = 6`; the outer fork is
    /// the seventh. Symbols likewise: 8 in the inner string, 12 in all.
    #[test]
    fn floor_is_seven_bits_and_thirteen_characters() {
        let floor = floor();
        assert!((floor.nats_per_story - 7.0 * std::f64::consts::LN_2).abs() < 1e-12, "{floor:?}");
        assert!((floor.characters_per_story - 13.0).abs() < 1e-12, "{floor:?}");
        assert_eq!(floor.words_per_story, 2.0);
    }

    #[test]
    fn sample_means_agree_with_the_floor() {
        let strings: Vec<String> = strings(stream(2, Purpose::Test, 0)).take(20_000).collect();
        let nats = |string: &String| {
            let options = |end| allowed(&string[..end]).unwrap().len() as f64;
            (0..string.len()).map(|end| options(end).ln()).sum::<f64>()
        };
        let floor = floor();
        assert_mean("nats", floor.nats_per_story, &strings.iter().map(nats).collect::<Vec<_>>());
        let lengths: Vec<f64> = strings.iter().map(|string| string.len() as f64 + 1.0).collect();
        assert_mean("characters", floor.characters_per_story, &lengths);
        assert_eq!(lengths.into_iter().fold(f64::INFINITY, f64::min), 9.0 + 1.0);
    }

    proptest! {
        #[test]
        fn strings_are_reproducible_and_of_the_grammar(seed: u64) {
            let draw = || strings(stream(seed, Purpose::Train, 0)).take(20).collect::<Vec<_>>();
            prop_assert_eq!(draw(), draw());
            for string in draw() {
                prop_assert!(accepted(&string), "{}", string);
                prop_assert_eq!(&string[1..2], &string[string.len() - 2..string.len() - 1]);
                prop_assert!(string.chars().all(|symbol| SYMBOLS.contains(&symbol)));
            }
        }
    }
}
