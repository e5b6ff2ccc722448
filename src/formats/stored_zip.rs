//! Zip archives whose records are not compressed, as PyTorch and Keras write them.

use std::fs::File;
use std::io::Read;

use zip::{CompressionMethod, ZipArchive};

use crate::contain::contain;

/// The first bytes of a zip archive.
pub(super) const ZIP: &[u8] = b"PK\x03\x04";

/// Return the directory of a zip archive, which `writer` writes.
///
/// # Errors
/// If the file is no zip archive; the error is the problem alone.
pub(super) fn archive(file: File, writer: &str) -> Result<ZipArchive<File>, String> {
    contain(|| ZipArchive::new(file))?.map_err(|error| {
        format!("is cut short or not a zip archive, as {writer} writes: {error}; copy it again")
    })
}

/// Open a record, which must not be compressed: a small file could otherwise hold any number of bytes.
///
/// # Errors
/// If there is no such record, or it is compressed or damaged; the error is the problem alone.
pub(super) fn record<'a>(
    archive: &'a mut ZipArchive<File>,
    name: &str,
    writer: &str,
) -> Result<impl Read + use<'a>, String> {
    let index =
        archive.index_for_name(name).ok_or_else(|| format!("has no record {name}; copy the file again"))?;
    let damaged = |error: String| format!("has a damaged record {name}: {error}; copy the file again");
    let method = contain(|| archive.by_index_raw(index).map(|record| record.compression()));
    match method.map_err(damaged)?.map_err(|error| damaged(error.to_string()))? {
        CompressionMethod::Stored => {}
        _ => {
            return Err(format!("has a compressed record {name}; expected an archive as {writer} writes it"));
        }
    }
    contain(|| archive.by_index(index)).map_err(damaged)?.map_err(|error| damaged(error.to_string()))
}
