//! A bundle as files of another framework.

use std::path::{Path, PathBuf};

use candle_core::Device;

use super::format::{Format, NewFile};
use super::vocabulary::BESIDE;
use crate::bundle::load;
use crate::{Error, Result, atomic};

/// Write the bundle at `path` in a format, as `out` and the files that the format puts beside it, and its tokenizer, if
/// it has one, as `STEM.tokenizer.json`. Returns the files. Existing ones of
/// other content are replaced with `force` alone.
///
/// # Errors
/// If the bundle cannot be loaded, the format has no such network, or a file exists or cannot be written.
pub fn ship(path: &Path, format: &dyn Format, out: &Path, force: bool) -> Result<Vec<PathBuf>> {
    let loaded = load(path)?;
    let tokenizer = loaded.tokenizer_bytes()?;
    check_replaceable(out, force)?; // before the parameters are read
    let parameters = loaded.read(&Device::Cpu)?.parameters;
    let mut files = format.export(&loaded.config, &parameters, out).map_err(|error| match error {
        Error::Message(problem) => Error::file(path, problem),
        error => error,
    })?;
    let beside = |bytes| NewFile { path: out.with_extension(BESIDE), bytes };
    files.extend(tokenizer.map(beside));
    // An export to another format beside this one leaves the same tokenizer.
    let is_there = |file: &&NewFile| std::fs::read(&file.path).is_ok_and(|bytes| bytes == file.bytes);
    for file in files.iter().filter(|file| !is_there(file)) {
        check_replaceable(&file.path, force)?;
    }
    for NewFile { path, bytes } in &files {
        let written = atomic::write(path, bytes);
        written.map_err(|error| Error::file(path, format!("cannot be written: {error}")))?;
    }
    Ok(files.into_iter().map(|file| file.path).collect())
}

fn check_replaceable(path: &Path, force: bool) -> Result<()> {
    let problem = match path.exists() {
        true if path.is_dir() => "is a folder; choose another option `out`",
        true if !force => "exists; set option `force` to replace it, or choose another option `out`",
        _ => return Ok(()),
    };
    Err(Error::file(path, problem))
}
