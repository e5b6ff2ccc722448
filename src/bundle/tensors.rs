//! Writing and reading tensors as safetensors: equal tensors give equal bytes.

use std::collections::HashMap;
use std::path::Path;

use candle_core::{Device, Tensor};

use super::read;
use super::tensor_file::TensorFile;
use crate::atomic;
use crate::parameters::{NamedTensors, Parameters};
use crate::{Error, Result};

/// Serialise tensors, sorted by dtype and name and without metadata, so equal tensors give equal bytes.
pub(super) fn encode(tensors: &NamedTensors) -> Result<Vec<u8>> {
    encode_with(tensors, None)
}

/// Serialise tensors as [`encode`] does, with metadata.
pub(crate) fn encode_with(
    tensors: &NamedTensors,
    metadata: Option<HashMap<String, String>>,
) -> Result<Vec<u8>> {
    let local = |(name, tensor): (&String, &Tensor)| {
        Ok((name.clone(), tensor.detach().to_device(&Device::Cpu)?.contiguous()?))
    };
    let tensors = tensors.iter().map(local).collect::<Result<Vec<_>>>()?;
    safetensors::serialize(tensors, metadata)
        .map_err(|error| Error::Message(format!("cannot write tensors as safetensors: {error}")))
}

/// Read every tensor of a safetensors file onto a device, in the dtype of the file.
///
/// # Errors
/// If the file is missing, cut short or not a safetensors file, or has a dtype that candle does not know.
pub fn read_tensors(path: &Path, device: &Device) -> Result<NamedTensors> {
    Ok(read_tensors_and_metadata(path, device)?.0)
}

/// Read the tensors as [`read_tensors`] does, and the file's metadata.
pub(crate) fn read_tensors_and_metadata(
    path: &Path,
    device: &Device,
) -> Result<(NamedTensors, HashMap<String, String>)> {
    let (reader, size) = read::open(path)?;
    let file = TensorFile::open(path, reader, size)?;
    let metadata = file.metadata().clone();
    Ok((file.tensors(device)?, metadata))
}

/// Read the bytes of a safetensors file onto the CPU. `name` stands for the file in errors.
pub(crate) fn decode(name: &Path, bytes: &[u8]) -> Result<(NamedTensors, HashMap<String, String>)> {
    let file = TensorFile::open(name, bytes, bytes.len() as u64)?;
    let metadata = file.metadata().clone();
    Ok((file.tensors(&Device::Cpu)?, metadata))
}

/// Set `parameters` to the values in a safetensors file, converted to their dtype and device.
///
/// # Errors
/// As [`read_tensors`], and if names, shapes or dtypes differ from the model's, or a value is NaN or infinite.
/// No parameter has changed then.
pub fn load_weights(path: &Path, parameters: &Parameters) -> Result<()> {
    let (reader, size) = read::open(path)?;
    let file = TensorFile::open(path, reader, size)?;
    file.check(&parameters.shapes())?;
    parameters.set_all(&file.stored_parameters()?)
}

