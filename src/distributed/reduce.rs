//! Sums over all processes, in the order of the ranks.
//!
//! ```text
//! all-to-all    rank r receives part r of every rank's numbers
//! sum           rank r adds the parts of ranks 0, 1, 2, ... in this order
//! all-gather    every rank receives the sums of all parts
//! ```
//!
//! A rank sends and receives about twice the bytes of the numbers, whatever the number of ranks, as in a ring. MPI's
//! own all-reduce chooses among algorithms with different orders of sums, by message size and library; here the same
//! number of ranks gives the same bytes on every library and network.

use std::ops::AddAssign;

use bytemuck::{Pod, cast_slice, cast_slice_mut};
use half::bf16;

use super::communicator::Communicator;

/// The most numbers that are exchanged at once, which bounds the memory of a call.
const BLOCK: usize = 1 << 22;

/// The form in which a number travels between processes.
pub trait Wire: Pod {
    /// The type of the sums.
    type Sum: Copy + AddAssign;

    /// Convert a number, or a sum, to this form.
    fn encode(number: Self::Sum) -> Self;

    /// Return the number.
    fn decode(self) -> Self::Sum;
}

impl Wire for f32 {
    type Sum = Self;

    fn encode(number: Self) -> Self {
        number
    }

    fn decode(self) -> Self {
        self
    }
}

impl Wire for f64 {
    type Sum = Self;

    fn encode(number: Self) -> Self {
        number
    }

    fn decode(self) -> Self {
        self
    }
}

/// Half the bytes of f32: the numbers of each rank and their sum are rounded, and the sum itself is computed in f32.
impl Wire for bf16 {
    type Sum = f32;

    fn encode(number: f32) -> Self {
        Self::from_f32(number)
    }

    fn decode(self) -> f32 {
        self.to_f32()
    }
}

/// Replace each number by its sum over all processes, which is the same to the bit on each. A single process keeps its
/// numbers as they are.
pub fn all_reduce<W: Wire>(ranks: &dyn Communicator, numbers: &mut [W::Sum]) {
    if ranks.size() == 1 {
        return;
    }
    for block in numbers.chunks_mut(BLOCK) {
        reduce_block::<W>(ranks, block);
    }
}

fn reduce_block<W: Wire>(ranks: &dyn Communicator, block: &mut [W::Sum]) {
    let size = ranks.size();
    let part = block.len().div_ceil(size);
    let mut sent: Vec<W> = block.iter().map(|&number| W::encode(number)).collect();
    sent.resize(part * size, W::zeroed()); // (ranks, part)
    let mut received = vec![W::zeroed(); part * size];
    ranks.all_to_all(cast_slice(&sent), cast_slice_mut(&mut received));
    let (first, others) = received.split_at(part);
    let mut sums: Vec<W::Sum> = first.iter().map(|number| number.decode()).collect();
    for other in others.chunks_exact(part) {
        for (sum, number) in sums.iter_mut().zip(other) {
            *sum += number.decode();
        }
    }
    let own: Vec<W> = sums.into_iter().map(W::encode).collect();
    ranks.all_gather(cast_slice(&own), cast_slice_mut(&mut sent));
    // This rank, too, takes its sums in the form in which the others receive them.
    for (number, sum) in block.iter_mut().zip(&sent) {
        *number = sum.decode();
    }
}
