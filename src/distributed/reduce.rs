//! Sums over all processes, in the order of the ranks.
//!
//! ```text
//! scatter    rank r receives part r of every rank's numbers
//! sum        rank r adds the parts of ranks 0, 1, 2, ... in this order
//! gather     every rank receives the sums of all parts
//! ```
//!
//! A rank sends and receives about twice the bytes of the numbers, whatever the number of ranks, as in a ring. MPI's
//! own all-reduce chooses among algorithms with different orders of sums, by message size and library; here the same
//! number of ranks gives the same bytes on every library and network.

use std::ops::AddAssign;

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use half::bf16;

use super::communicator::Communicator;
use crate::data::Shard;
use crate::parallel::{self, PIECE};

/// The most numbers that are exchanged at once, which bounds the memory of a call.
const BLOCK: usize = 1 << 23;

/// The form in which a number travels between processes.
pub trait Wire: Pod + Send + Sync {
    /// The type of the sums.
    type Sum: Copy + AddAssign + Send + Sync;

    /// Convert a number, or a sum, to this form.
    fn encode(number: Self::Sum) -> Self;

    /// Return the number.
    fn decode(self) -> Self::Sum;

    /// Return the numbers themselves, if they travel as they are.
    fn unchanged(numbers: &mut [Self::Sum]) -> Option<&mut [Self]>;
}

/// Let numbers of a type travel as they are.
macro_rules! travels_unchanged {
    ($float:ident) => {
        impl Wire for $float {
            type Sum = Self;

            fn encode(number: Self) -> Self {
                number
            }

            fn decode(self) -> Self {
                self
            }

            fn unchanged(numbers: &mut [Self]) -> Option<&mut [Self]> {
                Some(numbers)
            }
        }
    };
}

travels_unchanged!(f32);
travels_unchanged!(f64);

/// Half the bytes of f32: the numbers of each rank and their sum are rounded, and the sum itself is computed in f32.
impl Wire for bf16 {
    type Sum = f32;

    fn encode(number: f32) -> Self {
        Self::from_f32(number)
    }

    fn decode(self) -> f32 {
        self.to_f32()
    }

    fn unchanged(_: &mut [f32]) -> Option<&mut [Self]> {
        None
    }
}

/// Replace each number by its sum over all processes, which is the same to the bit on each. A single process keeps its
/// numbers as they are.
pub fn all_reduce<W: Wire>(ranks: &dyn Communicator, numbers: &mut [W::Sum]) {
    if ranks.size() == 1 {
        return;
    }
    let mut others = vec![];
    for block in numbers.chunks_mut(BLOCK) {
        match W::unchanged(block) {
            Some(block) => reduce_block(ranks, block, &mut others),
            None => {
                let encode =
                    |piece: &[W::Sum]| piece.iter().map(|&number| W::encode(number)).collect::<Vec<W>>();
                let mut sent = parallel::map(block.chunks(PIECE).collect(), encode).concat();
                reduce_block(ranks, &mut sent, &mut others);
                // This rank, too, takes its sums in the form in which the others receive them.
                let pieces = block.chunks_mut(PIECE).zip(sent.chunks(PIECE));
                parallel::map(pieces.collect(), |(numbers, sent): (&mut [W::Sum], &[W])| {
                    numbers.iter_mut().zip(sent).for_each(|(number, sum)| *number = sum.decode());
                });
            }
        }
    }
}

/// Replace a block by its sums. `others` is memory for the numbers of the other ranks.
fn reduce_block<W: Wire>(ranks: &dyn Communicator, block: &mut [W], others: &mut Vec<W>) {
    let (rank, size, count) = (ranks.rank(), ranks.size(), block.len());
    let own = ranks.shard().rows(count).len();
    others.resize(own * (size - 1), W::zeroed());
    let mut parts = split(block, (0..size).map(|rank| Shard { rank, size }.rows(count).len()));
    let mut received = split(others, (0..size).map(|other| if other == rank { 0 } else { own }));
    {
        let sent: Vec<&[u8]> = parts.iter().map(|part| cast_slice(part)).collect();
        let mut received: Vec<&mut [u8]> = received.iter_mut().map(|part| cast_slice_mut(part)).collect();
        ranks.exchange(&sent, &mut received);
    }
    let own = std::mem::take(&mut parts[rank]);
    add_others(own, rank, &received);
    let sent: Vec<&[u8]> = vec![cast_slice(own); size];
    let mut received: Vec<&mut [u8]> = parts.into_iter().map(cast_slice_mut).collect();
    ranks.exchange(&sent, &mut received);
}

/// Replace the numbers of `rank` by the sums over all ranks, in their order.
fn add_others<W: Wire>(own: &mut [W], rank: usize, others: &[&mut [W]]) {
    parallel::map(own.chunks_mut(PIECE).enumerate().collect(), |(piece, own)| {
        let of_rank = |other: usize| match other == rank {
            true => &*own,
            false => &others[other][piece * PIECE..][..own.len()],
        };
        let mut sums: Vec<W::Sum> = of_rank(0).iter().map(|number| number.decode()).collect();
        for other in 1..others.len() {
            sums.iter_mut().zip(of_rank(other)).for_each(|(sum, number)| *sum += number.decode());
        }
        own.iter_mut().zip(sums).for_each(|(number, sum)| *number = W::encode(sum));
    });
}

/// Split numbers into neighbours of these lengths, which sum up to their number.
fn split<T>(mut numbers: &mut [T], lengths: impl Iterator<Item = usize>) -> Vec<&mut [T]> {
    let mut parts = vec![];
    for length in lengths {
        let (part, rest) = numbers.split_at_mut(length);
        parts.push(part);
        numbers = rest;
    }
    parts
}