/// Write a safetensors file in a single step: to a temporary file beside it, flushed, then renamed.
pub(crate) fn write_tensors(
    path: &Path,
    tensors: &NamedTensors,
    metadata: HashMap<String, String>,
) -> Result<()> {
    let bytes = encode_with(tensors, Some(metadata))?;
    atomic::write(path, &bytes).map_err(|error| Error::file(path, format!("cannot be written: {error}")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use candle_core::{DType, Var};
    use proptest::prelude::*;

    const DTYPES: [DType; 5] = [DType::F32, DType::F64, DType::F16, DType::BF16, DType::I64];

    fn file(bytes: &[u8]) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), bytes).unwrap();
        file
    }

    fn model() -> Parameters {
        let var =
            |value: f32, size| Var::from_tensor(&Tensor::full(value, size, &Device::Cpu).unwrap()).unwrap();
        [("a".to_string(), var(1.0, 3)), ("b".to_string(), var(2.0, 5))].into_iter().collect()
    }

    #[test]
    fn truncation_at_any_byte_is_an_error_that_names_the_file() {
        let bytes = encode(&model().to_tensors().unwrap()).unwrap();
        for length in 0..bytes.len() {
            let file = file(&bytes[..length]);
            let error = read_tensors(file.path(), &Device::Cpu).unwrap_err().to_string();
            assert!(error.starts_with(&file.path().display().to_string()), "{error}");
            assert!(error.contains("safetensors file") && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn foreign_files_are_described() {
        let parameters = model();
        let problem = |bytes: &[u8]| load_weights(file(bytes).path(), &parameters).unwrap_err().to_string();
        assert!(problem(b"version https://git-lfs.github.com/spec/v1\n").contains("git lfs pull"));
        assert!(problem(b"PK\x03\x04 a zip file, as torch.save writes").contains("not a safetensors file"));
        let mut tensors = parameters.to_tensors().unwrap();
        tensors.insert("c".into(), tensors["a"].clone());
        assert!(
            problem(&encode(&tensors).unwrap()).contains("has the tensor c, which the model does not know")
        );
        tensors.remove("c");
        tensors.insert("b".into(), tensors["a"].clone());
        let shape = problem(&encode(&tensors).unwrap());
        assert!(shape.contains("tensor b has shape [3], but the model expects [5]"), "{shape}");
        tensors.remove("b");
        assert!(problem(&encode(&tensors).unwrap()).contains("has no tensor b"));
        assert_eq!(parameters.get("a").unwrap().to_vec1::<f32>().unwrap(), [1.0; 3]);
    }

    #[test]
    fn every_float_dtype_loads_into_f32() {
        for dtype in &DTYPES[..4] {
            let tensors = model().to_tensors().unwrap();
            let tensors = tensors.into_iter().map(|(name, tensor)| (name, tensor.to_dtype(*dtype).unwrap()));
            let file = file(&encode(&tensors.collect()).unwrap());
            let parameters = model();
            parameters.set_all(&crate::bundle::fixture::weights(0.0, 7)).unwrap_err();
            parameters.get("b").unwrap().set(&Tensor::zeros(5, DType::F32, &Device::Cpu).unwrap()).unwrap();
            load_weights(file.path(), &parameters).unwrap();
            assert_eq!(parameters.get("b").unwrap().to_vec1::<f32>().unwrap(), [2.0; 5]);
        }
    }

    #[test]
    fn file_without_tensors_round_trips() {
        let file = file(&encode(&NamedTensors::new()).unwrap());
        assert!(read_tensors(file.path(), &Device::Cpu).unwrap().is_empty());
    }

    proptest! {
        #[test]
        fn load_and_save_round_trip_to_the_same_bytes(
            tensors in prop::collection::btree_map(
                "[a-z._0-9]{1,12}",
                (prop::collection::vec(any::<f32>(), 0..20), 0..DTYPES.len(), any::<bool>()),
                0..6,
            ),
        ) {
            let tensors: NamedTensors = tensors
                .into_iter()
                .map(|(name, (mut values, dtype, transposed))| {
                    values.truncate(values.len() / 2 * 2);
                    let tensor = Tensor::new(values.as_slice(), &Device::Cpu).unwrap();
                    let tensor = tensor.reshape((2, values.len() / 2)).unwrap().to_dtype(DTYPES[dtype]).unwrap();
                    (name, if transposed { tensor.t().unwrap() } else { tensor })
                })
                .collect();
            let first = encode(&tensors).unwrap();
            let loaded = read_tensors(file(&first).path(), &Device::Cpu).unwrap();
            for (name, tensor) in &tensors {
                prop_assert_eq!(loaded[name].dims(), tensor.dims());
                prop_assert_eq!(loaded[name].dtype(), tensor.dtype());
            }
            prop_assert_eq!(encode(&loaded).unwrap(), first);
        }
    }
}
