//! BLEU of a corpus of translations, as sacrebleu computes it by default.
//!
//! Papineni et al. (2002), "BLEU: a method for automatic evaluation of machine translation", with one reference for
//! each line. With `c_n` the `n`-grams of the translations that occur in their references (each as often as it occurs
//! there at most), `t_n` all `n`-grams of the translations, and both lengths in tokens:
//!
//! ```text
//! p_n  = 100 c_n / t_n                                 n = 1, 2, 3, 4
//! BLEU = bp exp((ln p_1 + ln p_2 + ln p_3 + ln p_4) / 4)
//! bp   = min(1, exp(1 - reference length / translation length))
//! ```
//!
//! The first `p_n` whose `c_n` is 0 becomes `100 / (2 t_n)`, the next `100 / (4 t_n)`, and so on ("exp" smoothing).
//! BLEU is 0 if no token is right, or if no translation has four tokens. Case counts. The signature of sacrebleu is
//! `nrefs:1|case:mixed|eff:no|tok:13a|smooth:exp`.

use std::collections::HashMap;
use std::iter::Sum;
use std::ops::AddAssign;

use serde::{Deserialize, Serialize};

/// The length of the longest n-grams.
const ORDER: usize = 4;

/// Counts from which BLEU follows; those of a corpus are the sums of those of its lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BleuCounts {
    /// Tokens of the translations.
    pub length: u64,
    /// Tokens of the references.
    pub reference_length: u64,
    /// N-grams of the translations that occur in the references, by n from 1 to 4.
    pub right: [u64; ORDER],
    /// All n-grams of the translations, by n from 1 to 4.
    pub total: [u64; ORDER],
}

impl BleuCounts {
    /// The counts of one line. An empty reference has no tokens; sacrebleu refuses it.
    pub fn new(translation: &str, reference: &str) -> Self {
        let [translation, reference] = [translation, reference].map(tokenize_13a);
        let [translation, reference] =
            [&translation, &reference].map(|line| words(line).collect::<Vec<&str>>());
        let mut counts = Self {
            length: translation.len() as u64,
            reference_length: reference.len() as u64,
            ..Self::default()
        };
        for n in 1..=ORDER {
            counts.right[n - 1] = shared(&translation, &reference, n);
            counts.total[n - 1] = (translation.len() + 1).saturating_sub(n) as u64;
        }
        counts
    }

    /// BLEU, from 0 to 100.
    pub fn score(&self) -> f64 {
        if self.right == [0; ORDER] || self.total.contains(&0) {
            return 0.;
        }
        let mut smoothing = 1.;
        let mut sum = 0.;
        for (&right, &total) in self.right.iter().zip(&self.total) {
            let right = match right {
                0 => {
                    smoothing *= 2.;
                    1. / smoothing
                }
                right => right as f64,
            };
            sum += (100. * right / total as f64).ln();
        }
        self.brevity_penalty() * (sum / ORDER as f64).exp()
    }

    /// The factor for translations that are shorter than their references, at most 1.
    pub fn brevity_penalty(&self) -> f64 {
        match self.length {
            0 if self.reference_length > 0 => 0.,
            length if length < self.reference_length => {
                (1. - self.reference_length as f64 / length as f64).exp()
            }
            _ => 1.,
        }
    }
}

impl AddAssign for BleuCounts {
    fn add_assign(&mut self, other: Self) {
        self.length += other.length;
        self.reference_length += other.reference_length;
        for n in 0..ORDER {
            self.right[n] += other.right[n];
            self.total[n] += other.total[n];
        }
    }
}

impl Sum for BleuCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |mut sum, counts| {
            sum += counts;
            sum
        })
    }
}

/// The number of n-grams of `translation` that occur in `reference`, each as often as it occurs there at most.
pub(super) fn shared<T: Eq + std::hash::Hash>(translation: &[T], reference: &[T], n: usize) -> u64 {
    let mut left: HashMap<&[T], u64> = HashMap::new();
    for gram in reference.windows(n) {
        *left.entry(gram).or_default() += 1;
    }
    let mut shared = 0;
    for gram in translation.windows(n) {
        if let Some(count) = left.get_mut(gram).filter(|count| **count > 0) {
            *count -= 1;
            shared += 1;
        }
    }
    shared
}

/// The words of a line as Python's `str.split` finds them.
pub(super) fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split(is_blank).filter(|word| !word.is_empty())
}

