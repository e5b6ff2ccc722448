//! Reading safetensors files: the header first, then one tensor after another.
//!
//! ```text
//! 8 bytes   size of the header, little-endian
//! header    JSON: {"name": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}, ...}
//! data      the tensors, in the order of their offsets, without gaps
//! ```
//!
//! The header says how long the file is and what is in it, so a file that is cut short or belongs to another
//! model is refused before any tensor is read.

use std::collections::{BTreeMap, HashMap};
use std::io::Read;
use std::path::Path;

use candle_core::safetensors::Load;
use candle_core::{DType, Device, Tensor};
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo, TensorView};

use super::int8::{self, Quantised};
use crate::parameter_shapes::ParameterShapes;
use crate::parameters::{NamedTensors, converted};
use crate::{Error, Result};

/// The largest header, in bytes: enough for a hundred thousand tensors.
const LARGEST_HEADER: u64 = 16 << 20;

/// A safetensors file whose header has been read and fits the file's size.
pub(super) struct TensorFile<'a, R> {
    path: &'a Path,
    reader: R,
    metadata: HashMap<String, String>,
    /// Names and descriptions, in the order of the data.
    tensors: Vec<(String, TensorInfo)>,
    /// The places of the names in `tensors`.
    places: HashMap<String, usize>,
}

/// The values that a tensor may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Values {
    Any,
    Finite,
}

impl<'a, R: Read> TensorFile<'a, R> {
    /// Read the header of a file of `size` bytes. `path` is for errors.
    ///
    /// # Errors
    /// If the file is cut short, longer than its header says, or not a safetensors file.
    pub(super) fn open(path: &'a Path, mut reader: R, size: u64) -> Result<Self> {
        let failed = |problem: String| Error::file(path, problem);
        let mut start = [0; 8];
        let present = size.min(8) as usize;
        reader.read_exact(&mut start[..present]).map_err(|error| failed(unreadable(&error)))?;
        if let Some(problem) = foreign(&start) {
            return Err(failed(problem.to_string()));
        }
        let length = u64::from_le_bytes(start);
        if present == 8 && length > LARGEST_HEADER {
            let problem = format!("is not a safetensors file: its header would have {length} bytes");
            return Err(failed(format!("{problem}; copy it again")));
        }
        if size < 8 + length {
            return Err(failed(cut_short(size)));
        }
        let mut header = vec![0; length as usize];
        reader.read_exact(&mut header).map_err(|error| failed(unreadable(&error)))?;
        let header: Metadata = serde_json::from_slice(&header)
            .map_err(|error| failed(format!("is not a safetensors file: {error}; copy it again")))?;
        if Some(size) != (header.data_len() as u64).checked_add(8 + length) {
            return Err(failed(cut_short(size)));
        }
        let tensor = |name: String| header.info(&name).cloned().map(|info| (name, info));
        let tensors: Vec<(String, TensorInfo)> =
            header.offset_keys().into_iter().filter_map(tensor).collect();
        let places = tensors.iter().enumerate().map(|(place, (name, _))| (name.clone(), place)).collect();
        Ok(Self { path, reader, tensors, places, metadata: header.metadata().clone().unwrap_or_default() })
    }

    /// Return the file's metadata: texts by key.
    pub(super) fn metadata(&self) -> &HashMap<String, String> {
        &self.metadata
    }

    /// Compare the names, shapes and dtypes in the file with those that a network needs.
    ///
    /// # Errors
    /// If they differ.
    pub(super) fn check(&self, shapes: &ParameterShapes) -> Result<()> {
        let mut found = BTreeMap::new();
        for (name, info) in &self.tensors {
            if self.integers_of(name).is_some() {
                continue;
            }
            let dtype = match info.dtype {
                Dtype::I8 => {
                    self.check_scales(name, info)?;
                    DType::F32
                }
                dtype => DType::try_from(dtype).map_err(|error| self.unusable(name, &error))?,
            };
            found.insert(name.as_str(), (info.shape.as_slice(), dtype));
        }
        shapes.check(&found).map_err(|problem| {
            Error::file(self.path, format!("{problem}: it does not belong to this config.json"))
        })
    }

