//! Small values of all processes, and a value of the first.

use bytemuck::{Pod, cast_slice, cast_slice_mut};

use super::communicator::Communicator;

/// Return the bytes of every rank, in the order of the ranks. Their lengths may differ.
pub fn gather(ranks: &dyn Communicator, own: &[u8]) -> Vec<Vec<u8>> {
    let lengths: Vec<usize> = gather_numbers(ranks, [own.len()]).concat();
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
pub fn gather_numbers<T: Pod, const N: usize>(ranks: &dyn Communicator, own: [T; N]) -> Vec<[T; N]> {
    let mut all = vec![T::zeroed(); N * ranks.size()];
    ranks.all_gather(cast_slice(&own), cast_slice_mut(&mut all));
    all.as_chunks::<N>().0.to_vec()
}

/// Return the bytes of the first rank; those of the others are not used.
pub fn broadcast(ranks: &dyn Communicator, own: Vec<u8>) -> Vec<u8> {
    let [length] = gather_numbers(ranks, [own.len()])[0];
    let mut bytes = own;
    let mut sent: Vec<&[u8]> = vec![&[]; ranks.size()];
    let mut received: Vec<&mut [u8]> = (0..ranks.size()).map(|_| &mut [][..]).collect();
    if ranks.is_first() {
        sent.fill(&bytes);
    } else {
        bytes = vec![0; length];
        received[0] = &mut bytes;
    }
    ranks.exchange(&sent, &mut received);
    bytes
}

/// Whether the value is true on any rank.
pub fn any(ranks: &dyn Communicator, value: bool) -> bool {
    gather_numbers(ranks, [u8::from(value)]).contains(&[1])
}
