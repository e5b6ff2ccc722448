//! Symbol counts of the training split, and the vocabulary of the most frequent symbols.

use std::cmp::Reverse;
use std::collections::HashMap;

/// The token for text outside the vocabulary; number 0 in tokenizers of this program.
pub const UNKNOWN: &str = "<unk>";

/// The token that ends a line or record; number 1 in tokenizers of this program.
pub const END: &str = "<eos>";

/// The limits of a vocabulary of characters or words. Without limits all symbols of the training split are in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// The largest vocabulary, including `<unk>` and `<eos>`; the most frequent symbols are kept.
    pub max: Option<usize>,
    /// The fewest occurrences of a symbol.
    pub min_count: Option<u64>,
}

impl From<Option<usize>> for Limits {
    /// A largest vocabulary.
    fn from(max: Option<usize>) -> Self {
        Self { max, min_count: None }
    }
}

/// The number of occurrences of each symbol.
#[derive(Debug, Default)]
pub struct Counts {
    /// Symbols of one code point, by code point: nearly all symbols of running text.
    single: Vec<u64>,
    longer: HashMap<Box<str>, u64>,
}

impl Counts {
    /// Count one occurrence.
    pub fn add(&mut self, symbol: &str) {
        let mut points = symbol.chars();
        match (points.next(), points.next()) {
            (Some(point), None) => {
                let place = point as usize;
                if place >= self.single.len() {
                    self.single.resize(place + 1, 0);
                }
                self.single[place] += 1;
            }
            _ => match self.longer.get_mut(symbol) {
                Some(count) => *count += 1,
                None => drop(self.longer.insert(symbol.into(), 1)),
            },
        }
    }

    /// Whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        self.single.is_empty() && self.longer.is_empty()
    }

    /// The vocabulary in the order of token numbers: `<unk>`, `<eos>`, then the symbols from the most to the least
    /// frequent, ties in the order of their text, within `limits`.
    pub fn into_vocabulary(mut self, limits: Limits) -> Vec<String> {
        // A symbol spelt like a special token, as in the Penn Treebank, is that token.
        self.longer.remove(UNKNOWN);
        self.longer.remove(END);
        let single = self.single.into_iter().enumerate().filter(|&(_, count)| count > 0);
        let single = single.filter_map(|(point, count)| {
            Some((char::from_u32(point as u32)?.to_string().into_boxed_str(), count))
        });
        let fewest = limits.min_count.unwrap_or(1);
        let symbols = self.longer.into_iter().chain(single).filter(|&(_, count)| count >= fewest);
        let mut symbols: Vec<_> = symbols.collect();
        symbols
            .sort_unstable_by(|(a, a_count), (b, b_count)| (Reverse(a_count), a).cmp(&(Reverse(b_count), b)));
        let symbols = symbols.into_iter().map(|(symbol, _)| symbol.into_string());
        [UNKNOWN, END]
            .map(String::from)
            .into_iter()
            .chain(symbols)
            .take(limits.max.unwrap_or(usize::MAX))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vocabulary_is_sorted_by_frequency_then_text() {
        let mut counts = Counts::default();
        "b a cc a <unk> d b <unk> <unk> <eos>".split(' ').for_each(|word| counts.add(word));
        assert_eq!(counts.into_vocabulary(Some(5).into()), ["<unk>", "<eos>", "a", "b", "cc"]);
    }
}
