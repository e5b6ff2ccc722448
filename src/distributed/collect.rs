//! Small values of all processes.

use bytemuck::{cast_slice, cast_slice_mut};

use super::communicator::Communicator;

/// Return the bytes of every rank, in the order of the ranks. Their lengths may differ.
pub fn gather(ranks: &dyn Communicator, own: &[u8]) -> Vec<Vec<u8>> {
    let lengths: Vec<usize> =
        gather_numbers(ranks, [own.len() as f64]).into_iter().map(|[length]| length as usize).collect();
    let longest = lengths.iter().copied().max().unwrap_or_default();
    if longest == 0 {
        return vec![vec![]; lengths.len()];
    }
    let mut padded = own.to_vec();
    padded.resize(longest, 0);
    let mut all = vec![0; longest * lengths.len()];
    ranks.all_gather(&padded, &mut all);
    all.chunks_exact(longest).zip(lengths).map(|(bytes, length)| bytes[..length].to_vec()).collect()
}

/// Return the numbers of every rank, in the order of the ranks.
pub fn gather_numbers<const N: usize>(ranks: &dyn Communicator, own: [f64; N]) -> Vec<[f64; N]> {
    let mut all = vec![0.; N * ranks.size()];
    ranks.all_gather(cast_slice(&own), cast_slice_mut(&mut all));
    all.as_chunks::<N>().0.to_vec()
}

/// Whether the value is true on any rank.
pub fn any(ranks: &dyn Communicator, value: bool) -> bool {
    gather_numbers(ranks, [f64::from(u8::from(value))]).contains(&[1.])
}