    /// Return the name of the integers that `name` has the scales of.
    fn integers_of<'n>(&self, name: &'n str) -> Option<&'n str> {
        let integers = int8::integers_name(name)?;
        self.info(integers).is_some_and(|info| info.dtype == Dtype::I8).then_some(integers)
    }

    /// Return the description of a tensor.
    fn info(&self, name: &str) -> Option<&TensorInfo> {
        self.places.get(name).map(|&place| &self.tensors[place].1)
    }

    /// Check that integers have a scale for each row.
    fn check_scales(&self, name: &str, info: &TensorInfo) -> Result<()> {
        let expected = &info.shape[..info.shape.len().saturating_sub(1)];
        let scales = int8::scales_name(name);
        let problem = match self.info(&scales) {
            None => format!("tensor {name} is I8, but there is no tensor {scales}"),
            Some(found) if found.dtype != Dtype::F32 || found.shape != expected => {
                format!("tensor {scales} is {:?} {:?}; expected F32 {expected:?}", found.dtype, found.shape)
            }
            Some(_) => return Ok(()),
        };
        Err(Error::file(self.path, format!("{problem}; copy it again")))
    }

    /// Read all tensors onto a device, in the dtypes of the file; integers of type I8 as f32.
    ///
    /// # Errors
    /// If the file cannot be read, or has a dtype that candle does not know.
    pub(super) fn tensors(self, device: &Device) -> Result<NamedTensors> {
        self.read(Values::Any, |_, view| Ok(view.load(device)?))
    }

    /// Read all tensors onto the CPU, in the dtypes of the file, as parameters.
    ///
    /// # Errors
    /// As [`TensorFile::tensors`], and if a value is NaN or infinite.
    pub(super) fn stored_parameters(self) -> Result<NamedTensors> {
        self.read(Values::Finite, |_, view| Ok(view.load(&Device::Cpu)?))
    }

    /// Read all tensors as parameters of `dtype` on a device.
    ///
    /// # Errors
    /// As [`TensorFile::stored_parameters`], and if a value exceeds the range of `dtype`.
    pub(super) fn parameters(self, dtype: DType, device: &Device) -> Result<NamedTensors> {
        self.read(Values::Finite, |name, view| {
            Ok(converted(name, &view.load(&Device::Cpu)?, dtype)?.to_device(device)?)
        })
    }

    /// Read one tensor after another through a buffer of the largest one's size.
    fn read(
        mut self,
        values: Values,
        mut load: impl FnMut(&str, &TensorView<'_>) -> Result<Tensor>,
    ) -> Result<NamedTensors> {
        let mut read = NamedTensors::new();
        let mut bytes = Vec::new();
        let mut quantised: BTreeMap<String, Quantised> = BTreeMap::new();
        for (name, info) in &self.tensors {
            if info.dtype == Dtype::I8 {
                self.check_scales(name, info)?;
                quantised
                    .insert(name.clone(), Quantised { shape: info.shape.clone(), ..Quantised::default() });
            }
        }
        for (name, info) in std::mem::take(&mut self.tensors) {
            let (from, to) = info.data_offsets;
            bytes.clear();
            let mut data = self.reader.by_ref().take((to - from) as u64);
            data.read_to_end(&mut bytes).map_err(|error| Error::file(self.path, unreadable(&error)))?;
            if values == Values::Finite && !all_finite(info.dtype, &bytes) {
                let problem = format!(
                    "tensor {name} holds NaN or infinity; use a checkpoint from before the training diverged"
                );
                return Err(Error::file(self.path, problem));
            }
            let integers = int8::integers_name(&name).and_then(|integers| quantised.get_mut(integers));
            if let Some(integers) = integers {
                integers.scales = bytes.clone();
                continue;
            }
            if let Some(integers) = quantised.get_mut(&name) {
                integers.integers = bytes.clone();
                continue;
            }
            let view = TensorView::new(info.dtype, info.shape, &bytes)
                .map_err(|error| Error::file(self.path, format!("tensor {name}: {error}")))?;
            let tensor = load(&name, &view).map_err(|error| match error {
                Error::Tensor(error) => self.unusable(&name, &error),
                error => Error::file(self.path, error),
            })?;
            read.insert(name, tensor);
        }
        for (name, integers) in quantised {
            let failed = |problem: String| Error::file(self.path, format!("tensor {name}: {problem}"));
            let bytes = integers.dequantised().map_err(failed)?;
            let view = TensorView::new(Dtype::F32, integers.shape, &bytes)
                .map_err(|error| failed(error.to_string()))?;
            let tensor = load(&name, &view).map_err(|error| Error::file(self.path, error))?;
            read.insert(name, tensor);
        }
        Ok(read)
    }

    fn unusable(&self, name: &str, error: &candle_core::Error) -> Error {
        // Candle may append a backtrace.
        let reason = error.to_string();
        Error::file(self.path, format!("tensor {name}: {}", reason.lines().next().unwrap_or_default()))
    }
}

