//! Keras: golden files of every container and version give Keras's outputs, and parameters return to the byte; damaged
//! and hostile files are refused in one line.

mod hostile;
mod layers;

use std::path::{Path, PathBuf};

use candle_core::{D, DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_nn::ops::softmax;
use rnn_zoo::bundle::read_tensors;
use rnn_zoo::formats::{Converted, FORMATS, Format, ImportOptions, convert, ship};
use rnn_zoo::models::{Inputs, ModelConfig, Nonlinearity, Words};
use rnn_zoo::parameters::NamedTensors;
use rnn_zoo::tasks::{TASKS, Task};
use rnn_zoo::tokenizer::Tokenizer;
use serde::Deserialize;
use tempfile::TempDir;

use crate::golden::{Case, Result, load};

/// Options as `scripts/golden/keras_files.py` and `keras_tensorflow.py` write them.
#[derive(Deserialize)]
struct FileOptions {
    file: String,
    task: String,
    outputs: usize,
    nonlinearity: Nonlinearity,
    /// Whether the file tells what arrays do not: activations and what the output layer reads.
    #[serde(default = "yes")]
    tells: bool,
    #[serde(default)]
    texts: Vec<String>,
}

fn yes() -> bool {
    true
}

/// A folder with the vocabulary and the labels of the golden networks.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let words: String = (2..11).map(|word| format!("w{word}\n")).collect();
        std::fs::write(folder.path("words.txt"), format!("<unk>\n<eos>\n{words}")).unwrap();
        for count in 2..8 {
            let labels: String = (0..count).map(|label| format!("label {label}\n")).collect();
            std::fs::write(folder.path(&format!("{count}.txt")), labels).unwrap();
        }
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn options(&self, options: &FileOptions) -> ImportOptions {
        let task: &'static dyn Task =
            *TASKS.iter().find(|task| task.name() == options.task).expect("the fixture names tasks");
        let labelled = task.name() != "lm";
        ImportOptions {
            vocabulary: options.texts.is_empty().then(|| self.path("words.txt")),
            labels: labelled.then(|| self.path(&format!("{}.txt", options.outputs))),
            task: (labelled && !options.tells).then_some(task),
            nonlinearity: if options.tells { Nonlinearity::Tanh } else { options.nonlinearity },
            ..ImportOptions::default()
        }
    }

    fn convert(&self, file: &Path, bundle: &str, options: &ImportOptions) -> rnn_zoo::Result<Converted> {
        convert(file, &self.path(bundle), options, "a test", false)
    }
}

fn golden(file: &str) -> PathBuf {
    Path::new("tests/golden/keras").join(file)
}

fn keras() -> &'static dyn Format {
    *FORMATS.iter().find(|format| format.name() == "keras").expect("Keras is a format")
}

fn bits(tensor: &Tensor) -> (Vec<usize>, Vec<u32>) {
    let elements = tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
    (tensor.dims().to_vec(), elements.into_iter().map(f32::to_bits).collect())
}

/// Assert that `found` has the tensors of `expected` to the bit, and no more.
fn assert_same(found: &NamedTensors, expected: &NamedTensors, name: &str) {
    assert!(found.keys().eq(expected.keys()), "{name}: {:?}", found.keys());
    for (parameter, tensor) in found {
        assert!(bits(tensor) == bits(&expected[parameter]), "{name}: {parameter}");
    }
}

/// Compute the outputs of a network for tokens (batch, time) or features (batch, time, features), from a zero state.
fn outputs(
    network: &ModelConfig,
    parameters: &NamedTensors,
    inputs: &Tensor,
    lengths: Option<&[usize]>,
) -> Result<Tensor> {
    let parameters = parameters.clone().into_iter().collect();
    let built = network.build(VarBuilder::from_tensors(parameters, DType::F32, &Device::Cpu))?;
    let inputs = match network {
        ModelConfig::Tagger(_) => Inputs::Words(Words {
            tokens: inputs.clone(),
            columns: vec![],
            spellings: inputs.zeros_like()?,
            characters: Tensor::zeros((1, 1), DType::U32, &Device::Cpu)?,
            character_counts: vec![1],
        }),
        _ => Inputs::from(inputs),
    };
    let (hidden, _) = built.encode(&inputs, None, lengths)?;
    Ok(built.outputs(&hidden)?)
}

fn largest_difference(one: &Tensor, other: &Tensor) -> Result<f32> {
    assert_eq!(one.dims(), other.dims());
    Ok((one - other)?.abs()?.flatten_all()?.max(D::Minus1)?.to_scalar()?)
}

