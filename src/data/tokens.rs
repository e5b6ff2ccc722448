//! The tokens of a split: in memory if there are few, otherwise in a temporary file. `tokens/parts.rs` divides them
//! among the processes of a run.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;

use rayon::prelude::*;

use super::{Corpus, Piece, Split};
use crate::tokenizer::{Tokenizer, Unknown};
use crate::{Error, Result};

mod parts;

/// The most bytes of tokens that stay in memory.
const SMALL: usize = 16 << 20;

/// The amount of text that is encoded at a time, in bytes.
const BATCH: usize = 4 << 20;

/// All tokens of one split in order, read by position.
///
/// A token takes two bytes if the vocabulary has at most 65,536 entries, otherwise four. The temporary file has no
/// name and is deleted with the stream, however the program ends.
///
/// Of several processes each holds a part of the tokens; the counts are those of all.
#[derive(Debug)]
pub struct SplitTokens {
    storage: Storage,
    width: Width,
    /// The positions of the tokens that this process holds.
    held: Range<u64>,
    /// The number of tokens of all processes.
    len: u64,
    characters: u64,
    unknown: Unknown,
}

#[derive(Debug)]
enum Storage {
    Memory(Vec<u8>),
    File(File),
}

/// The number of bytes of a token, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Width {
    Two,
    Four,
}

impl Width {
    fn bytes(self) -> usize {
        match self {
            Self::Two => 2,
            Self::Four => 4,
        }
    }
}

impl SplitTokens {
    /// Encode one split of a corpus, in parallel over pieces. At most a few megabytes of its text are in memory at a
    /// time.
    ///
    /// # Errors
    /// As [`Corpus::pieces`] and [`Tokenizer::append_ended`], and if the temporary folder is full or read-only.
    pub fn encode(corpus: &Corpus, split: Split, tokenizer: &Tokenizer) -> Result<Self> {
        Self::collect(corpus.pieces(split)?, tokenizer, SMALL)
    }

    /// Encode `pieces`. The tokens move to a temporary file when they take more than `small` bytes.
    fn collect(
        pieces: impl Iterator<Item = Result<Piece>>,
        tokenizer: &Tokenizer,
        small: usize,
    ) -> Result<Self> {
        let width = if tokenizer.vocabulary_size() <= 1 << 16 { Width::Two } else { Width::Four };
        let mut spool = Spool::new(small);
        let mut stream = Self {
            storage: Storage::Memory(Vec::new()),
            width,
            held: 0..0,
            len: 0,
            characters: 0,
            unknown: Unknown::default(),
        };
        let mut batch = Vec::new();
        let mut size = 0;
        for piece in pieces {
            let piece = piece?;
            size += piece.text.len();
            batch.push(piece);
            if size >= BATCH {
                stream.append(&batch, tokenizer, &mut spool)?;
                batch.clear();
                size = 0;
            }
        }
        stream.append(&batch, tokenizer, &mut spool)?;
        stream.storage = spool.finish()?;
        stream.held = 0..stream.len;
        Ok(stream)
    }

    /// A stream of these tokens, each below 65,536.
    #[cfg(test)]
    pub(crate) fn from_ids(ids: &[u32]) -> Self {
        let mut spool = Spool::new(usize::MAX);
        spool.write(ids, Width::Two).unwrap();
        let (storage, len) = (spool.finish().unwrap(), ids.len() as u64);
        Self { storage, width: Width::Two, held: 0..len, len, characters: 0, unknown: Unknown::default() }
    }

    fn append(&mut self, batch: &[Piece], tokenizer: &Tokenizer, spool: &mut Spool) -> Result<()> {
        let encode = |pieces: &[Piece]| -> Result<(Vec<u32>, u64, Unknown)> {
            let (mut ids, mut characters, mut unknown) = (Vec::new(), 0, Unknown::default());
            for piece in pieces {
                unknown += tokenizer.append_ended(&piece.text, piece.end, &mut ids)?;
                characters += piece.text.chars().count() as u64;
            }
            Ok((ids, characters, unknown))
        };
        // Several shares for each thread, because pieces differ in length.
        let share = batch.len().div_ceil(8 * rayon::current_num_threads()).max(1);
        let encoded: Vec<_> = batch.par_chunks(share).map(encode).collect::<Result<_>>()?;
        for (ids, characters, unknown) in encoded {
            self.len += ids.len() as u64;
            self.characters += characters;
            self.unknown += unknown;
            spool.write(&ids, self.width)?;
        }
        Ok(())
    }