/// Whether Python counts a character as white space: as Unicode does, and the four separators of ASCII.
fn is_blank(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// A line with blanks between its tokens, which the tokenizer `13a` of sacrebleu (`mteval-v13a.pl` of NIST) finds.
///
/// It splits off ASCII punctuation but apostrophes and hyphens, a period or comma unless it stands between digits, and
/// a hyphen after a digit. It decodes `&quot;`, `&amp;`, `&lt;` and `&gt;` and removes `<skipped>`.
pub fn tokenize_13a(line: &str) -> String {
    let mut text =
        line.trim_end_matches(is_blank).replace("<skipped>", "").replace("-\n", "").replace('\n', " ");
    if text.contains('&') {
        for (entity, symbol) in [("&quot;", "\""), ("&amp;", "&"), ("&lt;", "<"), ("&gt;", ">")] {
            text = text.replace(entity, symbol);
        }
    }
    let mut spaced = String::with_capacity(2 * text.len() + 2);
    for c in format!(" {text} ").chars() {
        match is_symbol(c) {
            true => spaced.extend([' ', c, ' ']),
            false => spaced.push(c),
        }
    }
    let point = |c: char| matches!(c, '.' | ',');
    let digit = |c: char| c.is_ascii_digit();
    let text = with_blanks(&spaced, |a, b| !digit(a) && point(b), ["", " ", " "]);
    let text = with_blanks(&text, |a, b| point(a) && !digit(b), [" ", " ", ""]);
    let text = with_blanks(&text, |a, b| digit(a) && b == '-', ["", " ", " "]);
    words(&text).collect::<Vec<_>>().join(" ")
}

/// Whether a character is a token by itself wherever it stands.
fn is_symbol(c: char) -> bool {
    matches!(c, ' '..='&' | '('..='+' | '/' | ':'..='@' | '['..='`' | '{'..='~')
}

/// Add `blanks` before, between and after the characters of each pair that `matches`. Pairs are found from the left and
/// do not overlap, as those of a regular expression.
fn with_blanks(text: &str, matches: impl Fn(char, char) -> bool, blanks: [&str; 3]) -> String {
    let mut spaced = String::with_capacity(2 * text.len());
    let mut rest = text.chars();
    while let Some(first) = rest.next() {
        match rest.clone().next().filter(|&second| matches(first, second)) {
            Some(second) => {
                rest.next();
                let [before, between, after] = blanks;
                spaced.push_str(before);
                spaced.push(first);
                spaced.push_str(between);
                spaced.push(second);
                spaced.push_str(after);
            }
            None => spaced.push(first),
        }
    }
    spaced
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// The file `tests/golden/translation_scores.json`, which `scripts/golden/translation_scores.py` makes with
    /// sacrebleu.
    #[derive(Deserialize)]
    struct Golden {
        /// Lines, and their tokens.
        tokens: Vec<(String, String)>,
        corpora: Vec<Case>,
    }

    #[derive(Deserialize)]
    struct Case {
        translations: Vec<String>,
        references: Vec<String>,
        bleu: f64,
        brevity_penalty: f64,
        right: [u64; ORDER],
        total: [u64; ORDER],
        length: u64,
        reference_length: u64,
    }

    fn golden() -> Golden {
        serde_json::from_str(include_str!("../../tests/golden/translation_scores.json")).unwrap()
    }

    #[test]
    fn tokens_are_those_of_sacrebleu() {
        let lines = golden().tokens;
        assert!(lines.len() >= 300);
        for (line, tokens) in lines {
            assert_eq!(tokenize_13a(&line), tokens, "{line:?}");
        }
    }

    #[test]
    fn scores_are_those_of_sacrebleu() {
        let cases = golden().corpora;
        assert!(cases.len() >= 40 && cases.iter().any(|case| case.bleu == 0.));
        for case in cases {
            let lines = case.translations.iter().zip(&case.references);
            let counts: BleuCounts = lines.map(|(line, reference)| BleuCounts::new(line, reference)).sum();
            assert_eq!((counts.right, counts.total), (case.right, case.total), "{:?}", case.translations);
            assert_eq!((counts.length, counts.reference_length), (case.length, case.reference_length));
            assert!((counts.brevity_penalty() - case.brevity_penalty).abs() < 1e-12);
            assert!((counts.score() - case.bleu).abs() < 1e-9, "{} is not {}", counts.score(), case.bleu);
        }
    }

    #[test]
    fn no_lines_and_empty_lines_score_zero() {
        assert_eq!(BleuCounts::default().score(), 0.);
        assert_eq!(BleuCounts::new("", "").score(), 0.);
        assert_eq!(BleuCounts::new("", "a b c d").brevity_penalty(), 0.);
        assert!((BleuCounts::new("a b c d", "a b c d").score() - 100.).abs() < 1e-9);
    }
}
