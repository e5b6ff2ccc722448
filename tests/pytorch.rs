//! PyTorch: golden files of every container give PyTorch's outputs and return to the byte; damaged and hostile files
//! are refused in one line.

mod hostile;

use std::path::{Path, PathBuf};

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use rnn_zoo::bundle::read_tensors;
use rnn_zoo::formats::{Converted, FORMATS, Format, ImportOptions, convert, ship};
use rnn_zoo::models::{Inputs, ModelConfig, Nonlinearity, Words};
use rnn_zoo::parameters::NamedTensors;
use rnn_zoo::tasks::{TASKS, Task};
use serde::Deserialize;
use tempfile::TempDir;

use crate::golden::{Case, Result, load};

/// Options as `scripts/golden/pytorch_files.py` writes them.
#[derive(Deserialize)]
struct FileOptions {
    file: String,
    task: String,
    nonlinearity: Nonlinearity,
}

/// A folder with the vocabulary and the labels of the golden networks.
pub struct Folder(TempDir);

impl Folder {
    pub fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let words: String = (2..11).map(|word| format!("w{word}\n")).collect();
        std::fs::write(folder.path("words.txt"), format!("<unk>\n<eos>\n{words}")).unwrap();
        std::fs::write(folder.path("labels.txt"), "a\nb\nc\nd\ne\n").unwrap();
        folder
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self, options: &FileOptions) -> ImportOptions {
        let task: &'static dyn Task =
            *TASKS.iter().find(|task| task.name() == options.task).expect("the fixture names tasks");
        ImportOptions {
            vocabulary: Some(self.path("words.txt")),
            labels: (task.name() != "lm").then(|| self.path("labels.txt")),
            task: (task.name() != "lm").then_some(task),
            nonlinearity: options.nonlinearity,
            ..ImportOptions::default()
        }
    }

    pub fn convert(&self, file: &Path, bundle: &str, options: &ImportOptions) -> rnn_zoo::Result<Converted> {
        convert(file, &self.path(bundle), options, "a test", false)
    }
}

fn golden(file: &str) -> PathBuf {
    Path::new("tests/golden/pytorch").join(file)
}

fn pytorch() -> &'static dyn Format {
    *FORMATS.iter().find(|format| format.name() == "pytorch").expect("PyTorch is a format")
}

fn bits(tensor: &Tensor) -> (Vec<usize>, Vec<u32>) {
    let elements = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    (tensor.dims().to_vec(), elements.into_iter().map(f32::to_bits).collect())
}

/// Assert that `found` has the tensors of `expected` to the bit, and no more but a bias of zeros.
pub fn assert_same(found: &NamedTensors, expected: &NamedTensors, name: &str) {
    for (parameter, tensor) in found {
        match expected.get(parameter) {
            Some(expected) => assert!(bits(tensor) == bits(expected), "{name}: {parameter}"),
            None => {
                assert_eq!(parameter, "decoder.bias", "{name}");
                assert!(bits(tensor).1.iter().all(|&bits| bits == 0), "{name}");
            }
        }
    }
    assert!(expected.keys().all(|parameter| found.contains_key(parameter)), "{name}: {:?}", found.keys());
}

/// Compute the outputs of a network for tokens (batch, time), from a zero state.
pub fn outputs(network: &ModelConfig, parameters: &NamedTensors, tokens: &Tensor) -> Result<Tensor> {
    let parameters = parameters.clone().into_iter().collect();
    let built = network.build(VarBuilder::from_tensors(parameters, DType::F32, &Device::Cpu))?;
    let inputs = match network {
        ModelConfig::Tagger(_) => Inputs::Words(Words {
            tokens: tokens.clone(),
            columns: vec![],
            spellings: tokens.zeros_like()?,
            characters: Tensor::zeros((1, 1), DType::U32, &Device::Cpu)?,
            character_counts: vec![1],
        }),
        _ => Inputs::from(tokens),
    };
    let (hidden, _) = built.encode(&inputs, None, None)?;
    Ok(built.outputs(&hidden)?)
}

pub fn largest_difference(one: &Tensor, other: &Tensor) -> Result<f32> {
    assert_eq!(one.dims(), other.dims());
    Ok((one - other)?.abs()?.flatten_all()?.max(D::Minus1)?.to_scalar()?)
}

