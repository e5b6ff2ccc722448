//! Precision, recall and F1 of spans, such as the chunks and names that BIO tags mark.
//!
//! A tag is `O`, or a letter with an optional type: `B-PER`, `I-PER`. Spans are read from tags as conlleval of the
//! CoNLL shared tasks and seqeval in its default mode read them:
//!
//! | letters | scheme |
//! |---|---|
//! | `B I O` | BIO (IOB2), where `B` begins each span; IOB1, where `B` separates neighbours of one type |
//! | `B I O E S` | BIOES (IOBES), where `E` ends a span and `S` is a span of one word |
//! | `B I O L U` | BILOU, where `L` is `E` and `U` is `S` |
//!
//! A sequence that breaks its scheme still has spans: `I` after `O`, `E` or `S` (`L`, `U`), or after another type,
//! begins one. A predicted span is right if a true span has the same type, beginning and end.
//!
//! ```text
//! precision = right / predicted      recall = right / true      F1 = 2 right / (predicted + true)      0 / 0 = 0
//! ```

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::confusion::ClassScore;

/// The letters of tags that belong to a span.
const LETTERS: &str = "BIESLU";

/// The type of a span whose tags name none.
const NO_TYPE: &str = "_";

/// A span of words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The type, such as `PER`; `_` if the tags name none.
    pub kind: String,
    /// The index of its first word.
    pub start: usize,
    /// The index after its last word.
    pub end: usize,
}

/// Numbers of spans.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanCounts {
    /// Predicted spans that are right.
    pub right: u64,
    /// Predicted spans.
    pub predicted: u64,
    /// True spans.
    pub support: u64,
}

/// Numbers of spans by type, summed over sentences.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpanScores {
    types: BTreeMap<String, SpanCounts>,
}

/// The position of a word in its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SpanPart {
    Outside,
    Begin,
    Inside,
    End,
    Single,
}

/// Whether tags mark spans: each is `O` or has one of the letters B, I, E, S, L and U before its type. Without types,
/// a tag set must have both `B` and `I`, because single letters are also names of parts of speech. A set of `O` alone
/// marks no spans.
pub fn are_spans<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> bool {
    let (mut typed, mut bare) = (false, BTreeSet::new());
    for tag in tags {
        let tag = tag.as_ref();
        let (letter, kind) = tag.split_at(tag.chars().next().map_or(0, char::len_utf8));
        match kind.strip_prefix('-') {
            _ if tag == "O" => {}
            Some(kind) if LETTERS.contains(letter) && !kind.is_empty() => typed = true,
            None if LETTERS.contains(letter) && kind.is_empty() && !letter.is_empty() => {
                bare.insert(letter.to_string());
            }
            _ => return false,
        }
    }
    match bare.is_empty() {
        true => typed,
        false => bare.contains("B") && bare.contains("I"),
    }
}

/// The spans of a sentence, in order. A tag with another letter is outside of all spans.
pub fn spans<T: AsRef<str>>(tags: &[T]) -> Vec<Span> {
    let mut spans = vec![];
    let mut open: Option<(usize, &str)> = None;
    let mut before = (SpanPart::Outside, NO_TYPE);
    for (place, tag) in tags.iter().enumerate() {
        let now = parsed(tag.as_ref());
        if ends(before, now) {
            spans.extend(open.take().map(|(start, kind)| span(kind, start, place)));
        }
        if begins(before, now) {
            open = Some((place, now.1));
        }
        before = now;
    }
    spans.extend(open.map(|(start, kind)| span(kind, start, tags.len())));
    spans
}

fn span(kind: &str, start: usize, end: usize) -> Span {
    Span { kind: kind.to_string(), start, end }
}

/// The part and the type that a tag names.
fn parsed(tag: &str) -> (SpanPart, &str) {
    let mut rest = tag.chars();
    let part = match rest.next() {
        Some('B') => SpanPart::Begin,
        Some('I') => SpanPart::Inside,
        Some('E' | 'L') => SpanPart::End,
        Some('S' | 'U') => SpanPart::Single,
        _ => return (SpanPart::Outside, NO_TYPE),
    };
    let kind = rest.as_str();
    let kind = kind.strip_prefix('-').unwrap_or(kind);
    (part, if kind.is_empty() { NO_TYPE } else { kind })
}

/// Whether the span of the word `before` ends with it.
fn ends((before, kind): (SpanPart, &str), (now, next): (SpanPart, &str)) -> bool {
    match before {
        SpanPart::Outside => false,
        SpanPart::End | SpanPart::Single => true,
        SpanPart::Begin | SpanPart::Inside => {
            matches!(now, SpanPart::Outside | SpanPart::Begin | SpanPart::Single) || kind != next
        }
    }
}

/// Whether a span begins with the word `now`.
fn begins((before, kind): (SpanPart, &str), (now, next): (SpanPart, &str)) -> bool {
    match now {
        SpanPart::Outside => false,
        SpanPart::Begin | SpanPart::Single => true,
        SpanPart::Inside | SpanPart::End => {
            !matches!(before, SpanPart::Begin | SpanPart::Inside) || kind != next
        }
    }
}

