//! The tensors of a file: their elements in the file itself, or in files beside it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use prost::bytes::Bytes;

use super::proto::{Element, Tensor as Message};
use crate::{Error, regular_file};

/// The value of `data_location` for elements in another file.
const EXTERNAL: i32 = 1;

/// The elements of a tensor.
pub(super) enum Elements {
    /// Floats of any width.
    Floats(Tensor),
    /// Integers of at most 32 bits, as f32.
    Quantised(Tensor),
    /// Whole numbers, as of shapes and indices, with the rank of their tensor.
    Integers(Vec<i64>, usize),
}

/// The folder of a model, with the files beside it.
pub(super) struct Folder {
    path: PathBuf,
    /// The bytes that have been read of each file.
    read: RefCell<BTreeMap<PathBuf, u64>>,
}

impl Folder {
    /// Return the folder of the model at `path`.
    pub(super) fn of(path: &Path) -> Self {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        Self { path: folder.unwrap_or(Path::new(".")).into(), read: RefCell::default() }
    }

    /// Read the elements of a tensor. The error is the problem alone, as a sentence about the tensor.
    ///
    /// # Errors
    /// If the elements are of an unknown type, fewer or more than its shape says, in a file outside the folder, or
    /// cannot be read.
    pub(super) fn elements(&self, message: &Message) -> Result<Elements, String> {
        let sizes = message.dims.iter().map(|&size| usize::try_from(size).ok());
        let dims = sizes.collect::<Option<Vec<usize>>>();
        let count =
            dims.as_ref().and_then(|dims| dims.iter().try_fold(1_usize, |n, &size| n.checked_mul(size)));
        let (Some(dims), Some(count)) = (dims, count) else {
            return Err(format!("has the shape {:?}; expected sizes from 0", message.dims));
        };
        let width = match message.data_type() {
            Element::Float | Element::Int32 => 4,
            Element::Float16 | Element::Bfloat16 => 2,
            Element::Double | Element::Int64 => 8,
            Element::Int8 | Element::Uint8 | Element::Bool => 1,
            Element::Undefined => {
                let kind = message.data_type.unwrap_or_default();
                return Err(format!("has elements of type {kind}; expected floats or whole numbers"));
            }
        };
        let needed = count.checked_mul(width).filter(|&needed| i64::try_from(needed).is_ok());
        let needed = needed.ok_or_else(|| format!("has the shape {dims:?}, larger than any file"))?;
        let bytes = match message.data_location() {
            EXTERNAL => self.external(message, needed)?,
            _ => inline(message),
        };
        if bytes.len() != needed {
            let found = bytes.len();
            return Err(format!("has {found} bytes; its shape {dims:?} needs {needed}; export it again"));
        }
        decoded(message.data_type(), &bytes, &dims).map_err(|error| Error::from(error).to_string())
    }

    /// Read `needed` bytes of a tensor from the file that it names.
    fn external(&self, message: &Message, needed: usize) -> Result<Bytes, String> {
        let entry = |key: &str| {
            message.external_data.iter().find(|entry| entry.key() == key).map(|entry| entry.value())
        };
        let number = |key: &str| match entry(key).map(str::parse::<u64>) {
            None => Ok(None),
            Some(Ok(number)) => Ok(Some(number)),
            Some(Err(_)) => Err(format!("has no valid {key} in another file; export it again")),
        };
        let location = entry("location").unwrap_or_default();
        let path = self.inside(location)?;
        let failed =
            |error: &dyn std::fmt::Display| format!("is in {location}, which cannot be read: {error}");
        let (mut file, size) = regular_file::open(&path).map_err(|error| failed(&error))?;
        let offset = number("offset")?.unwrap_or(0);
        let length = number("length")?.unwrap_or(needed as u64);
        if length != needed as u64 {
            let dims = &message.dims;
            return Err(format!(
                "has {length} bytes in {location}; its shape {dims:?} needs {needed}; export it again"
            ));
        }
        if offset.checked_add(length).is_none_or(|end| end > size) {
            return Err(format!(
                "is at byte {offset} of {location} with {length} bytes, but the file has {size}; copy it again"
            ));
        }
        let mut read = self.read.borrow_mut();
        let total = read.entry(path).or_default();
        *total = total.saturating_add(length);
        // A small file could otherwise describe any number of tensors by naming the same bytes again.
        if *total > size {
            return Err(format!("overlaps others in {location}; export the model with a copy of each"));
        }
        let mut bytes = vec![];
        file.seek(SeekFrom::Start(offset)).map_err(|error| failed(&error))?;
        file.take(length).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
        Ok(bytes.into())
    }