#[test]
fn golden_files_of_every_container_give_the_outputs_of_pytorch_and_return_to_the_byte() -> Result<()> {
    let cases: Vec<Case<FileOptions>> = load("pytorch_files")?;
    assert_eq!(cases.len(), 37);
    let mut edited = 0;
    let folder = Folder::new();
    for Case { name, options, kinds } in &cases {
        let given = folder.options(options);
        let converted = folder.convert(&golden(&options.file), name, &given)?;
        assert_eq!((converted.format.name(), &*options.task), ("pytorch", converted.config.task.name()));
        let parameters = read_tensors(&folder.path(name).join("model.safetensors"), &Device::Cpu)?;
        assert_same(&parameters, &kinds["parameter"], name);
        let network = &converted.config.network;
        let found = outputs(network, &parameters, &kinds["input"]["tokens"])?;
        let difference = largest_difference(&found, &kinds["output"]["logits"])?;
        assert!(difference < 1e-5, "{name}: {difference}");

        let out = folder.path(&format!("{name}.safetensors"));
        let files = ship(&folder.path(name), pytorch(), &out, false)?;
        let names = files.iter().map(|file| file.file_name().unwrap().to_string_lossy().into_owned());
        assert!(names.eq(["safetensors", "py", "tokenizer.json"].map(|end| format!("{name}.{end}"))));
        let mut expected = kinds["parameter"].clone();
        if let ModelConfig::Rnnlm(network) = network
            && network.tied
        {
            expected.insert("decoder.weight".into(), expected["encoder.weight"].clone());
        }
        assert_same(&read_tensors(&out, &Device::Cpu)?, &expected, name);
        let again = folder.convert(&out, &format!("{name} again"), &given)?;
        assert_eq!(again.config.network, *network, "{name}");
        let returned = folder.path(&format!("{name} again")).join("model.safetensors");
        assert!(std::fs::read(returned)? == std::fs::read(folder.path(name).join("model.safetensors"))?);
        if expected.contains_key("decoder.weight") && name == "tied" {
            // The second copy of the embedding differs in its last byte.
            let mut bytes = std::fs::read(&out)?;
            let start = 8 + u64::from_le_bytes(*bytes.first_chunk().unwrap()) as usize;
            let header: serde_json::Value = serde_json::from_slice(&bytes[8..start])?;
            let end = header["decoder.weight"]["data_offsets"][1].as_u64().unwrap() as usize;
            bytes[start + end - 1] ^= 1;
            std::fs::write(&out, bytes)?;
            let error = folder.convert(&out, "edited", &given).unwrap_err().to_string();
            assert!(error.contains("has a decoder.weight that is not encoder.weight"), "{error}");
            edited += 1;
        }
    }
    assert_eq!(edited, 1);
    Ok(())
}

#[test]
fn names_that_are_unusual_are_given_or_left_out() -> Result<()> {
    let folder = Folder::new();
    let mut tensors = read_tensors(&golden("lstm-2-one-direction-bias.safetensors"), &Device::Cpu)?;
    let rename = |tensors: &mut NamedTensors, from: &str, to: &str| {
        let tensor = tensors.remove(from).unwrap();
        tensors.insert(to.into(), tensor);
    };
    rename(&mut tensors, "decoder.weight", "a.w");
    rename(&mut tensors, "decoder.bias", "a.b");
    tensors.insert("scale".into(), Tensor::new(2f32, &Device::Cpu)?);
    tensors.insert("steps".into(), Tensor::new(7i64, &Device::Cpu)?);
    let file = folder.path("odd.safetensors");
    candle_core::safetensors::save(&tensors.into_iter().collect(), &file)?;
    let convert = |names: &[(&str, &str)]| {
        let names = names.iter().map(|(theirs, ours)| (theirs.to_string(), ours.to_string())).collect();
        let vocabulary = Some(folder.path("words.txt"));
        let options = ImportOptions { names, vocabulary, ..ImportOptions::default() };
        folder.convert(&file, "odd", &options).map_err(|error| error.to_string())
    };
    let named = [("a.w", "decoder.weight"), ("a.b", "decoder.bias"), ("scale", ""), ("steps", "")];
    for (names, problem) in [
        (&named[..3], "tensor steps is of i64; expected floats; leave it out with option `names = steps=`"),
        (
            &[("a.w", "decoder.weight"), ("steps", "")],
            "has a.b, scale, which no part of the network is known for",
        ),
        (&[("aw", "decoder.weight"), ("steps", "")], "the file has no tensor aw; the file has a.w"),
        (
            &[("a.w", "decoder.bias"), ("a.b", "decoder.bias"), ("steps", "")],
            "decoder.bias is given twice; expected one tensor for it",
        ),
        (
            &[("a.w", "decoder"), ("steps", "")],
            "decoder is no parameter here; expected encoder.weight, rnn.weight_ih_l0 and so on",
        ),
    ] {
        let error = convert(names).unwrap_err();
        assert!(error.contains(problem), "{error}");
    }
    // The user's choice and the file's own name for one parameter.
    let mut doubled = read_tensors(&file, &Device::Cpu)?;
    doubled.insert("decoder.bias".into(), doubled["a.b"].clone());
    let whole = std::fs::read(&file)?;
    candle_core::safetensors::save(&doubled.into_iter().collect(), &file)?;
    let error = convert(&[("a.w", "rnn.bias_ih_l0"), ("scale", ""), ("steps", "")]).unwrap_err();
    assert!(error.contains("has two tensors for rnn.bias_ih_l0, one of them"), "{error}");
    std::fs::write(&file, whole)?;
    assert_eq!(convert(&named)?.config.network.vocabulary_size(), Some(11));
    Ok(())
}