/// Convert the file of a case, and compare its outputs with Keras's. Returns the parameters.
fn check_outputs(folder: &Folder, case: &Case<FileOptions>) -> Result<(Converted, NamedTensors)> {
    let Case { name, options, kinds } = case;
    let converted = folder.convert(&golden(&options.file), name, &folder.options(options))?;
    assert_eq!((converted.format.name(), &*options.task), ("keras", converted.config.task.name()), "{name}");
    let parameters = read_tensors(&folder.path(name).join("model.safetensors"), &Device::Cpu)?;
    let inputs = kinds["input"].values().next().expect("a case has one input");
    let lengths = lengths(options, inputs)?;
    let found = outputs(&converted.config.network, &parameters, inputs, lengths.as_deref())?;
    let difference = match kinds["output"].get("logits") {
        Some(expected) => largest_difference(&found, expected)?,
        None => largest_difference(&softmax(&found, D::Minus1)?, &kinds["output"]["probabilities"])?,
    };
    assert!(difference < 1e-5, "{name}: {difference}");
    Ok((converted, parameters))
}

/// Return the lengths of texts that are padded with token 0.
fn lengths(options: &FileOptions, inputs: &Tensor) -> Result<Option<Vec<usize>>> {
    if options.texts.is_empty() {
        return Ok(None);
    }
    let rows = inputs.to_vec2::<u32>()?;
    Ok(Some(rows.iter().map(|row| row.iter().filter(|&&token| token > 0).count()).collect()))
}

#[test]
fn golden_files_of_every_container_give_the_outputs_of_keras_and_return_to_the_byte() -> Result<()> {
    let cases: Vec<Case<FileOptions>> = load("keras_files")?;
    assert_eq!(cases.len(), 63);
    let folder = Folder::new();
    for case in &cases {
        let Case { name, kinds, .. } = case;
        let (converted, parameters) = check_outputs(&folder, case)?;
        if let Some(expected) = kinds.get("parameter") {
            assert_same(&parameters, expected, name);
        }
        let network = &converted.config.network;
        let out = folder.path(&format!("{name}.keras"));
        let files = ship(&folder.path(name), keras(), &out, false)?;
        assert_eq!(files.len(), if network.vocabulary_size().is_some() { 2 } else { 1 }, "a tokenizer");
        // The archive holds labels, and its tokenizer lies beside it.
        let again = folder.convert(&out, &format!("{name} again"), &ImportOptions::default())?;
        assert_eq!(
            (&again.config.network, &again.config.labels),
            (network, &converted.config.labels),
            "{name}"
        );
        assert_eq!(again.config.schema, converted.config.schema, "{name}");
        let returned = folder.path(&format!("{name} again")).join("model.safetensors");
        assert!(std::fs::read(returned)? == std::fs::read(folder.path(name).join("model.safetensors"))?);
    }
    Ok(())
}

#[test]
fn golden_files_of_keras_2_give_its_outputs() -> Result<()> {
    let cases: Vec<Case<FileOptions>> = load("keras_tensorflow")?;
    let folder = Folder::new();
    assert_eq!(cases.len(), 6);
    for case in cases.iter().filter(|case| case.options.texts.is_empty()) {
        check_outputs(&folder, case)?;
    }
    Ok(())
}

#[test]
fn a_text_vectorization_becomes_the_tokenizer() -> Result<()> {
    let cases: Vec<Case<FileOptions>> = load("keras_tensorflow")?;
    let case = cases.iter().find(|case| !case.options.texts.is_empty()).expect("one case has texts");
    let folder = Folder::new();
    let (converted, _) = check_outputs(&folder, case)?;
    assert!(converted.notes.iter().any(|note| note.contains("mask_zero")), "{:?}", converted.notes);
    let tokenizer = Tokenizer::from_file(folder.path("text").join("tokenizer.json"))?;
    let expected = case.kinds["input"]["tokens"].to_vec2::<u32>()?;
    for (text, row) in case.options.texts.iter().zip(expected) {
        let padded: Vec<u32> = row.into_iter().take_while(|&token| token > 0).collect();
        assert_eq!(tokenizer.encode(text)?, padded, "{text}");
    }
    Ok(())
}

#[test]
fn a_word_index_and_a_keras_tokenizer_become_the_tokenizer() -> Result<()> {
    let folder = Folder::new();
    let index =
        r#"{"<OOV>": 1, "the": 2, "cat": 3, "sat": 4, "on": 5, "mat": 6, "a": 7, "dog": 8, "ran": 12}"#;
    let tokenizer = serde_json::json!({"class_name": "Tokenizer", "config": {
        "word_index": index, "lower": true, "filters": "!,.", "oov_token": "<OOV>", "char_level": false
    }});
    for (name, text) in [("index.json", index.to_string()), ("tokenizer.json", tokenizer.to_string())] {
        std::fs::write(folder.path(name), text)?;
        let options = ImportOptions { vocabulary: Some(folder.path(name)), ..ImportOptions::default() };
        let converted = folder.convert(&golden("functional-masked.keras"), &format!("{name} m"), &options)?;
        let notes = converted.notes.join("; ");
        assert!(notes.contains("1 of the words have numbers beyond the 11 rows"), "{notes}");
        let tokenizer = Tokenizer::from_file(folder.path(&format!("{name} m")).join("tokenizer.json"))?;
        assert_eq!(tokenizer.encode("The cat, ran!")?, [2, 3, 1], "{name}");
    }
    Ok(())
}
