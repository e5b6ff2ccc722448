//! Layers and options without a counterpart are refused by name.

use std::io::{Cursor, Read, Write};
use std::path::PathBuf;

use candle_core::Tensor;
use rnn_zoo::formats::{ImportOptions, recognised};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{ZipArchive, ZipWriter};

use super::{Folder, golden};

/// An archive of two layers: gru, gru_1 or lstm, lstm_1, in one direction.
const GRU: &str = "gru-before-2-one-direction-none.keras";
const LSTM: &str = "lstm-2-one-direction-none.keras";
/// One output with a sigmoid.
const SIGMOID: &str = "classifier-sigmoid.keras";
const BOTH: &str = "simple_rnn-2-both-directions-none.keras";

/// The records of an archive by name.
fn records(file: &str) -> Vec<(String, Vec<u8>)> {
    let bytes = std::fs::read(golden(file)).unwrap();
    let mut archive = ZipArchive::new(Cursor::new(bytes)).unwrap();
    let numbers = 0..archive.len();
    let record = |number| {
        let mut record = archive.by_index(number).unwrap();
        let mut bytes = vec![];
        record.read_to_end(&mut bytes).unwrap();
        (record.name().unwrap().into_owned(), bytes)
    };
    numbers.map(record).collect()
}

fn archive(records: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(vec![]));
    for (name, bytes) in records {
        let stored = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        writer.start_file(name.as_str(), stored).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// Write `file` with a changed configuration into a folder.
fn changed(folder: &Folder, file: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
    let mut records = records(file);
    let (_, config) = records.iter_mut().find(|(name, _)| name == "config.json").unwrap();
    let mut value: Value = serde_json::from_slice(config).unwrap();
    change(&mut value);
    *config = value.to_string().into_bytes();
    let path = folder.path("changed.keras");
    std::fs::write(&path, archive(&records)).unwrap();
    path
}

/// The options of the layer with that name.
fn layer<'v>(model: &'v mut Value, name: &str) -> &'v mut Value {
    let layers = model["config"]["layers"].as_array_mut().unwrap();
    layers.iter_mut().find(|layer| layer["config"]["name"] == name).expect("the file has the layer")
}

fn name_of(file: &str, class: &str, number: usize) -> String {
    let records = records(file);
    let (_, config) = records.iter().find(|(name, _)| name == "config.json").unwrap();
    let model: Value = serde_json::from_slice(config).unwrap();
    let layers = model["config"]["layers"].as_array().unwrap().clone();
    let mut of_class = layers.iter().filter(|layer| layer["class_name"] == class);
    of_class.nth(number).unwrap()["config"]["name"].as_str().unwrap().to_string()
}

fn options(folder: &Folder) -> ImportOptions {
    ImportOptions {
        vocabulary: Some(folder.path("words.txt")),
        labels: Some(folder.path("5.txt")),
        ..ImportOptions::default()
    }
}

