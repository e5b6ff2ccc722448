//! The part of every batch that one of several processes computes.

use std::ops::Range;

/// The part of every batch that one of several processes computes. The parts of all processes make up the batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// The number of the process, counted from 0.
    pub rank: usize,
    /// The number of processes.
    pub size: usize,
}

impl Shard {
    /// The whole batch, for a single process.
    pub const WHOLE: Self = Self { rank: 0, size: 1 };

    /// The rows of a stream of `rows` rows: neighbours, as many as those of another process or one more.
    pub fn rows(self, rows: usize) -> Range<usize> {
        let Self { rank, size } = self;
        rank * rows / size..(rank + 1) * rows / size
    }

    /// Every `size`-th of the examples of a batch. The examples of a batch may be sorted by length: neighbours would
    /// leave the longest to one process.
    pub fn examples(self, examples: &[usize]) -> Vec<usize> {
        examples.iter().copied().skip(self.rank).step_by(self.size).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_make_up_the_batch_and_differ_by_one_at_most() {
        for size in 1..=5 {
            for count in 0..=17 {
                let all: Vec<usize> = (0..count).collect();
                let shards = || (0..size).map(|rank| Shard { rank, size });
                let rows: Vec<Vec<usize>> = shards().map(|shard| shard.rows(count).collect()).collect();
                let examples: Vec<Vec<usize>> = shards().map(|shard| shard.examples(&all)).collect();
                assert_eq!(rows.concat(), all, "{size} processes");
                for parts in [rows, examples] {
                    let mut found = parts.concat();
                    found.sort_unstable();
                    assert_eq!(found, all, "{size} processes");
                    let lengths = || parts.iter().map(Vec::len);
                    assert!(lengths().max().unwrap() - lengths().min().unwrap() <= 1, "{parts:?}");
                }
            }
        }
        assert_eq!(Shard::WHOLE.rows(7), 0..7);
    }
}
