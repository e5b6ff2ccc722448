//! PyTorch as a format of the registry.

use std::io::Read;
use std::path::Path;

use super::export::export;
use super::file::{LEGACY, is_torch_archive};
use super::import::import;
use crate::bundle::Config;
use crate::formats::format::{Format, HEAD, ImportOptions, Imported, NewFile};
use crate::formats::stored_zip::ZIP;
use crate::parameters::NamedTensors;
use crate::{Error, Result, regular_file};

/// The first byte of the header of a safetensors file, after its size in eight bytes.
const JSON: u8 = b'{';

/// The largest header of a safetensors file, in bytes, by its specification.
const LARGEST_HEADER: u64 = 100_000_000;

/// State dicts of PyTorch.
pub struct Pytorch;

impl Format for Pytorch {
    fn name(&self) -> &'static str {
        "pytorch"
    }

    fn summary(&self) -> &'static str {
        "PyTorch state dict (.pt, .pth, .bin, .safetensors)"
    }

    fn export_summary(&self) -> &'static str {
        "PyTorch state dict (.safetensors), and the Python file that loads it"
    }

    fn recognises(&self, path: &Path, head: &[u8]) -> bool {
        match head {
            _ if head.starts_with(ZIP) => is_torch_archive(path),
            _ if head.starts_with(LEGACY) => true,
            _ => head.get(8) == Some(&JSON) && has_header(path, head),
        }
    }

    fn import(&self, path: &Path, options: &ImportOptions) -> Result<Imported> {
        let mut head = vec![];
        let (file, _) = regular_file::open(path)?;
        let read = file.take(HEAD as u64).read_to_end(&mut head);
        read.map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
        import(path, &head, options)
    }

    fn export(&self, config: &Config, parameters: &NamedTensors, out: &Path) -> Result<Vec<NewFile>> {
        export(config, parameters, out)
    }
}

/// Whether a file is called safetensors, or its first eight bytes are the size of a header that safetensors allow: the
/// ninth byte of any other file may be a brace, too.
fn has_header(path: &Path, head: &[u8]) -> bool {
    let is_called = path.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("safetensors"));
    let size = head.first_chunk().map(|size| u64::from_le_bytes(*size));
    is_called || size.is_some_and(|size| size <= LARGEST_HEADER)
}
