//! A data file as UTF-8: the file itself, or a decoded copy.
//!
//! Readers work by byte position, so that large files are streamed. A file in another encoding is therefore decoded
//! once, when it is opened, into a temporary file without a name, which vanishes with its last reader.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use encoding_rs::DecoderResult;

use super::detect::{Detected, detect, is_foreign, is_utf8};
use super::encoding::Encoding;
use super::file_reader::FileReader;
use crate::listing::thousands;
use crate::{Error, Result};

/// A data file as UTF-8.
#[derive(Clone, Debug)]
pub(super) struct Utf8File {
    path: PathBuf,
    file: Arc<File>,
    range: Range<u64>,
    note: Option<String>,
}

/// A reader of the text of a file as UTF-8, after a byte-order mark, and the encoding that was assumed, as a line for
/// the user.
///
/// # Errors
/// If the path is not a regular file, or the file cannot be read, is empty or is not text.
pub fn open_utf8(path: &Path, encoding: Option<Encoding>) -> Result<(Box<dyn Read + Send>, Option<String>)> {
    let file = Utf8File::open(path, encoding)?;
    let note = file.note().map(|note| format!("{}: {note}", path.display()));
    Ok((Box::new(file.reader(file.range())), note))
}

impl Utf8File {
    /// Open a file in the given encoding, or else in the one that its bytes suggest.
    ///
    /// # Errors
    /// If the path is not a regular file, or the file cannot be read, is empty, is not text, or has many bytes that the
    /// encoding does not allow.
    pub fn open(path: &Path, encoding: Option<Encoding>) -> Result<Self> {
        let problem = |error: io::Error| Error::file(path, error);
        // Opening a pipe would wait for its writer.
        let about = std::fs::metadata(path).map_err(problem)?;
        if about.is_dir() {
            return Err(Error::file(path, "is a folder; expected a text, .csv, .tsv or .jsonl file"));
        }
        if !about.is_file() {
            let reason = "is a pipe or device; expected a regular file, because data is read more than once";
            return Err(Error::file(path, format!("{reason}: write it to a file first")));
        }
        if about.len() == 0 {
            return Err(Error::file(path, "is empty; expected text"));
        }
        let file = Arc::new(File::open(path).map_err(problem)?);
        let found = match encoding {
            Some(encoding) => Detected::Text { encoding, mark: mark_of(&file, encoding).map_err(problem)? },
            None => detect(&file).map_err(problem)?,
        };
        let (assumed, mark) = match found {
            Detected::Text { encoding, mark } => (encoding, mark),
            Detected::Utf32 => {
                let problem =
                    "is UTF-32, which is not read; convert it to UTF-8, as `iconv -f UTF-32 -t UTF-8` does";
                return Err(Error::file(path, problem));
            }
            Detected::Binary => {
                let problem =
                    "is binary, not text; expected UTF-8, or another encoding that option `encoding` names";
                return Err(Error::file(path, problem));
            }
        };
        let opened = Self { path: path.to_path_buf(), file, range: mark..about.len(), note: None };
        if assumed.is_utf8() {
            return Ok(opened);
        }
        let doubt = match encoding {
            Some(named) => opened.doubt(named)?,
            None => None,
        };
        let mut decoded = opened.decoded(assumed, encoding.is_none())?;
        decoded.note = decoded.note.or(doubt);
        Ok(decoded)
    }

    /// A note about an encoding that the user names for a file that is UTF-8.
    ///
    /// # Errors
    /// If the file is UTF-8 and the encoding is UTF-16: every character would be wrong.
    fn doubt(&self, named: Encoding) -> Result<Option<String>> {
        let problem = |error: io::Error| Error::file(&self.path, error);
        if !is_utf8(&self.file).map_err(problem)? {
            return Ok(None);
        }
        if named.is_utf16() {
            let problem = format!("is UTF-8, not {named}; leave option `encoding` out");
            return Err(Error::file(&self.path, problem));
        }
        let note = || {
            format!(
                "is UTF-8, but is read as {named}, as option `encoding` says; its characters beyond ASCII may be wrong"
            )
        };
        Ok(is_foreign(&self.file).map_err(problem)?.then(note))
    }

