//! The tokens of a split in several processes: each encodes a part of the text, and then keeps those that it reads.

use std::ops::Range;

use bytemuck::{cast_slice, cast_slice_mut};

use super::{Corpus, SMALL, Split, SplitTokens, Spool, Tokenizer};
use crate::Result;
use crate::data::Piece;
use crate::distributed::{Communicator, broadcast, gather_numbers, refusal};
use crate::hash::Fnv1a;
use crate::tokenizer::Unknown;

/// The most tokens that a process receives at a time, which bounds the memory of an exchange.
const BLOCK: u64 = 1 << 18;

/// The number and a hash of pieces of text.
struct Checksum {
    pieces: u64,
    hash: Fnv1a,
}

impl SplitTokens {
    /// Encode one split of a corpus as one of several processes: a part of it, see [`Corpus::part`]. The first process
    /// reads the whole split, too, and compares it with what the others have read.
    ///
    /// # Errors
    /// As [`SplitTokens::encode`], and the same error on all processes if one has read another text than the first.
    pub fn encode_part(
        corpus: &Corpus,
        split: Split,
        tokenizer: &Tokenizer,
        ranks: &dyn Communicator,
    ) -> Result<Self> {
        if ranks.size() == 1 {
            return Self::encode(corpus, split, tokenizer);
        }
        let mut read = Checksum::new();
        let pieces = corpus.part(split, ranks.shard())?.inspect(|piece| {
            // An error ends the reading.
            if let Ok(piece) = piece {
                read.add(piece);
            }
        });
        let part = Self::collect(pieces, tokenizer, SMALL)?;
        compare(corpus, split, &read, ranks)?;
        Ok(part.joined(ranks))
    }

    /// This part in its place among those of all processes.
    fn joined(mut self, ranks: &dyn Communicator) -> Self {
        let Self { len, characters, unknown: Unknown { tokens, dropped }, .. } = self;
        let parts = gather_numbers(ranks, [len, characters, tokens, dropped]);
        let sum = |of: usize| parts.iter().map(|counts| counts[of]).sum::<u64>();
        let first = parts[..ranks.rank()].iter().map(|counts| counts[0]).sum::<u64>();
        self.held = first..first + len;
        (self.len, self.characters) = (sum(0), sum(1));
        self.unknown = Unknown { tokens: sum(2), dropped: sum(3) };
        self
    }

    /// Add all tokens to a hash. Of several processes each adds its part, in the order of the ranks.
    ///
    /// # Errors
    /// If the tokens cannot be read back from the disk.
    pub(in crate::data) fn add_to(&self, hash: &mut Fnv1a, ranks: &dyn Communicator) -> Result<()> {
        let mut at = 0;
        for rank in 0..ranks.size() {
            if rank == ranks.rank() {
                at = self.add_held(at, hash)?;
            }
            [at, hash.0] = gather_numbers(ranks, [at, hash.0])[rank];
        }
        Ok(())
    }

    /// Add the tokens from position `at` on, as far as this process holds them. Return the position after the last.
    fn add_held(&self, mut at: u64, hash: &mut Fnv1a) -> Result<u64> {
        let end = self.held.end.min(self.len);
        let mut ids = vec![0; 1 << 16];
        while at < end {
            let ids = &mut ids[..(end - at).min(1 << 16) as usize];
            self.read(at, ids)?;
            ids.iter().for_each(|&id| hash.add(id));
            at += ids.len() as u64;
        }
        Ok(at)
    }

    /// Keep the tokens of `range` alone, which may differ between processes; a single process keeps all. Together the
    /// processes hold all tokens, and send them to those that keep them.
    ///
    /// # Errors
    /// If the tokens cannot be read back from the disk, or the temporary folder is full.
    pub(in crate::data) fn keep(&mut self, range: Range<u64>, ranks: &dyn Communicator) -> Result<()> {
        if ranks.size() == 1 {
            return Ok(());
        }
        let Range { start, end } = self.held;
        let ends = gather_numbers(ranks, [start, end, range.start, range.end]);
        // A token that several processes hold comes from the first of them.
        let mut before = 0;
        let held = ends.iter().map(|&[start, end, ..]| {
            let own = start.max(before)..end.max(before);
            before = own.end;
            own
        });
        let held: Vec<Range<u64>> = held.collect();
        let kept: Vec<Range<u64>> = ends.iter().map(|&[.., start, end]| start..end).collect();
        let longest = kept.iter().map(|kept| kept.end - kept.start).max().unwrap_or_default();
        let mut spool = Spool::new(SMALL);
        for from in (0..longest).step_by(BLOCK as usize) {
            let blocks =
                kept.iter().map(|kept| common(kept, &(kept.start + from..kept.start + from + BLOCK)));
            self.exchange_blocks(&held, &blocks.collect::<Vec<_>>(), ranks, &mut spool)?;
        }
        (self.storage, self.held) = (spool.finish()?, range);
        Ok(())
    }

