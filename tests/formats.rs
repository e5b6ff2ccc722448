//! Files whose tensors or shapes alone do not tell the network: one output, the nonlinearity and the layers of a whole
//! module, a projection that an exporter drops, and files of this program.

use std::path::PathBuf;

use candle_core::{D, Device, Tensor};
use candle_nn::ops::{sigmoid, softmax_last_dim};
use rnn_zoo::bundle::read_tensors;
use rnn_zoo::formats::{Converted, FORMATS, ImportOptions, convert, recognised, ship};
use rnn_zoo::models::{ModelConfig, Nonlinearity, Readout, RecurrentConfig};
use rnn_zoo::tasks::TASKS;
use serde::de::IgnoredAny;

use crate::golden::{Case, Result, load};
use crate::pytorch::{Folder, largest_difference, outputs};

/// Write the file of a case of `scripts/golden/format_edges.py` to a folder. Returns its path and the case.
fn edge(folder: &Folder, name: &str) -> Result<(PathBuf, Case<IgnoredAny>)> {
    let cases: Vec<Case<IgnoredAny>> = load("format_edges")?;
    let case = cases.into_iter().find(|case| case.name == name).expect("the fixture has the case");
    let path = folder.path(&format!("{name}.file"));
    std::fs::write(&path, case.kinds["input"]["model"].to_vec1::<u8>()?)?;
    Ok((path, case))
}

fn options(folder: &Folder, labels: &[&str]) -> ImportOptions {
    let path = folder.path("named.txt");
    std::fs::write(&path, labels.join("\n")).unwrap();
    ImportOptions {
        vocabulary: Some(folder.path("words.txt")),
        labels: (!labels.is_empty()).then_some(path),
        ..ImportOptions::default()
    }
}

fn scores(folder: &Folder, bundle: &str, converted: &Converted, tokens: &Tensor) -> Result<Tensor> {
    let parameters = read_tensors(&folder.path(bundle).join("model.safetensors"), &Device::Cpu)?;
    outputs(&converted.config.network, &parameters, tokens)
}

#[test]
fn one_output_is_two_classes() -> Result<()> {
    let folder = Folder::new();
    for name in ["one-output", "one-output-traced", "one-output-dynamo", "squeezed-traced", "squeezed-dynamo"]
    {
        let (path, case) = edge(&folder, name)?;
        let task = TASKS.iter().find(|task| task.name() == "classify").copied();
        let given = |labels: &[&str]| ImportOptions { task, ..options(&folder, labels) };
        let error = folder.convert(&path, name, &given(&["price"])).unwrap_err().to_string();
        assert!(
            error.contains("output is a classifier of two classes; regression is not converted"),
            "{name}: {error}"
        );
        let converted = folder.convert(&path, name, &given(&["no", "yes"]))?;
        assert_eq!(converted.config.labels, ["no", "yes"], "{name}");
        assert!(
            converted.notes.iter().any(|note| note.contains("made two classes")),
            "{:?}",
            converted.notes
        );
        let found = scores(&folder, name, &converted, &case.kinds["input"]["tokens"])?;
        let found = softmax_last_dim(&found)?.narrow(D::Minus1, 1, 1)?.flatten_all()?;
        let expected = case.kinds["output"]["scores"].flatten_all()?;
        // Those that are squeezed end with a sigmoid.
        let expected = if name.starts_with("squeezed") { expected } else { sigmoid(&expected)? };
        let difference = largest_difference(&found, &expected)?;
        assert!(difference < 1e-5, "{name}: {difference}");
    }
    Ok(())
}

#[test]
fn whole_modules_tell_their_nonlinearity_and_layers_without_parameters() -> Result<()> {
    let folder = Folder::new();
    let (path, case) = edge(&folder, "relu-module")?;
    let converted = folder.convert(&path, "relu", &options(&folder, &[]))?;
    let is_relu = |network: &ModelConfig| matches!(network.rnn(), RecurrentConfig::SimpleRnn(config) if config.cell.nonlinearity == Nonlinearity::Relu);
    assert!(is_relu(&converted.config.network) && !converted.notes.iter().any(|note| note.contains("tanh")));
    let found = scores(&folder, "relu", &converted, &case.kinds["input"]["tokens"])?;
    let difference = largest_difference(&found, &case.kinds["output"]["scores"])?;
    assert!(difference < 1e-5, "{difference}");

    let (path, _) = edge(&folder, "between-module")?;
    let error = folder.convert(&path, "between", &options(&folder, &[])).unwrap_err().to_string();
    assert!(error.contains("has the layer between (ReLU), which our networks do not have"), "{error}");
    Ok(())
}

#[test]
fn dropped_projection_is_refused() -> Result<()> {
    let folder = Folder::new();
    for (name, found) in [("projected-dynamo", 6), ("projected-alike-dynamo", 6)] {
        let (path, _) = edge(&folder, name)?;
        let error = folder.convert(&path, name, &options(&folder, &[])).unwrap_err().to_string();
        assert!(error.contains(&format!("starts from a state of {found} numbers for")), "{name}: {error}");
    }
    Ok(())
}

#[test]
fn own_files_of_pytorch_return_as_the_same_model() -> Result<()> {
    let folder = Folder::new();
    let pytorch = *FORMATS.iter().find(|format| format.name() == "pytorch").expect("PyTorch is a format");
    let (path, _) = edge(&folder, "relu-module")?;
    let first = folder.convert(&path, "relu", &options(&folder, &[]))?;
    let (path, _) = edge(&folder, "one-output")?;
    let task = TASKS.iter().find(|task| task.name() == "classify").copied();
    let given = ImportOptions { task, readout: Readout::Mean, ..options(&folder, &["no", "yes"]) };
    let second = folder.convert(&path, "mean", &given)?;
    for (name, converted) in [("relu", first), ("mean", second)] {
        let out = folder.path(&format!("{name}.safetensors"));
        ship(&folder.path(name), pytorch, &out, false)?;
        let again = convert(&out, &folder.path("again"), &ImportOptions::default(), "a test", true)?;
        assert_eq!(again.config.network, converted.config.network, "{name}");
        assert_eq!(again.config.labels, converted.config.labels, "{name}");
        assert_eq!(again.config.schema, converted.config.schema, "{name}");
        let relu = ImportOptions { nonlinearity: Nonlinearity::Relu, ..ImportOptions::default() };
        let found = convert(&out, &folder.path("again"), &relu, "a test", true);
        assert_eq!(found.is_ok(), name == "relu", "{name}");
    }
    Ok(())
}

#[test]
fn archives_that_are_cut_short_are_named_so() -> Result<()> {
    let folder = Folder::new();
    let path = folder.path("cut");
    for file in ["pytorch/classifier.pt", "keras/gru-mul.keras"] {
        let bytes = std::fs::read(PathBuf::from("tests/golden").join(file))?;
        std::fs::write(&path, &bytes[..bytes.len() / 2])?;
        let error = recognised(&path).unwrap_err().to_string();
        assert!(error.contains("is a zip archive that is cut short; copy it again"), "{file}: {error}");
    }
    Ok(())
}
