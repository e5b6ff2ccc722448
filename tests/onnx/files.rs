//! Files of PyTorch's exporters and of tf2onnx: the parameters to the byte, and the outputs.

use std::path::PathBuf;

use candle_core::{D, DType, Device, Tensor};
use candle_nn::ops::softmax_last_dim;
use rnn_zoo::bundle::read_tensors;
use rnn_zoo::formats::{Converted, ImportOptions};
use rnn_zoo::tasks::TASKS;
use serde::Deserialize;

use crate::golden::{Case, Result, load};
use crate::pytorch::{Folder, assert_same, largest_difference, outputs};

/// Options as `scripts/golden/onnx_files.py` and `onnx_keras.py` write them.
#[derive(Deserialize)]
pub struct FileOptions {
    pub task: String,
    /// The function after the output layer.
    pub end: String,
}

/// Write the files of a case to a folder. Returns the path of the model.
pub fn write<O>(folder: &Folder, case: &Case<O>) -> Result<PathBuf> {
    let input = &case.kinds["input"];
    if let Some(data) = input.get("data") {
        std::fs::write(folder.path("model.onnx.data"), data.to_vec1::<u8>()?)?;
    }
    let path = folder.path(&format!("{}.onnx", case.name));
    std::fs::write(&path, input["model"].to_vec1::<u8>()?)?;
    Ok(path)
}

/// Return the options with which a case is converted.
pub fn options(folder: &Folder, task: &str, outputs: usize) -> ImportOptions {
    let labels: String = (0..outputs).map(|label| format!("L{label}\n")).collect();
    std::fs::write(folder.path("labels.txt"), labels).unwrap();
    ImportOptions {
        vocabulary: Some(folder.path("words.txt")),
        labels: (task != "lm").then(|| folder.path("labels.txt")),
        // Shapes tell taggers and classifiers apart; the option confirms it.
        task: TASKS.iter().find(|known| known.name() == task && task == "tag").copied(),
        ..ImportOptions::default()
    }
}

/// Apply the function after the output layer.
fn ended(scores: &Tensor, end: &str) -> Result<Tensor> {
    Ok(match end {
        "softmax" => softmax_last_dim(scores)?,
        "log_softmax" => softmax_last_dim(scores)?.log()?,
        "sigmoid" => softmax_last_dim(scores)?.narrow(D::Minus1, 1, 1)?,
        _ => scores.clone(),
    })
}

/// Convert a case, and compare its outputs.
fn check(folder: &Folder, case: &Case<FileOptions>) -> Result<Converted> {
    let FileOptions { task, end } = &case.options;
    let expected = &case.kinds["output"]["logits"];
    let classes = expected.dim(D::Minus1)?.max(2); // one output with a sigmoid is two classes
    let path = write(folder, case)?;
    let converted = folder.convert(&path, &case.name, &options(folder, task, classes))?;
    assert_eq!((converted.format.name(), converted.config.task.name()), ("onnx", &**task), "{}", case.name);
    let parameters = read_tensors(&folder.path(&case.name).join("model.safetensors"), &Device::Cpu)?;
    let found = outputs(&converted.config.network, &parameters, &case.kinds["input"]["tokens"])?;
    let difference = largest_difference(&ended(&found.to_dtype(DType::F32)?, end)?, expected)?;
    assert!(difference < 1e-5, "{}: {difference}", case.name);
    if let Some(expected) = case.kinds.get("parameter") {
        assert_same(&parameters, expected, &case.name);
    }
    Ok(converted)
}

#[test]
fn files_of_both_exporters_of_pytorch_have_its_parameters_and_outputs() -> Result<()> {
    let cases: Vec<Case<FileOptions>> = load("onnx_files")?;
    assert_eq!(cases.len(), 63);
    let folder = Folder::new();
    let mut failures = vec![];
    for case in &cases {
        if let Err(error) = check(&folder, case) {
            failures.push(format!("{}: {error}", case.name));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
    Ok(())
}

#[test]
fn files_of_tf2onnx_have_the_outputs_of_keras() -> Result<()> {
    let cases: Vec<Case<FileOptions>> = load("onnx_keras")?;
    assert_eq!(cases.len(), 13);
    let folder = Folder::new();
    for case in cases.iter().filter(|case| case.options.task != "refused") {
        check(&folder, case).map_err(|error| format!("{}: {error}", case.name))?;
    }
    // Layers without an operator, and masks, become loops.
    for name in ["loop", "masked"] {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let path = write(&folder, case)?;
        let error = folder.convert(&path, name, &options(&folder, "classify", 5)).unwrap_err().to_string();
        assert!(error.contains("the operator Loop") && error.lines().count() == 1, "{name}: {error}");
    }
    Ok(())
}