/// Return whether all little-endian floats are finite: those with every bit of the exponent set are not.
fn all_finite(dtype: Dtype, bytes: &[u8]) -> bool {
    fn none<const N: usize>(bytes: &[u8], exponent: u64) -> bool {
        bytes.as_chunks::<N>().0.iter().all(|number| {
            let mut bits = [0; 8];
            bits[..N].copy_from_slice(number);
            u64::from_le_bytes(bits) & exponent != exponent
        })
    }
    match dtype {
        Dtype::F64 => none::<8>(bytes, 0x7ff0_0000_0000_0000),
        Dtype::F32 => none::<4>(bytes, 0x7f80_0000),
        Dtype::F16 => none::<2>(bytes, 0x7c00),
        Dtype::BF16 => none::<2>(bytes, 0x7f80),
        _ => true,
    }
}

/// Recognises, by the first bytes of a file, what is often taken for safetensors.
fn foreign(start: &[u8; 8]) -> Option<&'static str> {
    match start {
        b"version " => Some("is a Git LFS pointer, not the tensors; run `git lfs pull`"),
        [b'P', b'K', 3, 4, ..] | [0x80, 2, 0x8a, 0x0a, ..] => Some(
            "is a PyTorch checkpoint (.pth), not a safetensors file; save its state_dict with \
             safetensors.torch.save_file",
        ),
        b"\x89HDF\r\n\x1a\n" => Some("is an HDF5 file, as Keras writes, not a safetensors file"),
        _ => None,
    }
}

fn cut_short(size: u64) -> String {
    format!("is cut short or not a safetensors file: {size} bytes, not what its header says; copy it again")
}