#[test]
fn layers_and_options_without_a_counterpart_are_refused_by_name() {
    let folder = Folder::new();
    let set = |key: &'static str, value: Value| move |layer: &mut Value| layer["config"][key] = value.clone();
    type Change = Box<dyn Fn(&mut Value)>;
    let cases: Vec<(&str, &str, usize, Change, &str)> = vec![
        (GRU, "GRU", 0, Box::new(set("go_backwards", json!(true))), "with go_backwards true; expected false"),
        (GRU, "GRU", 0, Box::new(set("activation", json!("elu"))), "with activation elu; expected tanh"),
        (
            GRU,
            "GRU",
            1,
            Box::new(set("recurrent_activation", json!("hard_sigmoid"))),
            "with recurrent_activation hard_sigmoid; expected sigmoid",
        ),
        (GRU, "GRU", 1, Box::new(set("reset_after", json!(true))), "with another kind of cell than"),
        (GRU, "GRU", 1, Box::new(set("units", json!(7))), "with another number of units than"),
        (GRU, "GRU", 0, Box::new(set("return_sequences", json!(false))), "which returns one output alone"),
        (GRU, "GRU", 0, Box::new(set("time_major", json!(true))), "with time_major true"),
        (GRU, "GRU", 0, Box::new(set("use_bias", json!(true))), "has 2 arrays for"),
        (GRU, "GRU", 0, Box::new(set("units", json!(0))), "with units 0; expected a positive number"),
        (
            GRU,
            "GRU",
            0,
            Box::new(|layer| layer["class_name"] = json!("ConvLSTM1D")),
            "(ConvLSTM1D) which is not supported",
        ),
        (
            GRU,
            "GRU",
            0,
            Box::new(|layer| layer["class_name"] = json!("Masking")),
            "has weights in layers/gru_1 that no layer",
        ),
        (GRU, "Embedding", 0, Box::new(set("input_dim", json!(12))), "of shape [11, 4] for"),
        (
            GRU,
            "Dense",
            0,
            Box::new(set("activation", json!("relu"))),
            "with activation relu; expected linear, softmax or sigmoid",
        ),
        (GRU, "Dense", 0, Box::new(set("activation", json!("sigmoid"))), "the sigmoid of several outputs"),
        (SIGMOID, "Dense", 0, Box::new(set("activation", json!("softmax"))), "of one output is always 1"),
        (
            GRU,
            "Dense",
            0,
            Box::new(|layer| layer["class_name"] = json!("Flatten")),
            "(Flatten) which is not supported",
        ),
        (GRU, "Dense", 0, Box::new(|layer| layer["class_name"] = json!("Masking")), "has no Dense layer"),
        (LSTM, "LSTM", 0, Box::new(set("activation", json!({"config": "relu"}))), "with activation relu"),
        (
            LSTM,
            "SpatialDropout1D",
            0,
            Box::new(|layer| layer["class_name"] = json!("Softmax")),
            "after a linear output",
        ),
        (BOTH, "Bidirectional", 0, Box::new(set("merge_mode", json!(null))), "with merge_mode None"),
        (BOTH, "Bidirectional", 1, Box::new(set("merge_mode", json!("sum"))), "with another directions than"),
        (
            BOTH,
            "Bidirectional",
            0,
            Box::new(|layer| layer["config"]["backward_layer"]["config"]["units"] = json!(9)),
            "with layers that differ",
        ),
        (
            BOTH,
            "Bidirectional",
            0,
            Box::new(|layer| layer["config"]["layer"]["class_name"] = json!("Dense")),
            "in both directions; expected SimpleRNN, LSTM or GRU",
        ),
    ];
    for (file, class, number, change, expected) in cases {
        let name = name_of(file, class, number);
        let path = changed(&folder, file, |model| change(layer(model, &name)));
        let error = folder.convert(&path, "refused", &options(&folder)).unwrap_err().to_string();
        assert!(error.contains(expected) && error.lines().count() == 1, "{class}: {expected}: {error}");
    }
}

#[test]
fn a_softmax_is_over_the_last_axis() {
    let folder = Folder::new();
    let (lstm, dense) = (name_of(LSTM, "LSTM", 1), name_of(LSTM, "Dense", 0));
    let problem = |every: bool, softmax: Value| {
        let path = changed(&folder, LSTM, |model| {
            layer(model, &lstm)["config"]["return_sequences"] = json!(every);
            layer(model, &dense)["config"]["activation"] = json!("linear");
            model["config"]["layers"].as_array_mut().unwrap().push(softmax);
        });
        let given = ImportOptions { labels: None, ..options(&folder) };
        recognised(&path).unwrap().import(&path, &given).err().map(|error| error.to_string())
    };
    let softmax = |axis: Value| json!({"class_name": "Softmax", "config": {"name": "last", "axis": axis}});
    for (every, axis) in
        [(true, json!(-1)), (true, json!([-1])), (true, json!(2)), (true, json!(null)), (false, json!(1))]
    {
        assert_eq!(problem(every, softmax(axis.clone())), None, "{axis}");
    }
    for (every, axis) in [(true, json!(1)), (false, json!(0)), (false, json!(2)), (true, json!([1, 2]))] {
        let error = problem(every, softmax(axis.clone())).unwrap();
        let expected = format!("has a layer last (Softmax) with axis {axis}; expected -1, the last");
        assert!(error.contains(&expected), "{error}");
    }
    let relu = json!({"class_name": "Activation", "config": {"name": "last", "activation": "relu"}});
    let error = problem(true, relu).unwrap();
    assert!(error.contains("with activation relu; expected linear or softmax"), "{error}");
}

