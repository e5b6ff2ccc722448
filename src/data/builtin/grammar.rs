//! A notation for probabilistic grammars with variables. A corpus is sampled from a grammar, and its entropy is
//! computed from it.
//!
//! # Notation
//! ```text
//! person = name, he, him                     a table, and the names of its columns
//!   Anna, Clara: she, her                    rows: the first column, then the columns they share
//!   Ben: he, him
//!
//! visit                                      a rule: one alternative a line
//!   3 <host:person> met <guest:person>.      three times as likely as one without a number;
//!     <host> told <guest.him> a <thing>.     a line further in continues the alternative
//!   Nobody came.
//!
//! thing
//!   (joke|secret|story)                      a choice among equals
//! ```
//! `<host:person>` binds `host` to a random row of `person`, all with the same probability, and prints the row's first
//! column. Up to the end of the alternative, and in the rules that it calls, `<host>` prints that column again and
//! `<host.he>` another. Variables over one table never have the same row. A rule calls only rules below it, so there is
//! no recursion and every derivation ends.
//!
//! # Semantics
//! [`Grammar::step`] defines the next step of a piece: print, do several things in turn, or take one of several options
//! whose probabilities sum to 1. Sampling, expectations and the probability of a given text all use it, so they agree.

use std::collections::HashMap;
use std::iter::Sum;
use std::ops::Add;

use rand::RngExt;

use crate::rng::Rng;

#[cfg(test)]
pub(super) mod ambiguity;
mod notation;

/// The most variables of a grammar.
const VARIABLES: usize = 12;

/// The table row of each variable.
type Bindings = [Option<u8>; VARIABLES];

/// A probabilistic grammar. A derivation starts with the first rule.
#[derive(Debug)]
pub(super) struct Grammar {
    tables: Vec<Table>,
    variables: Vec<Variable>,
    rules: Vec<Rule>,
}

#[derive(Debug)]
struct Table {
    name: String,
    columns: Vec<String>,
    /// Rows with one word or phrase for each column.
    rows: Vec<Vec<String>>,
}

#[derive(Debug)]
struct Variable {
    name: String,
    table: usize,
}

#[derive(Debug)]
struct Rule {
    body: GrammarPiece,
    /// The variables that the rule's derivations depend on.
    reads: [bool; VARIABLES],
}

#[derive(Debug)]
enum GrammarPiece {
    Text(String),
    /// A column of the row that a variable holds.
    Form {
        variable: usize,
        column: usize,
    },
    Sequence(Vec<GrammarPiece>),
    /// Alternatives and their probabilities, which sum to 1.
    Choice(Vec<(f64, GrammarPiece)>),
    /// Chooses a row for a variable. `scope` is the rest of the alternative.
    Bind {
        variable: usize,
        scope: Box<GrammarPiece>,
    },
    Rule(usize),
}