impl SpanScores {
    /// Count the spans of a sentence. `truth` and `predicted` are the tags of the same words.
    pub fn add<T: AsRef<str>, P: AsRef<str>>(&mut self, truth: &[T], predicted: &[P]) {
        debug_assert_eq!(truth.len(), predicted.len(), "tags of the same words");
        let [truth, predicted] = [spans(truth), spans(predicted)];
        let truth: BTreeSet<Span> = truth.into_iter().collect();
        for span in &truth {
            self.types.entry(span.kind.clone()).or_default().support += 1;
        }
        for span in predicted {
            let right = u64::from(truth.contains(&span));
            let counts = self.types.entry(span.kind).or_default();
            counts.predicted += 1;
            counts.right += right;
        }
    }

    /// Add the counts of other sentences.
    pub fn merge(&mut self, other: &Self) {
        for (kind, counts) in &other.types {
            self.types.entry(kind.clone()).or_default().add(*counts);
        }
    }

    /// The counts of each type that occurs among the true or predicted spans.
    pub fn types(&self) -> &BTreeMap<String, SpanCounts> {
        &self.types
    }

    /// The counts of all types together, whose score is the micro average.
    pub fn total(&self) -> SpanCounts {
        let mut total = SpanCounts::default();
        self.types.values().for_each(|counts| total.add(*counts));
        total
    }
}

impl SpanCounts {
    fn add(&mut self, other: Self) {
        self.right += other.right;
        self.predicted += other.predicted;
        self.support += other.support;
    }

    /// Precision, recall and F1.
    pub fn score(self) -> ClassScore {
        let Self { right, predicted, support } = self;
        let ratio = |part: u64, whole: u64| if whole == 0 { 0. } else { part as f64 / whole as f64 };
        ClassScore {
            precision: ratio(right, predicted),
            recall: ratio(right, support),
            f1: ratio(2 * right, predicted + support),
            support,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// A corpus of `tests/golden/span_scores.json`, which `scripts/golden/span_scores.py` makes with seqeval.
    #[derive(Deserialize)]
    struct Case {
        scheme: String,
        /// Sentences of tags with blanks between them.
        truth: Vec<String>,
        predicted: Vec<String>,
        /// Type, first and last word of each true span, by sentence.
        spans: Vec<Vec<(String, usize, usize)>>,
        precision: f64,
        recall: f64,
        f1: f64,
        /// Type, precision, recall, F1 and support.
        types: Vec<(String, f64, f64, f64, u64)>,
    }

    fn split(tags: &str) -> Vec<&str> {
        tags.split_ascii_whitespace().collect()
    }

    fn assert_close(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn scores_are_those_of_seqeval() {
        let cases: Vec<Case> =
            serde_json::from_str(include_str!("../../tests/golden/span_scores.json")).unwrap();
        let schemes: BTreeSet<&str> = cases.iter().map(|case| case.scheme.as_str()).collect();
        assert!(cases.len() >= 40 && schemes.len() == 5, "{schemes:?}");
        for case in &cases {
            let mut scores = SpanScores::default();
            for ((truth, predicted), expected) in case.truth.iter().zip(&case.predicted).zip(&case.spans) {
                let found = spans(&split(truth));
                let expected = expected.iter().map(|(kind, start, last)| span(kind, *start, last + 1));
                assert_eq!(found, expected.collect::<Vec<_>>(), "{} {truth}", case.scheme);
                scores.add(&split(truth), &split(predicted));
            }
            let total = scores.total().score();
            assert_close(total.precision, case.precision);
            assert_close(total.recall, case.recall);
            assert_close(total.f1, case.f1);
            assert_eq!(scores.types().len(), case.types.len());
            for ((found, counts), (kind, precision, recall, f1, support)) in
                scores.types().iter().zip(&case.types)
            {
                let score = counts.score();
                assert_eq!((found, score.support), (kind, *support));
                assert_close(score.precision, *precision);
                assert_close(score.recall, *recall);
                assert_close(score.f1, *f1);
            }
        }
    }

    #[test]
    fn counts_of_parts_add_up() {
        let (truth, predicted) = (["B-A I-A O B-B", "O B-A"], ["B-A I-A O B-A", "B-C B-A"]);
        let mut all = SpanScores::default();
        let mut sum = SpanScores::default();
        for (truth, predicted) in truth.into_iter().zip(predicted) {
            all.add(&split(truth), &split(predicted));
            let mut one = SpanScores::default();
            one.add(&split(truth), &split(predicted));
            sum.merge(&one);
        }
        assert_eq!(all, sum);
        assert_eq!(all.total(), SpanCounts { right: 2, predicted: 4, support: 3 });
        assert_eq!(SpanScores::default().total().score(), ClassScore::default());
    }

    #[test]
    fn sets_of_span_tags_are_told_from_others() {
        for tags in
            ["O B-NP I-NP", "I-PER O", "B-A I-A E-A S-A", "U-A L-A B-A I-A O", "B I", "O B I E S", "S-A"]
        {
            assert!(are_spans(split(tags)), "{tags}");
        }
        for tags in ["", "O", "NOUN VERB", "B-NP NOUN", "B O", "I", "B- I-", "X-A", "B_A I_A", "É-A", "b-a"]
        {
            assert!(!are_spans(split(tags)), "{tags}");
        }
        assert!(!are_spans(["", "B-A"]));
    }

    #[test]
    fn tags_of_no_scheme_are_outside() {
        assert_eq!(spans(&["NOUN", "", "O", "é-A"]), []);
        assert_eq!(spans::<&str>(&[]), []);
        assert_eq!(spans(&["B-A-b", "I-A-b"]), [span("A-b", 0, 2)]);
    }
}
