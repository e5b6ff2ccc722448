//! Counting what the training split holds, and keeping the most frequent of it.

use std::cmp::Reverse;
use std::collections::HashMap;

/// The token for whatever the training split does not hold; always number 0 of our own tokenizers.
pub const UNKNOWN: &str = "<unk>";

/// The token that ends a sentence or record; always number 1 of our own tokenizers.
pub const END: &str = "<eos>";

/// How often each symbol occurs.
#[derive(Debug, Default)]
pub struct Counts {
    /// By code point, for symbols of one: in running text of characters nearly all are.
    single: Vec<u64>,
    longer: HashMap<Box<str>, u64>,
}

impl Counts {
    /// Counts one more occurrence.
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

    /// The vocabulary in the order of its numbers: `<unk>`, `<eos>`, then the symbols from the most to
    /// the least frequent, ties in the order of their text. At most `max` entries, those two counted.
    pub fn into_vocabulary(mut self, max: Option<usize>) -> Vec<String> {
        // Text that spells out a special token, as the Penn Treebank does, means that token.
        self.longer.remove(UNKNOWN);
        self.longer.remove(END);
        let single = self.single.into_iter().enumerate().filter(|&(_, count)| count > 0);
        let single = single.filter_map(|(point, count)| {
            Some((char::from_u32(point as u32)?.to_string().into_boxed_str(), count))
        });
        let mut symbols: Vec<_> = self.longer.into_iter().chain(single).collect();
        symbols
            .sort_unstable_by(|(a, a_count), (b, b_count)| (Reverse(a_count), a).cmp(&(Reverse(b_count), b)));
        let symbols = symbols.into_iter().map(|(symbol, _)| symbol.into_string());
        [UNKNOWN, END].map(String::from).into_iter().chain(symbols).take(max.unwrap_or(usize::MAX)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_frequent_come_first_and_ties_follow_the_text() {
        let mut counts = Counts::default();
        "b a cc a <unk> d b <unk> <unk> <eos>".split(' ').for_each(|word| counts.add(word));
        assert_eq!(counts.into_vocabulary(Some(5)), ["<unk>", "<eos>", "a", "b", "cc"]);
    }
}
