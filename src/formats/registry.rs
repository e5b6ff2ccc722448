//! The list of formats.

use std::io::Read;
use std::path::Path;

use zip::ZipArchive;

use super::format::{Format, HEAD};
use super::keras::Keras;
use super::onnx::Onnx;
use super::pytorch::Pytorch;
use crate::contain::contain;
use crate::{Error, Result, regular_file};

/// All formats.
pub const FORMATS: [&dyn Format; 3] = [&Pytorch, &Keras, &Onnx];

/// The first bytes of a zip archive, which the files of several programs are.
const ZIP: &[u8] = b"PK\x03\x04";

/// Whether a zip archive has its directory, which is at its end.
fn is_whole_zip(path: &Path) -> bool {
    let Ok((file, _)) = regular_file::open(path) else { return false };
    contain(|| ZipArchive::new(file).is_ok()).is_ok_and(|is_whole| is_whole)
}

/// Return the format of a file, by its content.
///
/// # Errors
/// If the file cannot be read or is of no format that is known.
pub fn recognised(path: &Path) -> Result<&'static dyn Format> {
    if path.is_dir() {
        let problem = "is a folder; expected a file of PyTorch, Keras or ONNX, such as .pt, .safetensors, .keras or .onnx";
        return Err(Error::file(path, problem));
    }
    let (file, _) = regular_file::open(path)?;
    let mut head = vec![];
    let read = file.take(HEAD as u64).read_to_end(&mut head);
    read.map_err(|error| Error::file(path, format!("cannot be read: {error}")))?;
    FORMATS.into_iter().find(|format| format.recognises(path, &head)).ok_or_else(|| {
        let known: Vec<&str> = FORMATS.iter().map(|format| format.summary()).collect();
        let problem = match &head[..] {
            [] => "is empty".to_string(),
            _ if head.starts_with(ZIP) && !is_whole_zip(path) => {
                "is a zip archive that is cut short; copy it again".to_string()
            }
            _ => format!("is none of the formats that are read: {}", known.join("; ")),
        };
        Error::file(path, problem)
    })
}