fn unreadable(error: &std::io::Error) -> String {
    format!("cannot be read: {error}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(bytes: &[u8]) -> String {
        let file = TensorFile::open(Path::new("m"), bytes, bytes.len() as u64);
        file.and_then(|file| file.stored_parameters()).map(|_| ()).unwrap_err().to_string()
    }

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        [&(header.len() as u64).to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn foreign_formats_are_recognised() {
        assert!(problem(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
        for start in [&b"PK\x03\x04\0\0\x08\x08\0\0"[..], b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P"] {
            assert!(problem(start).contains("is a PyTorch checkpoint (.pth), not a safetensors file"));
        }
        assert!(problem(b"\x89HDF\r\n\x1a\n\0\0\0").contains("is an HDF5 file"));
        // 640 bytes of header begin like a pickle of protocol 2.
        let header = format!("{{}}{}", " ".repeat(638));
        assert!(TensorFile::open(Path::new("m"), &file(&header, &[])[..], 648).is_ok());
    }

    #[test]
    fn headers_are_bounded_in_size_and_depth() {
        assert!(problem(&[0xff; 64]).contains("its header would have 18446744073709551615 bytes"));
        let nested = format!("{{\"a\":{}", "[".repeat(1 << 20));
        assert!(problem(&file(&nested, &[])).contains("recursion limit"));
        // The size is compared before anything is allocated for it.
        assert!(problem(&(LARGEST_HEADER).to_le_bytes()).contains("is cut short"));
    }

    #[test]
    fn values_beyond_the_dtype_of_the_model_are_refused() {
        let header = r#"{"w":{"dtype":"F64","shape":[2],"data_offsets":[0,16]}}"#;
        let of = |value: f64| file(header, &[1f64.to_le_bytes(), value.to_le_bytes()].concat());
        let read = |bytes: &[u8], dtype| {
            let file = TensorFile::open(Path::new("m"), bytes, bytes.len() as u64).unwrap();
            file.parameters(dtype, &Device::Cpu).map_err(|error| error.to_string())
        };
        assert!(read(&of(f64::from(f32::MAX)), DType::F32).is_ok());
        assert!(read(&of(1e39), DType::F64).is_ok());
        assert_eq!(read(&of(1e39), DType::F32).unwrap_err(), "m: tensor w has values beyond f32");
        assert_eq!(read(&of(-1e5), DType::F16).unwrap_err(), "m: tensor w has values beyond f16");
    }

    #[test]
    fn integers_are_read_with_their_scales_or_refused() {
        let header = |scales: &str| {
            format!(r#"{{"w":{{"dtype":"I8","shape":[2,3],"data_offsets":[8,14]}},{scales}}}"#)
        };
        let right = header(r#""w.scales":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#);
        let integers = [127u8, 0, 0x81, 1, 2, 3];
        let of = |header: &str, scales: [f32; 2]| {
            file(header, &[&scales[0].to_le_bytes()[..], &scales[1].to_le_bytes(), &integers].concat())
        };
        let bytes = of(&right, [0.5, 2.]);
        let open = || TensorFile::open(Path::new("m"), &bytes[..], bytes.len() as u64).unwrap();
        let read = open().parameters(DType::F32, &Device::Cpu).unwrap();
        assert_eq!(read["w"].to_vec2::<f32>().unwrap(), [[63.5, 0., -63.5], [2., 4., 6.]]);
        assert_eq!(read.len(), 1);
        let shapes: ParameterShapes = [("w".to_string(), (2, 3).into())].into_iter().collect();
        open().check(&shapes).unwrap();
        let other = header(r#""v":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}"#);
        assert!(problem(&of(&other, [1.; 2])).contains("tensor w is I8, but there is no tensor w.scales"));
        let shape = header(r#""w.scales":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]}"#);
        assert!(problem(&of(&shape, [1.; 2])).contains("tensor w.scales is F32 [1, 2]; expected F32 [2]"));
        assert!(problem(&of(&right, [1., f32::NAN])).contains("tensor w.scales holds NaN or infinity"));
        assert!(problem(&of(&right, [1., -1.])).contains("tensor w: has a negative scale"));
    }

    #[test]
    fn nan_and_infinity_are_found_in_every_float_dtype() {
        let header = |dtype: &str, size: usize| {
            format!(r#"{{"w":{{"dtype":"{dtype}","shape":[2],"data_offsets":[0,{size}]}}}}"#)
        };
        for (dtype, largest, infinite, nan) in [
            (
                "F64",
                &f64::MAX.to_le_bytes()[..],
                &f64::NEG_INFINITY.to_le_bytes()[..],
                &f64::NAN.to_le_bytes()[..],
            ),
            ("F32", &f32::MAX.to_le_bytes(), &f32::NEG_INFINITY.to_le_bytes(), &f32::NAN.to_le_bytes()),
            ("F16", &0x7bff_u16.to_le_bytes(), &0xfc00_u16.to_le_bytes(), &0x7e00_u16.to_le_bytes()),
            ("BF16", &0x7f7f_u16.to_le_bytes(), &0xff80_u16.to_le_bytes(), &0x7fc0_u16.to_le_bytes()),
        ] {
            let size = 2 * largest.len();
            let bytes = |second: &[u8]| file(&header(dtype, size), &[largest, second].concat());
            let whole = bytes(largest);
            let open = || TensorFile::open(Path::new("m"), &whole[..], whole.len() as u64).unwrap();
            open().stored_parameters().unwrap();
            for bad in [infinite, nan] {
                let problem = problem(&bytes(bad));
                assert!(problem.starts_with("m: tensor w holds NaN or infinity"), "{dtype}: {problem}");
            }
        }
    }
}