    /// Keep the first `len` tokens.
    pub fn truncate(&mut self, len: u64) {
        self.len = self.len.min(len);
    }

    /// The number of tokens, with end tokens.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of Unicode code points of the text, with line ends: the divisor of bits per character.
    pub fn characters(&self) -> u64 {
        self.characters
    }

    /// Count of what is unknown in the text.
    pub fn unknown(&self) -> Unknown {
        self.unknown
    }

    /// Fill `ids` with the tokens from position `start` on. The stream has no current position, so callers can share
    /// it.
    ///
    /// # Errors
    /// If the range reaches past the end or to tokens that this process does not hold, or the temporary file cannot be
    /// read.
    pub fn read(&self, start: u64, ids: &mut [u32]) -> Result<()> {
        let (wanted, held) = (ids.len(), &self.held);
        let end = start.checked_add(wanted as u64).filter(|&end| end <= self.len.min(held.end));
        if end.is_none() || start < held.start {
            let problem = format!("no {wanted} tokens from {start} on: there are {}", self.len);
            return Err(Error::Message(format!("{problem}, here those of {held:?}")));
        }
        let (width, place) = (self.width.bytes(), start - held.start);
        match &self.storage {
            Storage::Memory(bytes) => self.unpack(&bytes[place as usize * width..][..wanted * width], ids),
            Storage::File(file) => {
                let mut bytes = vec![0; wanted * width];
                read_exact_at(file, &mut bytes, place * width as u64).map_err(|error| spool_error(&error))?;
                self.unpack(&bytes, ids);
            }
        }
        Ok(())
    }

    fn unpack(&self, bytes: &[u8], ids: &mut [u32]) {
        match self.width {
            Width::Two => {
                for (id, bytes) in ids.iter_mut().zip(bytes.as_chunks().0) {
                    *id = u16::from_le_bytes(*bytes).into();
                }
            }
            Width::Four => {
                for (id, bytes) in ids.iter_mut().zip(bytes.as_chunks().0) {
                    *id = u32::from_le_bytes(*bytes);
                }
            }
        }
    }
}

/// Tokens that are being written: in memory if they are few, then in a file.
struct Spool {
    memory: Vec<u8>,
    file: Option<BufWriter<File>>,
    small: usize,
}

impl Spool {
    fn new(small: usize) -> Self {
        Self { memory: Vec::new(), file: None, small }
    }

    fn write(&mut self, ids: &[u32], width: Width) -> Result<()> {
        match width {
            // A vocabulary of at most 2^16 has no greater number.
            Width::Two => self.memory.extend(ids.iter().flat_map(|&id| (id as u16).to_le_bytes())),
            Width::Four => self.memory.extend(ids.iter().flat_map(|&id| id.to_le_bytes())),
        }
        if self.file.is_none() && self.memory.len() > self.small {
            self.file = Some(BufWriter::new(tempfile::tempfile().map_err(|error| spool_error(&error))?));
        }
        if let Some(file) = &mut self.file {
            file.write_all(&self.memory).map_err(|error| spool_error(&error))?;
            self.memory.clear();
        }
        Ok(())
    }

    fn finish(self) -> Result<Storage> {
        match self.file {
            None => Ok(Storage::Memory(self.memory)),
            Some(file) => {
                Ok(Storage::File(file.into_inner().map_err(|error| spool_error(&error.into_error()))?))
            }
        }
    }
}

fn spool_error(error: &std::io::Error) -> Error {
    let advice = match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            "has no room left for the tokens"
        }
        _ => "cannot hold the tokens",
    };
    Error::file(std::env::temp_dir(), format!("{advice} ({error}); set TMPDIR to a folder with more room"))
}

#[cfg(unix)]
fn read_exact_at(file: &File, bytes: &mut [u8], offset: u64) -> std::io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_exact_at(file: &File, mut bytes: &mut [u8], mut offset: u64) -> std::io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
            read => {
                bytes = &mut bytes[read..];
                offset += read as u64;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