/// The next step of a piece under given bindings.
enum GrammarStep<'g> {
    Print(&'g str),
    InTurn(&'g [GrammarPiece]),
    /// Probabilities, which sum to 1, and the piece and the bindings after each.
    OneOf(Vec<(f64, &'g GrammarPiece, Bindings)>),
}

/// Expectations over a grammar's derivations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Expected {
    /// Mean of -ln p: the entropy of a derivation.
    pub nats: f64,
    /// Mean number of characters printed.
    pub characters: f64,
    /// Mean number of spaces among them.
    pub spaces: f64,
}

impl Grammar {
    /// The next step of a piece: the only definition of its meaning.
    fn step<'g>(&'g self, piece: &'g GrammarPiece, bindings: Bindings) -> GrammarStep<'g> {
        match piece {
            GrammarPiece::Text(text) => GrammarStep::Print(text),
            GrammarPiece::Form { variable, column } => {
                let row = bindings[*variable].expect("invariant: a variable is bound before it is printed");
                GrammarStep::Print(&self.table_of(*variable).rows[row as usize][*column])
            }
            GrammarPiece::Sequence(pieces) => GrammarStep::InTurn(pieces),
            GrammarPiece::Choice(options) => GrammarStep::OneOf(
                options.iter().map(|(probability, piece)| (*probability, piece, bindings)).collect(),
            ),
            GrammarPiece::Bind { variable, scope } => {
                let free = self.free_rows(*variable, &bindings);
                let probability = 1.0 / free.len() as f64;
                let hold = |row| {
                    let mut bindings = bindings;
                    bindings[*variable] = Some(row);
                    (probability, &**scope, bindings)
                };
                GrammarStep::OneOf(free.into_iter().map(hold).collect())
            }
            GrammarPiece::Rule(rule) => self.step(&self.rules[*rule].body, bindings),
        }
    }

    fn table_of(&self, variable: usize) -> &Table {
        &self.tables[self.variables[variable].table]
    }

    /// The rows of the variable's table that no variable has.
    fn free_rows(&self, variable: usize, bindings: &Bindings) -> Vec<u8> {
        let table = self.variables[variable].table;
        let holders = self.variables.iter().zip(bindings).filter(|(holder, _)| holder.table == table);
        let taken: Vec<u8> = holders.filter_map(|(_, row)| *row).collect();
        (0..self.tables[table].rows.len() as u8).filter(|row| !taken.contains(row)).collect()
    }

    fn start(&self) -> (&GrammarPiece, Bindings) {
        (&self.rules[0].body, [None; VARIABLES])
    }

    /// Sample a text. Returns the log-probability of its derivation too, in nats.
    pub fn sample(&self, rng: &mut Rng) -> (String, f64) {
        let (root, bindings) = self.start();
        let mut text = String::new();
        let log_probability = self.sample_piece(root, bindings, rng, &mut text);
        (text, log_probability)
    }

    fn sample_piece(
        &self,
        piece: &GrammarPiece,
        bindings: Bindings,
        rng: &mut Rng,
        text: &mut String,
    ) -> f64 {
        match self.step(piece, bindings) {
            GrammarStep::Print(printed) => {
                text.push_str(printed);
                0.0
            }
            GrammarStep::InTurn(pieces) => {
                pieces.iter().map(|piece| self.sample_piece(piece, bindings, rng, text)).sum()
            }
            GrammarStep::OneOf(options) => {
                let mut threshold = rng.random::<f64>();
                let reached = options.iter().position(|(probability, ..)| {
                    threshold -= probability;
                    threshold < 0.0
                });
                // By rounding, the probabilities may sum to less than the threshold.
                let (probability, piece, bindings) = options[reached.unwrap_or(options.len() - 1)];
                probability.ln() + self.sample_piece(piece, bindings, rng, text)
            }
        }
    }

    /// Exact expectations over all derivations, up to floating-point rounding.
    ///
    /// Along a derivation, nats and lengths add up; over a choice with probabilities p_i,
    /// `H = sum_i p_i (H_i - ln p_i)` (the chain rule of entropy) and `L = sum_i p_i L_i`.
    pub fn expected(&self) -> Expected {
        let (root, bindings) = self.start();
        self.expected_of(root, bindings, &mut HashMap::new())
    }

    /// The expectations of a piece. `known` has those of rules, by the bindings that they read.
    fn expected_of(
        &self,
        piece: &GrammarPiece,
        bindings: Bindings,
        known: &mut HashMap<(usize, Bindings), Expected>,
    ) -> Expected {
        let key = match piece {
            GrammarPiece::Rule(rule) => Some((*rule, restrict(bindings, &self.rules[*rule].reads))),
            _ => None,
        };
        if let Some(expected) = key.and_then(|key| known.get(&key)) {
            return *expected;
        }
        let expected = match self.step(piece, bindings) {
            GrammarStep::Print(text) => Expected::of_text(text),
            GrammarStep::InTurn(pieces) => {
                pieces.iter().map(|piece| self.expected_of(piece, bindings, known)).sum()
            }
            GrammarStep::OneOf(options) => options
                .into_iter()
                .map(|(probability, piece, bindings)| {
                    self.expected_of(piece, bindings, known).chosen_with(probability)
                })
                .sum(),
        };
        if let Some(key) = key {
            known.insert(key, expected);
        }
        expected
    }

    /// The log-probability of `text` in nats, summed over all derivations that print it; `None` if there are none.
    pub fn log_probability(&self, text: &str) -> Option<f64> {
        let total = self.probability(vec![self.start()], text);
        (total > 0.0).then(|| total.ln())
    }

    /// The probability that the pieces on the stack, last first, print exactly `text`.
    fn probability<'g>(&'g self, mut stack: Vec<(&'g GrammarPiece, Bindings)>, text: &str) -> f64 {
        let Some((piece, bindings)) = stack.pop() else {
            return if text.is_empty() { 1.0 } else { 0.0 };
        };
        match self.step(piece, bindings) {
            GrammarStep::Print(printed) => {
                text.strip_prefix(printed).map_or(0.0, |remaining| self.probability(stack, remaining))
            }
            GrammarStep::InTurn(pieces) => {
                stack.extend(pieces.iter().rev().map(|piece| (piece, bindings)));
                self.probability(stack, text)
            }
            GrammarStep::OneOf(options) => options
                .into_iter()
                .map(|(probability, piece, bindings)| {
                    let stack = stack.iter().copied().chain([(piece, bindings)]).collect();
                    probability * self.probability(stack, text)
                })
                .sum(),
        }
    }
}

/// The bindings of the variables that `reads` names.
fn restrict(bindings: Bindings, reads: &[bool; VARIABLES]) -> Bindings {
    std::array::from_fn(|variable| bindings[variable].filter(|_| reads[variable]))
}

impl Expected {
    fn of_text(text: &str) -> Self {
        let spaces = text.matches(' ').count();
        Self { nats: 0.0, characters: text.chars().count() as f64, spaces: spaces as f64 }
    }

    /// The share of an option in the expectations of its choice.
    fn chosen_with(self, probability: f64) -> Self {
        Self {
            nats: probability * (self.nats - probability.ln()),
            characters: probability * self.characters,
            spaces: probability * self.spaces,
        }
    }
}

impl Add for Expected {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            nats: self.nats + other.nats,
            characters: self.characters + other.characters,
            spaces: self.spaces + other.spaces,
        }
    }
}

