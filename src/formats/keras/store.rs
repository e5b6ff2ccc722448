//! The groups, datasets and texts of an HDF5 file.
//!
//! The file is read by the crate hdf5-pure, over a source with a limit on reads. Objects are found by paths that this
//! program makes, so that a link back to a group above leads nowhere. The arrays that are read may together have no
//! more bytes than the file, or [`MOST_EXPANSION`] times as many if they are compressed.

use std::cell::Cell;

use half::f16;
use hdf5_pure::{DType, Dataset, Datatype, DatatypeByteOrder, File, FloatingPointLayout};

use super::limited_source::LimitedSource;
use crate::contain::contain;

/// The first bytes of a file.
pub(super) const HDF5: &[u8] = b"\x89HDF\r\n\x1a\n";

/// The most bytes that a byte of compressed arrays makes. Float weights shrink to nine tenths.
const MOST_EXPANSION: u64 = 32;

/// The bytes of compressed arrays in a file that is too small for [`MOST_EXPANSION`] to mean anything.
const SMALL: u64 = 1 << 20;

/// The largest length of an array in one dimension.
const LONGEST: u64 = 1 << 31;

/// The most dimensions of an array.
const MOST_DIMENSIONS: usize = 4;

/// An array of a file, in the order of its rows.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) elements: Vec<f32>,
}

/// An HDF5 file.
pub(super) struct Store {
    file: File,
    size: u64,
    /// The bytes of the arrays that have been read.
    taken: Cell<u64>,
    /// Bytes of compressed arrays that have been read, as they are without compression.
    expanded: Cell<u64>,
}

impl Store {
    /// Open a file of the given content. The error is the problem alone, as for all methods.
    ///
    /// # Errors
    /// If it is no HDF5 file, or cut short.
    pub(super) fn open(bytes: Vec<u8>) -> Result<Self, String> {
        let size = bytes.len() as u64;
        let file = safely(|| File::from_source(LimitedSource::new(bytes)))?;
        let whole = file.superblock().eof_address;
        if whole > size {
            return Err(format!("has {size} bytes of {whole}"));
        }
        Ok(Self { file, size, taken: Cell::new(0), expanded: Cell::new(0) })
    }

    /// Return an attribute of a group that is a text; `None` if there is none of that name.
    ///
    /// # Errors
    /// If the group is missing or damaged, or the attribute is no text.
    pub(super) fn text(&self, group: &str, name: &str) -> Result<Option<String>, String> {
        let Some(value) = self.attribute(group, name)? else { return Ok(None) };
        let text = value.as_str().map(String::from);
        text.map(Some).ok_or_else(|| format!("has an attribute {name} that is no text"))
    }

    /// Return an attribute of a group that is a list of texts; `None` if there is none of that name.
    ///
    /// # Errors
    /// If the group is missing or damaged, or the attribute is no list of texts.
    pub(super) fn texts(&self, group: &str, name: &str) -> Result<Option<Vec<String>>, String> {
        let Some(value) = self.attribute(group, name)? else { return Ok(None) };
        match value.as_strings() {
            Some(texts) => Ok(Some(texts.to_vec())),
            // An empty list is stored as one of numbers.
            None if value.to_f64s().is_some_and(|numbers| numbers.is_empty()) => Ok(Some(vec![])),
            None => Err(format!("has an attribute {name} that is no list of texts")),
        }
    }

    fn attribute(&self, group: &str, name: &str) -> Result<Option<hdf5_pure::AttrValue>, String> {
        let attributes = safely(|| self.file.group(group)?.attrs());
        let mut attributes =
            attributes.map_err(|problem| format!("has no readable attributes of {group}: {problem}"))?;
        Ok(attributes.remove(name))
    }

    /// Return the names of the groups inside a group, sorted; none if it is missing.
    ///
    /// # Errors
    /// If the group is damaged.
    pub(super) fn groups(&self, path: &str) -> Result<Vec<String>, String> {
        if !self.has_group(path) {
            return Ok(vec![]);
        }
        let names = safely(|| self.file.group(path)?.groups());
        let mut names = names.map_err(|problem| format!("has a damaged group {path}: {problem}"))?;
        names.sort();
        Ok(names)
    }

    /// Return the names of the datasets inside a group, sorted; none if it is missing.
    ///
    /// # Errors
    /// If the group is damaged.
    pub(super) fn datasets(&self, path: &str) -> Result<Vec<String>, String> {
        if !self.has_group(path) {
            return Ok(vec![]);
        }
        let names = safely(|| self.file.group(path)?.datasets());
        let mut names = names.map_err(|problem| format!("has a damaged group {path}: {problem}"))?;
        names.sort();
        Ok(names)
    }

    /// Whether there is a group of that path.
    pub(super) fn has_group(&self, path: &str) -> bool {
        safely(|| self.file.group(path).map(drop)).is_ok()
    }

    /// Return the shape of an array.
    ///
    /// # Errors
    /// If it is missing or damaged.
    pub(super) fn shape(&self, path: &str) -> Result<Vec<usize>, String> {
        let shape = safely(|| self.file.dataset(path)?.shape());
        let shape = shape.map_err(|problem| format!("has no readable array {path}: {problem}"))?;
        match shape.iter().find(|&&length| length > LONGEST) {
            Some(length) => {
                Err(format!("has a length of {length} in the array {path}; expected at most {LONGEST}"))
            }
            None => Ok(shape.into_iter().map(|length| length as usize).collect()),
        }
    }

