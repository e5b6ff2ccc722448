//! Mutations of files. Each draws from the generator of its run and from nothing else.

mod bytes;
mod json;
mod table;
mod tensors;
mod toml;

use std::fs;
use std::path::Path;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::Result;
use crate::flags::Manual;

/// Mutates the file at `path` in a way that suits its kind. `other` is spliced in now and then.
pub fn file(path: &Path, other: &[u8], manual: &Manual, rng: &mut ChaCha8Rng) -> Result<()> {
    let mut content = fs::read(path)?;
    let kind = path.extension().and_then(|kind| kind.to_str()).unwrap_or_default();
    for _ in 0..rng.random_range(1..4) {
        content = match kind {
            _ if rng.random_bool(0.3) => bytes::mutate(content, other, rng),
            "json" => json::mutate(&content, rng),
            "jsonl" => json::mutate_line(&content, rng),
            "safetensors" | "state" => tensors::mutate(content, rng),
            "toml" => toml::mutate(&content, manual, rng),
            _ => table::mutate(content, rng),
        };
    }
    Ok(fs::write(path, content)?)
}