    /// Return the path of a file in the folder.
    fn inside(&self, location: &str) -> Result<PathBuf, String> {
        let outside = || {
            format!(
                "is in the file {location:?}, outside the folder of the model; expected a file beside the model"
            )
        };
        let relative = Path::new(location);
        let mut parts = relative.components().filter(|part| *part != Component::CurDir).peekable();
        if parts.peek().is_none() || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(outside());
        }
        let failed = |error| format!("is in {location}, which cannot be read: {error}");
        // A link in the folder may lead out of it.
        let folder = self.path.canonicalize().map_err(failed)?;
        let path = folder.join(relative).canonicalize().map_err(failed)?;
        if path.starts_with(&folder) { Ok(path) } else { Err(outside()) }
    }
}

/// Return the bytes of a tensor that is in the file itself, whichever field has them.
fn inline(message: &Message) -> Bytes {
    if let Some(raw) = message.raw_data.as_ref().filter(|raw| !raw.is_empty()) {
        return raw.clone();
    }
    let small = message.int32_data.iter();
    let bytes: Vec<u8> = match message.data_type() {
        Element::Float => message.float_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Element::Double => message.double_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Element::Int64 => message.int64_data.iter().flat_map(|x| x.to_le_bytes()).collect(),
        Element::Int32 => small.flat_map(|x| x.to_le_bytes()).collect(),
        Element::Float16 | Element::Bfloat16 => small.flat_map(|&x| (x as u16).to_le_bytes()).collect(),
        _ => small.map(|&x| x as u8).collect(),
    };
    bytes.into()
}

/// Return the elements of bytes whose number fits the shape.
fn decoded(element: Element, bytes: &[u8], dims: &[usize]) -> candle_core::Result<Elements> {
    let floats = |dtype| Tensor::from_raw_buffer(bytes, dtype, dims, &Device::Cpu).map(Elements::Floats);
    let quantised = |elements| Tensor::from_vec(elements, dims, &Device::Cpu).map(Elements::Quantised);
    let int32 = || bytes.as_chunks().0.iter().map(|&bytes| i32::from_le_bytes(bytes));
    match element {
        Element::Float => floats(DType::F32),
        Element::Float16 => floats(DType::F16),
        Element::Bfloat16 => floats(DType::BF16),
        Element::Double => floats(DType::F64),
        Element::Int8 => quantised(bytes.iter().map(|&byte| f32::from(byte as i8)).collect()),
        Element::Uint8 | Element::Bool => quantised(bytes.iter().map(|&byte| f32::from(byte)).collect()),
        Element::Int32 if dims.len() > 1 || dims.first().is_some_and(|&size| size > MOST_INTEGERS) => {
            quantised(int32().map(|x| x as f32).collect())
        }
        Element::Int32 => Ok(Elements::Integers(int32().map(i64::from).collect(), dims.len())),
        Element::Int64 | Element::Undefined => {
            let numbers = bytes.as_chunks().0.iter().map(|&bytes| i64::from_le_bytes(bytes)).collect();
            Ok(Elements::Integers(numbers, dims.len()))
        }
    }
}

/// The most whole numbers that are taken as a shape or indices.
pub(super) const MOST_INTEGERS: usize = 64;