    /// The path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The positions of the text, after a byte-order mark.
    pub fn range(&self) -> Range<u64> {
        self.range.clone()
    }

    /// The encoding that was assumed; `None` for UTF-8.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// A reader of the bytes in `range`.
    pub fn reader(&self, range: Range<u64>) -> FileReader {
        FileReader::new(self.file.clone(), range)
    }

    /// A copy in UTF-8. `guessed` tells whether the encoding was detected; then a note names it.
    fn decoded(self, encoding: Encoding, guessed: bool) -> Result<Self> {
        let problem = |error: io::Error| Error::file(&self.path, error);
        let copy = tempfile::tempfile().map_err(|error| no_copy(&error))?;
        let mut copy = Counted { to: BufWriter::new(copy), bytes: 0 };
        let mut reader = self.reader(self.range());
        let mut decoder = encoding.0.new_decoder_without_bom_handling();
        let mut buffer = vec![0; 1 << 16];
        let mut replaced = 0;
        loop {
            let read = reader.read(&mut buffer).map_err(problem)?;
            let wrong = decode(&mut decoder, &buffer[..read], read == 0, &mut copy);
            replaced += wrong.map_err(|error| no_copy(&error))?;
            if read == 0 {
                break;
            }
        }
        if replaced * 50 > copy.bytes {
            let count = thousands(replaced);
            let problem = format!(
                "is not {encoding}: {count} byte sequences cannot be decoded; name the encoding with option `encoding`"
            );
            return Err(Error::file(&self.path, problem));
        }
        let (range, to) = (0..copy.bytes, copy.to);
        let file = to.into_inner().map_err(|error| no_copy(&error.into_error()))?;
        Ok(Self { file: Arc::new(file), range, note: note(encoding, guessed, replaced), ..self })
    }
}

/// The length of a byte-order mark of that encoding.
fn mark_of(file: &File, encoding: Encoding) -> io::Result<u64> {
    let mut head = [0; 3];
    let read = super::file_reader::read_at(file, &mut head, 0)?;
    let mark = encoding_rs::Encoding::for_bom(&head[..read]);
    Ok(mark.filter(|(found, _)| *found == encoding.0).map_or(0, |(_, length)| length as u64))
}

/// Decode bytes, with U+FFFD for each sequence that is malformed. Return the number of those.
fn decode(
    decoder: &mut encoding_rs::Decoder,
    mut bytes: &[u8],
    last: bool,
    to: &mut impl Write,
) -> io::Result<u64> {
    let mut text = [0; 1 << 14];
    let mut replaced = 0;
    loop {
        let (result, read, written) = decoder.decode_to_utf8_without_replacement(bytes, &mut text, last);
        to.write_all(&text[..written])?;
        bytes = &bytes[read..];
        match result {
            DecoderResult::InputEmpty => return Ok(replaced),
            DecoderResult::OutputFull => {}
            DecoderResult::Malformed(..) => {
                to.write_all("\u{FFFD}".as_bytes())?;
                replaced += 1;
            }
        }
    }
}

/// The note about a decoded file.
fn note(encoding: Encoding, guessed: bool, replaced: u64) -> Option<String> {
    let assumed = || format!("is not UTF-8; read as {encoding} (option `encoding` names another)");
    let wrong = || format!("{} byte sequences are not {encoding} and became U+FFFD", thousands(replaced));
    match (guessed, replaced) {
        (false, 0) => None,
        (true, 0) => Some(assumed()),
        (false, _) => Some(wrong()),
        (true, _) => Some(format!("{}; {}", assumed(), wrong())),
    }
}

/// A writer that counts bytes.
struct Counted<W> {
    to: W,
    bytes: u64,
}

impl<W: Write> Write for Counted<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.to.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

fn no_copy(error: &io::Error) -> Error {
    let problem =
        format!("cannot hold the text decoded to UTF-8 ({error}); set TMPDIR to a folder with more room");
    Error::file(std::env::temp_dir(), problem)
}
