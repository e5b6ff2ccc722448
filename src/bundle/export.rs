//! Exports: copies of a bundle with checksums, without training state or in another precision.

use std::fs;
use std::path::Path;

use candle_core::{DType, Tensor};

use super::config::{Config, Quantisation};
use super::files::{CURVE, MODEL, README, TOKENIZER};
use super::load::load;
use super::read;
use super::save::{BundleWriter, Contents, Training};
use crate::parameters::{NamedTensors, converted};
use crate::{Error, Result};

/// The type in which parameters are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoredType {
    /// A float type.
    Float(DType),
    /// Matrices as int8 with one scale a row, vectors in f32.
    Int8,
}

/// Options of an export.
#[derive(Clone, Copy, Debug, Default)]
pub struct Export {
    /// The type of the stored parameters; unchanged if `None`. The model still computes in the type of `config.json`.
    pub dtype: Option<StoredType>,
    /// Whether the run can be resumed from the export.
    pub with_training: bool,
    /// Whether to replace an existing bundle.
    pub force: bool,
}

/// Write a copy of the bundle at `path` to `out`, in a single step.
///
/// # Errors
/// As [`load`] and [`BundleWriter::create`], and if the parameters do not fit the configuration, are NaN or
/// infinite, or exceed the range of the float type, or if both paths name the same bundle, or an int8 bundle is to have
/// training state.
pub fn export(path: &Path, out: &Path, options: &Export) -> Result<()> {
    let loaded = load(path)?;
    let same = |path: &Path| fs::canonicalize(path).ok();
    if same(out).is_some_and(|out| same(&loaded.path) == Some(out)) {
        return Err(Error::file(out, "is the bundle itself; choose another option `out`"));
    }
    let model = loaded.path.join(MODEL);
    let before = loaded.stored_parameters()?;
    let (weights, stored) = match options.dtype {
        Some(StoredType::Float(dtype)) => {
            (before.iter().map(|entry| in_dtype(entry, dtype, &model)).collect::<Result<_>>()?, None)
        }
        Some(StoredType::Int8) => {
            let f32 = before.iter().map(|entry| in_dtype(entry, DType::F32, &model));
            (f32.collect::<Result<_>>()?, Some(Quantisation::Int8))
        }
        None => (before.clone(), loaded.config.stored),
    };
    let training = if options.with_training { loaded.training()? } else { None };
    if options.with_training && training.is_none() {
        let problem = "holds no training state to export; leave option `with_training` out";
        return Err(Error::file(path, problem));
    }
    if stored.is_some() && options.with_training {
        let problem = "holds training state, which int8 parameters have not: choose another option `dtype`, or leave \
                       option `with_training` out";
        return Err(Error::file(path, problem));
    }
    // Parsed only as a check. The original bytes are written: serialising the parsed tokenizer may change them.
    let tokenizer = match loaded.tokenizer_bytes()? {
        Some(bytes) => {
            loaded.parse_tokenizer(&bytes)?;
            Some(read::utf8(&loaded.path.join(TOKENIZER), bytes)?)
        }
        None => None,
    };
    let text = |name| read::optional_text(&loaded.path.join(name));
    let (readme, curve) = (text(README)?, text(CURVE)?);
    let types = [types(&before, loaded.config.stored), types(&weights, stored)];
    let readme = card(&readme.unwrap_or_default(), path, &types, training.is_some());
    let config = Config { stored, ..loaded.config.clone() };
    let writer = BundleWriter::create_for(out, options.force, false)?;
    writer.exporting(&loaded).save(&Contents {
        config: &config,
        weights: &weights,
        tokenizer: tokenizer.as_deref(),
        readme: &readme,
        curve: curve.as_deref(),
        training: training.as_ref().map(|training| Training {
            last: &training.last,
            best: training.best.as_ref(),
            average: training.average.as_ref(),
            optimizer: &training.optimizer,
            carry: &training.carry,
            state: &training.state,
        }),
    })
}