    /// Read an array, as f32.
    ///
    /// # Errors
    /// If it is missing, holds no floats, or has more elements than the file has room for.
    pub(super) fn array(&self, path: &str) -> Result<Array, String> {
        let found = safely(|| {
            let dataset = self.file.dataset(path)?;
            let (shape, kind) = (dataset.shape()?, dataset.dtype()?);
            Ok((dataset, shape, kind))
        });
        let (dataset, shape, kind) =
            found.map_err(|problem| format!("has no readable array {path}: {problem}"))?;
        if !is_float(&kind) {
            return Err(format!("has an array {path} of {kind}; expected floats"));
        }
        if shape.len() > MOST_DIMENSIONS {
            return Err(format!("has an array {path} of {} dimensions; expected at most 3", shape.len()));
        }
        let width = match kind {
            DType::Other(_) => 2,
            DType::F64 => 8,
            _ => 4,
        };
        self.take(&dataset, &shape, width, path)?;
        let elements = safely(|| elements(&dataset, &kind));
        let elements = elements.map_err(|problem| format!("has a damaged array {path}: {problem}"))?;
        let shape: Vec<usize> = shape.iter().map(|&length| length as usize).collect();
        match shape.iter().product::<usize>() == elements.len() {
            true => Ok(Array { shape, elements }),
            false => Err(format!("has {} elements in the array {path} of shape {shape:?}", elements.len())),
        }
    }

    /// Count the bytes of an array, `width` for each element, that is about to be read.
    fn take(&self, dataset: &Dataset, shape: &[u64], width: u64, path: &str) -> Result<(), String> {
        let bytes = |shape: &[u64]| shape.iter().fold(width, |bytes, &length| bytes.saturating_mul(length));
        let damaged = |problem: String| format!("has a damaged array {path}: {problem}");
        let chunk = safely(|| dataset.chunk_shape()).map_err(damaged)?;
        if chunk.is_some() {
            let chunks = safely(|| dataset.chunks()).map_err(damaged)?;
            // The reader makes room for a chunk before it looks for its bytes.
            if chunks.iter().any(|chunk| chunk.storage_size > self.size) {
                return Err(damaged("a chunk is larger than the file".to_string()));
            }
        }
        let largest = bytes(shape).max(chunk.as_deref().map_or(0, bytes));
        let (counter, limit) = match dataset.filters().is_empty() {
            true => (&self.taken, self.size.max(SMALL)),
            false => (&self.expanded, self.size.saturating_mul(MOST_EXPANSION).max(SMALL)),
        };
        let taken = counter.get().saturating_add(largest);
        if taken > limit {
            return Err(format!(
                "has {} bytes, but its arrays up to {path} need {taken}; it is cut short or damaged; copy it again",
                self.size
            ));
        }
        counter.set(taken);
        Ok(())
    }
}

/// Read the elements of an array of floats.
fn elements(dataset: &Dataset, kind: &DType) -> Result<Vec<f32>, hdf5_pure::Error> {
    match kind {
        DType::Other(_) => {
            let bytes = dataset.read_raw()?; // f16, which the reader does not convert
            let (pairs, _) = bytes.as_chunks();
            Ok(pairs.iter().map(|&pair| f16::from_le_bytes(pair).to_f32()).collect())
        }
        _ => dataset.read_f32(),
    }
}

fn is_float(kind: &DType) -> bool {
    match kind {
        DType::F32 | DType::F64 => true,
        DType::Other(kind) => matches!(
            **kind,
            Datatype::FloatingPoint {
                size: 2,
                byte_order: DatatypeByteOrder::LittleEndian,
                layout: FloatingPointLayout { exponent_size: 5, .. },
                ..
            }
        ),
        _ => false,
    }
}

/// Call the reader. Its panics become errors.
fn safely<T>(call: impl FnOnce() -> Result<T, hdf5_pure::Error>) -> Result<T, String> {
    contain(call)?.map_err(|error| {
        let error = error.to_string();
        // The names of the reader's own errors.
        let error = error.trim_start_matches("HDF5 format error: ");
        error.trim_start_matches("byte source error: ").to_string()
    })
}

#[cfg(test)]
mod tests {
    use hdf5_pure::FileBuilder;

    use super::*;

    #[test]
    fn arrays_of_half_precision_take_two_bytes_an_element() {
        let halves: Vec<u8> = [0.5, -2.].into_iter().flat_map(|x| f16::from_f32(x).to_le_bytes()).collect();
        let kind = Datatype::FloatingPoint {
            size: 2,
            byte_order: DatatypeByteOrder::LittleEndian,
            layout: FloatingPointLayout {
                bit_offset: 0,
                bit_precision: 16,
                exponent_location: 10,
                exponent_size: 5,
                mantissa_location: 0,
                mantissa_size: 10,
                exponent_bias: 15,
            },
        };
        let pairs = SMALL / 2; // as f32 twice the size of the file, and more than is allowed for small files
        let mut file = FileBuilder::new();
        file.create_dataset("a").with_raw_data(kind, halves.repeat(pairs as usize), 2 * pairs);
        let store = Store::open(file.finish().unwrap()).unwrap();
        let Array { shape, elements } = store.array("a").unwrap();
        assert_eq!((shape, &elements[..2]), (vec![SMALL as usize], &[0.5, -2.][..]));
    }

    #[test]
    fn compressed_arrays_leave_room_for_others() {
        let (large, whole) = (vec![0.; SMALL as usize], vec![1.; SMALL as usize / 2]);
        let mut file = FileBuilder::new();
        file.create_dataset("zeros").with_f32_data(&large).with_deflate(1);
        file.create_dataset("ones").with_f32_data(&whole);
        let store = Store::open(file.finish().unwrap()).unwrap();
        assert_eq!(store.array("zeros").unwrap().elements, large);
        assert_eq!(store.array("ones").unwrap().elements, whole);
    }
}
