//! Source and target texts as numbers, for a network that translates.

use candle_core::{Device, Tensor};
use rnn_zoo_models::{Inputs, Pair};

use super::batch::{Batch, Examples, Targets};
use crate::Result;

/// A source and a target text as numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenPair {
    /// Tokens of the source, at least one.
    pub source: Vec<u32>,
    /// Tokens of the target with the end token; the end token alone if there is no target.
    pub target: Vec<u32>,
}

/// Pairs of texts, and the texts as the user wrote them.
#[derive(Clone, Debug, Default)]
pub struct TokenPairs {
    pairs: Vec<TokenPair>,
    texts: Vec<[String; 2]>,
    /// The token that the decoder reads first.
    start: u32,
    notes: Vec<String>,
}

impl TokenPairs {
    /// No pairs. `start` is the token that the decoder reads first.
    pub fn new(start: u32) -> Self {
        Self { start, ..Self::default() }
    }

    /// Add a pair and its texts, source and target.
    pub fn push(&mut self, pair: TokenPair, texts: [String; 2]) {
        self.pairs.push(pair);
        self.texts.push(texts);
    }

    /// Add a note for the user.
    pub fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// The number of tokens of the longest target.
    pub fn longest_target(&self) -> usize {
        self.pairs.iter().map(|pair| pair.target.len()).max().unwrap_or_default()
    }
}

/// The rows padded with zeros to the longest, (batch, time), and their lengths if they differ.
fn padded(rows: &[Vec<u32>], device: &Device) -> Result<(Tensor, Option<Vec<usize>>)> {
    let lengths: Vec<usize> = rows.iter().map(Vec::len).collect();
    let longest = lengths.iter().copied().max().unwrap_or_default().max(1);
    let mut all = Vec::with_capacity(rows.len() * longest);
    for row in rows {
        all.extend_from_slice(row);
        all.resize(all.len() + longest - row.len(), 0);
    }
    let tensor = Tensor::from_vec(all, (rows.len(), longest), device)?;
    Ok((tensor, lengths.iter().any(|&length| length < longest).then_some(lengths)))
}

impl Examples for TokenPairs {
    fn len(&self) -> usize {
        self.pairs.len()
    }

    fn batch(&self, rows: &[usize], device: &Device) -> Result<Batch> {
        let rows = |of: &dyn Fn(&TokenPair) -> Vec<u32>| {
            rows.iter().map(|&row| of(&self.pairs[row])).collect::<Vec<Vec<u32>>>()
        };
        let (source, source_lengths) = padded(&rows(&|pair| pair.source.clone()), device)?;
        let (targets, lengths) = padded(&rows(&|pair| pair.target.clone()), device)?;
        let before = |pair: &TokenPair| {
            let all_but_last = &pair.target[..pair.target.len().saturating_sub(1)];
            [&[self.start][..], all_but_last].concat()
        };
        let (target, _) = padded(&rows(&before), device)?;
        Ok(Batch {
            inputs: Inputs::Pair(Pair { source, source_lengths, target }),
            targets: Targets::Classes(targets),
            lengths,
            fresh: true,
        })
    }

    fn hash(&self, add: &mut dyn FnMut(u32)) {
        for TokenPair { source, target } in &self.pairs {
            for side in [source, target] {
                add(side.len() as u32);
                side.iter().for_each(|&token| add(token));
            }
        }
    }

    fn for_each_token(&self, visit: &mut dyn FnMut(u32)) {
        self.pairs.iter().flat_map(|pair| &pair.source).for_each(|&token| visit(token));
    }

    fn parts(&self, row: usize) -> Vec<String> {
        self.texts[row].to_vec()
    }

    fn size(&self, row: usize) -> Option<usize> {
        let TokenPair { source, target } = &self.pairs[row];
        // Both sides take time; a step of the target takes most.
        Some(2 * target.len() + source.len())
    }

    fn notes(&self) -> &[String] {
        &self.notes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs() -> TokenPairs {
        let mut data = TokenPairs::new(9);
        for (source, target) in [(vec![2, 3, 1], vec![4, 1]), (vec![5, 1], vec![6, 7, 8, 1])] {
            data.push(TokenPair { source, target }, ["a b".into(), "c".into()]);
        }
        data
    }

    #[test]
    fn decoder_reads_the_start_and_then_the_target() {
        let Batch { inputs, targets, lengths, fresh } = pairs().batch(&[1, 0], &Device::Cpu).unwrap();
        let pair = inputs.as_pair().unwrap();
        let rows = |tensor: &Tensor| tensor.to_vec2::<u32>().unwrap();
        assert_eq!(rows(&pair.source), [[5, 1, 0], [2, 3, 1]]);
        assert_eq!(pair.source_lengths, Some(vec![2, 3]));
        assert_eq!(rows(&pair.target), [[9, 6, 7, 8], [9, 4, 0, 0]]);
        let Targets::Classes(targets) = targets else { panic!("tokens are classes") };
        assert_eq!((rows(&targets), lengths), (vec![vec![6, 7, 8, 1], vec![4, 1, 0, 0]], Some(vec![4, 2])));
        assert!(fresh);
    }

    #[test]
    fn every_change_of_the_data_changes_the_hash() {
        let hash = |data: &TokenPairs| {
            let mut words = vec![];
            data.hash(&mut |word| words.push(word));
            words
        };
        let (plain, mut moved) = (pairs(), pairs());
        moved.pairs[0] = TokenPair { source: vec![2, 3], target: vec![1, 4, 1] };
        assert_ne!(hash(&plain), hash(&moved));
    }
}