fn in_dtype((name, tensor): (&String, &Tensor), dtype: DType, file: &Path) -> Result<(String, Tensor)> {
    let advice = "choose another option `dtype`, as bf16";
    let value =
        converted(name, tensor, dtype).map_err(|error| Error::file(file, format!("{error}; {advice}")))?;
    Ok((name.clone(), value))
}

/// Return the names of the types in which parameters are stored.
fn types(parameters: &NamedTensors, stored: Option<Quantisation>) -> String {
    if stored.is_some() {
        return "int8".to_string();
    }
    let mut names: Vec<&str> = parameters.values().map(|tensor| tensor.dtype().as_str()).collect();
    names.sort_unstable();
    names.dedup();
    names.join(" and ")
}

/// Return the model card with a line about the export, which replaces that of an earlier export.
fn card(before: &str, path: &Path, [from, to]: &[String; 2], resumable: bool) -> String {
    const MARK: &str = "\nExported by rnn-zoo ";
    let (card, behind) = match before.split_once(MARK) {
        Some((card, earlier)) => (card, earlier.split_once('\n').map_or("", |(_, behind)| behind)),
        None => (before, ""),
    };
    let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
    let precision =
        if from == to { format!("parameters in {to}") } else { format!("parameters in {to} for {from}") };
    let training = if resumable { "with its training state" } else { "without training state" };
    let version = env!("CARGO_PKG_VERSION");
    format!(
        "{card}{MARK}{version} from `{name}`: {precision}, {training}. `sha256sum --check SHA256SUMS` checks its files.\n{behind}"
    )
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::super::fixture::config;
    use super::super::tensors::read_tensors;
    use super::*;
    use crate::parameters::Parameters;

    /// Save a bundle without a tokenizer, with every parameter at `value`.
    fn bundle(path: &Path, value: f32) {
        let config = Config { tokenizer: None, ..config() };
        let (map, builder) = Parameters::builder(config.dtype, &Device::Cpu);
        config.network.build(builder).unwrap();
        let weights = Parameters::from(&map).to_tensors().unwrap();
        let filled =
            |(name, tensor): (String, Tensor)| (name, tensor.ones_like().unwrap() * f64::from(value));
        let weights = weights.into_iter().map(filled).map(|(name, tensor)| (name, tensor.unwrap())).collect();
        let contents = Contents {
            config: &config,
            weights: &weights,
            tokenizer: None,
            readme: "# A card\n",
            curve: None,
            training: None,
        };
        BundleWriter::create(path, false).unwrap().save(&contents).unwrap();
    }

    #[test]
    fn parameters_beyond_the_float_type_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let of = |dtype| Export { dtype: Some(StoredType::Float(dtype)), ..Export::default() };
        bundle(&path("large"), 1e6);
        let error = export(&path("large"), &path("f16"), &of(DType::F16)).unwrap_err().to_string();
        assert!(error.contains("model.safetensors: tensor decoder.bias has values beyond f16"), "{error}");
        assert!(!path("f16").exists());
        export(&path("large"), &path("bf16"), &of(DType::BF16)).unwrap();
        let stored = read_tensors(&path("bf16").join(MODEL), &Device::Cpu).unwrap();
        assert!(stored.values().all(|tensor| tensor.dtype() == DType::BF16));
        bundle(&path("infinite"), f32::INFINITY);
        let error = export(&path("infinite"), &path("f16"), &of(DType::F16)).unwrap_err().to_string();
        assert!(error.contains("tensor decoder.bias holds NaN or infinity"), "{error}");
    }

    #[test]
    fn card_mentions_only_the_last_export() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let of = |dtype| Export { dtype: Some(StoredType::Float(dtype)), ..Export::default() };
        bundle(&path("a"), 1.);
        export(&path("a"), &path("b"), &of(DType::F16)).unwrap();
        export(&path("b"), &path("c"), &of(DType::F32)).unwrap();
        let card = fs::read_to_string(path("c").join(README)).unwrap();
        assert!(card.starts_with("# A card\n\nExported by rnn-zoo "), "{card}");
        assert!(card.contains("from `b`: parameters in f32 for f16, without training state"), "{card}");
        assert_eq!(card.matches("Exported").count(), 1, "{card}");
    }
}