#[test]
fn models_that_are_no_chain_of_layers_are_refused() {
    let folder = Folder::new();
    let whole = |model: &mut Value| model["class_name"] = json!("Transformer");
    let empty = |model: &mut Value| model["config"] = json!({});
    let twice = |model: &mut Value| {
        let layers = model["config"]["layers"].as_array_mut().unwrap();
        layers.push(layers[1].clone());
    };
    type Change = Box<dyn Fn(&mut Value)>;
    let cases: [(&str, Change, &str); 3] = [
        (LSTM, Box::new(whole), "is a model of the class Transformer; expected Sequential or Functional"),
        (LSTM, Box::new(empty), "has no layers in its configuration"),
        (LSTM, Box::new(twice), "has two layers of the same name"),
    ];
    for (file, change, expected) in cases {
        let path = changed(&folder, file, |model| change(model));
        let error = folder.convert(&path, "refused", &options(&folder)).unwrap_err().to_string();
        assert!(error.contains(expected), "{expected}: {error}");
    }
    let functional = "functional-masked.keras";
    let branched = changed(&folder, functional, |model| {
        let layers = model["config"]["layers"].as_array_mut().unwrap();
        let dense = layers.iter_mut().find(|layer| layer["class_name"] == "Dense").unwrap();
        let node = dense["inbound_nodes"][0].clone();
        dense["inbound_nodes"].as_array_mut().unwrap().push(node);
    });
    let error = folder.convert(&branched, "refused", &options(&folder)).unwrap_err().to_string();
    assert!(error.contains("with several inputs or calls"), "{error}");
    let outputs = changed(&folder, functional, |model| {
        let output = model["config"]["output_layers"].clone();
        model["config"]["output_layers"] = json!([output, ["gru", 0, 0]]);
    });
    let error = folder.convert(&outputs, "refused", &options(&folder)).unwrap_err().to_string();
    assert!(error.contains("has several outputs"), "{error}");
}

#[test]
fn options_that_contradict_the_layers_are_refused() {
    let folder = Folder::new();
    let of = |name: &str| {
        let tasks = rnn_zoo::tasks::TASKS;
        Some(*tasks.iter().find(|task| task.name() == name).expect("the name is that of a task"))
    };
    let none = || options(&folder);
    for (file, options, expected) in [
        (
            LSTM,
            ImportOptions { task: of("classify"), ..none() },
            "a classifier reads one vector of a sequence",
        ),
        (LSTM, ImportOptions { task: of("forecast"), ..none() }, "forecast networks are not converted"),
        (
            BOTH,
            ImportOptions { task: of("lm"), ..none() },
            "as many outputs as tokens; this network has 5 for 11",
        ),
        ("classifier.h5", ImportOptions { task: of("tag"), ..none() }, "a tagger reads each output"),
        (LSTM, ImportOptions { names: vec![("a".into(), "b".into())], ..none() }, "leave the option out"),
        (LSTM, ImportOptions { vocabulary: None, labels: None, ..none() }, "name a file with the 11 tokens"),
        ("classifier.h5", ImportOptions { labels: None, ..none() }, "no names of its 5 outputs"),
        (
            "lstm-2-both-directions-none.weights.h5",
            none(),
            "classes of a sequence (classify) or of each word",
        ),
    ] {
        let error = folder.convert(&golden(file), "refused", &options).unwrap_err().to_string();
        assert!(error.contains(expected), "{file}: {expected}: {error}");
    }
    let alone = folder.path("gru-sum.weights.h5"); // without the JSON beside it
    std::fs::copy(golden("gru-sum.weights.h5"), &alone).unwrap();
    let error = folder.convert(&alone, "refused", &options(&folder)).unwrap_err().to_string();
    assert!(
        error.contains("no array tells how they are merged") && error.contains("as gru-sum.json"),
        "{error}"
    );
    let alone = folder.path("old-weights.h5");
    std::fs::copy(golden("old-weights.h5"), &alone).unwrap();
    let error = folder.convert(&alone, "refused", &options(&folder)).unwrap_err().to_string();
    assert!(error.contains("has weights without the model's configuration"), "{error}");
}

#[test]
fn one_output_without_a_sigmoid_is_two_classes() {
    let folder = Folder::new();
    std::fs::write(folder.path("2.txt"), "no\nyes\n").unwrap();
    let given = |labels: &str| ImportOptions { labels: Some(folder.path(labels)), ..options(&folder) };
    let dense = name_of(SIGMOID, "Dense", 0);
    let linear =
        changed(&folder, SIGMOID, |model| layer(model, &dense)["config"]["activation"] = json!("linear"));
    let format = recognised(&linear).unwrap();
    let expected = format.import(&golden(SIGMOID), &given("2.txt")).unwrap();
    let found = format.import(&linear, &given("2.txt")).unwrap();
    assert_eq!((found.network, &found.labels), (expected.network, &expected.labels));
    for (name, tensor) in &expected.parameters {
        let values = |tensor: &Tensor| tensor.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!(values(&found.parameters[name]), values(tensor), "{name}");
    }
    assert!(found.notes.iter().any(|note| note.contains("made two classes")), "{:?}", found.notes);
    std::fs::write(folder.path("1.txt"), "price\n").unwrap();
    let error = format.import(&linear, &given("1.txt")).unwrap_err().to_string();
    assert!(error.contains("regression is not converted"), "{error}");
}