impl Sum for Expected {
    fn sum<I: Iterator<Item = Self>>(parts: I) -> Self {
        parts.fold(Self::default(), Self::add)
    }
}

#[cfg(test)]
mod tests {
    use super::ambiguity::clash;
    use super::*;
    use crate::rng::{Purpose, stream};

    const VISIT: &str = "
person = name, he
  Ann, Eve: she
  Bob: he

visit
  3 <host:person> met <guest:person>;
    <mood>.
  Nobody came.

mood
  <host.he> (smiled|wept)
";

    fn visit() -> Grammar {
        Grammar::parse(VISIT).unwrap()
    }

    #[test]
    fn expectations_equal_hand_computed_values() {
        let expected = visit().expected();
        let nats = 0.75 * (4.0f64 / 3.0).ln() + 0.25 * 4.0f64.ln() + 0.75 * (3.0f64 * 2.0 * 2.0).ln();
        assert!((expected.nats - nats).abs() < 1e-12, "{} is not {nats}", expected.nats);
        // "Ann met Eve; she smiled." has 24 characters, "wept" two fewer, "he" one fewer for a third.
        let characters = 0.75 * (24.0 - 1.0 - 1.0 / 3.0) + 0.25 * 12.0;
        assert!((expected.characters - characters).abs() < 1e-12, "{}", expected.characters);
        assert!((expected.spaces - (0.75 * 4.0 + 0.25)).abs() < 1e-12);
    }

    #[test]
    fn probabilities_equal_hand_computed_values() {
        let visit = visit();
        let met = visit.log_probability("Bob met Eve; he wept.").unwrap();
        assert!((met - (0.75f64 / 12.0).ln()).abs() < 1e-12);
        assert!((visit.log_probability("Nobody came.").unwrap() - 0.25f64.ln()).abs() < 1e-12);
        for never in ["Bob met Bob; he wept.", "Bob met Eve; she wept.", "Nobody came", ""] {
            assert_eq!(visit.log_probability(never), None, "{never}");
        }
    }

    #[test]
    fn frequencies_of_samples_equal_probabilities() {
        let visit = visit();
        let mut rng = stream(1, Purpose::Train, 0);
        let count = 40_000;
        let hits = (0..count).filter(|_| visit.sample(&mut rng).0 == "Bob met Eve; he wept.").count();
        let probability = 0.75 / 12.0;
        let error = (probability * (1.0 - probability) / count as f64).sqrt();
        assert!((hits as f64 / count as f64 - probability).abs() < 4.0 * error, "{hits} of {count}");
    }

    #[test]
    fn ambiguous_text_has_the_sum_of_its_derivations() {
        let twice = Grammar::parse("start\n  (a|ab)(bc|c)\n").unwrap();
        assert!((twice.log_probability("abc").unwrap() - 0.5f64.ln()).abs() < 1e-12);
        assert_eq!(clash(&twice), Some("a".into()));
        assert_eq!(clash(&visit()), None);
    }

    #[test]
    fn rows_clash_unless_later_text_differs() {
        let names = |end| format!("person = name\n  Ann, Anna\nstart\n  <who:person>{end}\n");
        assert_eq!(clash(&Grammar::parse(&names(" waved.")).unwrap()), None);
        assert_eq!(clash(&Grammar::parse(&names("")).unwrap()), Some("Ann".into()));
    }
}