    /// Send each process the tokens of its block that this one holds, and write those of the block of this one.
    fn exchange_blocks(
        &self,
        held: &[Range<u64>],
        blocks: &[Range<u64>],
        ranks: &dyn Communicator,
        spool: &mut Spool,
    ) -> Result<()> {
        let own = ranks.rank();
        let sent = blocks.iter().map(|block| self.tokens(common(&held[own], block)));
        let sent: Vec<Vec<u32>> = sent.collect::<Result<_>>()?;
        let length = |range: Range<u64>| (range.end - range.start) as usize;
        let mut received: Vec<Vec<u32>> =
            held.iter().map(|held| vec![0; length(common(held, &blocks[own]))]).collect();
        received[own].clone_from(&sent[own]);
        let sent: Vec<&[u8]> = sent.iter().map(|tokens| cast_slice(tokens)).collect();
        let mut parts: Vec<&mut [u8]> = received.iter_mut().map(|tokens| cast_slice_mut(tokens)).collect();
        ranks.exchange(&sent, &mut parts);
        received.iter().try_for_each(|tokens| spool.write(tokens, self.width))
    }

    /// The tokens of a range.
    fn tokens(&self, range: Range<u64>) -> Result<Vec<u32>> {
        let mut ids = vec![0; (range.end - range.start) as usize];
        if !ids.is_empty() {
            self.read(range.start, &mut ids)?;
        }
        Ok(ids)
    }
}

/// The positions of two ranges that are in both.
fn common(one: &Range<u64>, other: &Range<u64>) -> Range<u64> {
    let start = one.start.max(other.start);
    start..one.end.min(other.end).max(start)
}

impl Checksum {
    fn new() -> Self {
        Self { pieces: 0, hash: Fnv1a::new() }
    }

    fn add(&mut self, Piece { text, .. }: &Piece) {
        // Four bytes at a time: the highest bits of a word of eight would reach the highest bits of the hash alone.
        let (words, rest) = text.as_bytes().as_chunks();
        words.iter().for_each(|&word| self.hash.add(u32::from_ne_bytes(word)));
        self.hash.add_bytes(rest);
        self.hash.add(text.len() as u64);
        self.pieces += 1;
    }
}

/// Compare what each process has read with the text of the first, which reads all of it.
///
/// # Errors
/// The same error on all processes if one has read another text; and if the first cannot read its text.
fn compare(corpus: &Corpus, split: Split, read: &Checksum, ranks: &dyn Communicator) -> Result<()> {
    let found = gather_numbers(ranks, [read.pieces, read.hash.0]);
    let mut expected = vec![];
    if ranks.is_first() {
        let mut pieces = corpus.pieces(split)?;
        for (rank, &[count, _]) in found.iter().enumerate() {
            let mut checksum = Checksum::new();
            // The last part ends with the text.
            let count = if rank + 1 == found.len() { usize::MAX } else { count as usize };
            pieces.by_ref().take(count).try_for_each(|piece| piece.map(|piece| checksum.add(&piece)))?;
            expected.push(checksum.hash.0);
        }
    }
    let expected = broadcast(ranks, cast_slice(&expected).to_vec());
    let expected = expected.as_chunks().0.iter().map(|&hash| u64::from_ne_bytes(hash));
    for (rank, (&[_, found], expected)) in found.iter().zip(expected).enumerate() {
        if found != expected {
            let name = format!("a part of the {split} split with the checksum");
            return Err(refusal(rank, &name, &format!("{found:016x}"), &format!("{expected:016x}")));
        }
    }
    Ok(())
}
