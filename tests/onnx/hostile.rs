//! Files of other programs that are damaged, hold operators that are not converted, or are made to harm.

use std::path::Path;

use rand::RngExt;
use rnn_zoo::rng::{Purpose, stream};

use super::files::{FileOptions, options, write};
use super::proto::{field, float, floats, input, int, integers, model, node, number, output, tensor, words};
use crate::golden::{Case, Result, load};
use crate::pytorch::Folder;

/// Convert a file; return the error, which is one line.
fn problem(folder: &Folder, bytes: &[u8]) -> Option<String> {
    let path = folder.path("file.onnx");
    std::fs::write(&path, bytes).unwrap();
    let found = folder.convert(&path, "bundle", &options(folder, "lm", 11));
    let bundle = folder.path("bundle");
    match found {
        Ok(_) => {
            std::fs::remove_dir_all(bundle).unwrap();
            None
        }
        Err(error) => {
            let error = error.to_string();
            assert!(error.lines().count() == 1 && error.len() < 1200, "{error}");
            assert!(!bundle.exists());
            Some(error)
        }
    }
}

/// The parts of a language model: an RNN of two units over an embedding of 11 tokens and three features.
struct Parts {
    embedding: Vec<u8>,
    w: Vec<u8>,
    r: Vec<u8>,
    decoder: Vec<u8>,
    attributes: Vec<Vec<u8>>,
    /// Between the embedding `e` and the input `x` of the RNN.
    before: Vec<u8>,
    /// Between the outputs `s` of the RNN, without directions, and the input `z` of the output layer.
    after: Vec<u8>,
    further: Vec<u8>,
    /// The name of the lengths; empty without.
    lengths: &'static str,
    /// Between the results `m` of the output layer and the output of the graph.
    last: Vec<u8>,
    opset: u64,
}

impl Parts {
    fn new() -> Self {
        Self {
            embedding: floats("E", &[11, 3], &[0.5; 33]),
            w: floats("W", &[1, 2, 3], &[0.25; 6]),
            r: floats("R", &[1, 2, 2], &[0.25; 4]),
            decoder: floats("D", &[2, 11], &[0.5; 22]),
            attributes: vec![],
            before: node("Identity", &["e"], &["x"], &[]),
            after: node("Identity", &["s"], &["z"], &[]),
            further: vec![],
            lengths: "",
            last: vec![],
            opset: 17,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let parts = [
            input("tokens", 7, &["time", "batch"]),
            self.embedding.clone(),
            self.w.clone(),
            self.r.clone(),
            self.decoder.clone(),
            integers("one", &[1], &[1]),
            self.further.clone(),
            node("Gather", &["E", "tokens"], &["e"], &[]),
            self.before.clone(),
            node("RNN", &["x", "W", "R", "", self.lengths], &["y", "h"], &self.attributes),
            node("Squeeze", &["y", "one"], &["s"], &[]),
            self.after.clone(),
            node("MatMul", &["z", "D"], &[if self.last.is_empty() { "logits" } else { "m" }], &[]),
            self.last.clone(),
            output("logits"),
        ];
        model(self.opset, &parts)
    }
}

#[test]
fn files_that_are_cut_short_or_changed_are_one_line_and_never_panic() -> Result<()> {
    let folder = Folder::new();
    let cases: Vec<Case<FileOptions>> = load("onnx_files")?;
    let mut rng = stream(15, Purpose::Parameters, 0);
    for name in ["lstm-2-one-direction-bias", "dynamo-gru-2-one-direction-none", "unfolded"] {
        let case = cases.iter().find(|case| case.name == name).unwrap();
        let whole = std::fs::read(write(&folder, case)?)?;
        for length in (0..whole.len()).step_by(37) {
            assert!(problem(&folder, &whole[..length]).is_some(), "{name}, the first {length} bytes");
        }
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..4) {
                let place = rng.random_range(0..bytes.len());
                bytes[place] = rng.random();
            }
            problem(&folder, &bytes);
        }
    }
    Ok(())
}

#[test]
fn operators_that_are_not_converted_are_named() {
    let folder = Folder::new();
    assert_eq!(problem(&folder, &Parts::new().bytes()), None);
    let attribute = |attribute: Vec<u8>| Parts { attributes: vec![attribute], ..Parts::new() };
    let after =
        |kind: &str, inputs: &[&str]| Parts { after: node(kind, inputs, &["z"], &[]), ..Parts::new() };
    let before =
        |kind: &str, inputs: &[&str]| Parts { before: node(kind, inputs, &["x"], &[]), ..Parts::new() };
    for (parts, expected) in [
        (attribute(float("clip", 3.)), "the operator RNN (\"RNN of y\") clips its gates"),
        (
            attribute(words("activations", &["Softsign"])),
            "has the activations softsign; our cell has tanh or relu",
        ),
        (attribute(int("hidden_size", 7)), "has weights of shapes [1, 2, 3], [1, 2, 2]"),
        (attribute(int("layout", 1)), "the operator Squeeze (\"Squeeze of s\") removes dimension 1"),
        (attribute(int("strength", 1)), "has the unknown attribute strength"),
        (
            after("Erf", &["s"]),
            "has outputs that are not understood: the operator Erf (\"Erf of z\") is not converted",
        ),
        (after("Relu", &["s"]), "the operator Relu (\"Relu of z\") is not converted"),
        (after("Add", &["s", "s"]), "the operator RNN (\"RNN of y\") is joined with others"),
        (before("Mul", &["e", "E"]), "computes with a tensor of the network and a constant"),
        (before("Loop", &["e"]), "runs operators in a loop or a branch; expected recurrent layers"),
        (after("Identity", &["e"]), "is no output layer"),
        (after("Identity", &["later"]), "reads \"later\", which no operator before it computes"),
        (after("Identity", &["z"]), "reads \"z\", which no operator before it computes"),
        (Parts { opset: 8, ..Parts::new() }, "has operators of version 8; expected 9 or later"),
        (Parts { further: output("y2"), ..Parts::new() }, "has no value \"y2\", an output"),
        (Parts { further: node("Identity", &["E"], &["s"], &[]), ..Parts::new() }, "computes \"s\" twice"),
        (Parts { further: Parts::new().w, ..Parts::new() }, "has two tensors of the name \"W\""),
        (Parts { w: floats("W", &[1, 2, 2], &[0.; 4]), ..Parts::new() }, "reads a tensor without 2 features"),
        (Parts { w: floats("W", &[1, 3, 3], &[0.; 9]), ..Parts::new() }, "expected 1 rows a unit"),
        (
            Parts { r: floats("R", &[1, 2, 2], &[0.; 3]), ..Parts::new() },
            "has 12 bytes; its shape [1, 2, 2] needs 16",
        ),
        (Parts { r: floats("R", &[1, 0, 0], &[]), ..Parts::new() }, "has weights of shapes"),
        (Parts { decoder: floats("D", &[3, 11], &[0.5; 33]), ..Parts::new() }, "a matrix of 3 rows"),
        (Parts { decoder: floats("D", &[2, 7], &[0.5; 14]), ..Parts::new() }, "no names of its 7 outputs"),
        (
            Parts { embedding: floats("E", &[11, 3], &[f32::NAN; 33]), ..Parts::new() },
            "holds NaN or infinity",
        ),
    ] {
        let error = problem(&folder, &parts.bytes()).unwrap();
        assert!(error.contains(expected), "expected {expected}: {error}");
    }
    let last = |nodes: &[(&str, &[&str], &str)]| {
        let nodes = nodes.iter().map(|(kind, inputs, result)| node(kind, inputs, &[result], &[]));
        let bias = floats("c", &[11], &[0.5; 11]);
        Parts { last: nodes.collect::<Vec<_>>().concat(), further: bias, ..Parts::new() }
    };
    assert_eq!(problem(&folder, &last(&[("Softmax", &["m"], "logits")]).bytes()), None);
    for (parts, expected) in [
        (last(&[("Softmax", &["m"], "p"), ("Add", &["p", "c"], "logits")]), "adds a constant to the results"),
        (
            last(&[("Softmax", &["m"], "p"), ("Softmax", &["p"], "logits")]),
            "normalises probabilities once more",
        ),
        (
            Parts { further: integers("fixed", &[2], &[3, 2]), lengths: "fixed", ..Parts::new() },
            "has fixed lengths that are not the number of steps",
        ),
    ] {
        let error = problem(&folder, &parts.bytes()).unwrap();
        assert!(error.contains(expected), "expected {expected}: {error}");
    }
    let empty = model(17, &[]);
    assert!(problem(&folder, &empty).unwrap().contains("has no recurrent layer"));
}

#[test]
fn options_that_a_graph_shows_by_itself_are_refused() {
    use rnn_zoo::formats::ImportOptions;
    use rnn_zoo::models::{Nonlinearity, Readout};
    let folder = Folder::new();
    let path = folder.path("file.onnx");
    std::fs::write(&path, Parts::new().bytes()).unwrap();
    let plain = || options(&folder, "lm", 11);
    for (options, field) in [
        (ImportOptions { nonlinearity: Nonlinearity::Relu, ..plain() }, "nonlinearity"),
        (ImportOptions { readout: Readout::Mean, ..plain() }, "readout"),
        (ImportOptions { names: vec![("E".into(), "encoder.weight".into())], ..plain() }, "names"),
    ] {
        let error = folder.convert(&path, "bundle", &options).unwrap_err().to_string();
        assert_eq!(error, format!("{field}: the ONNX graph defines it; leave it out"));
    }
}

/// A tensor in another file.
fn elsewhere(location: &str, offset: &str, length: &str) -> Vec<u8> {
    let entry =
        |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let entries =
        [entry("location", location), entry("offset", offset), entry("length", length), number(14, 1)];
    tensor("W", &[1, 2, 3], 1, &entries.concat())
}

#[test]
fn data_beside_the_model_is_read_and_elsewhere_refused() {
    let folder = Folder::new();
    let data: Vec<u8> = [0.25f32; 8].iter().flat_map(|value| value.to_le_bytes()).collect();
    std::fs::write(folder.path("data"), &data).unwrap();
    let inside = tempfile::tempdir_in(folder.path("")).unwrap();
    std::fs::write(inside.path().join("data"), &data).unwrap();
    let nested = Path::new(inside.path().file_name().unwrap()).join("data");
    let found = |w: Vec<u8>| problem(&folder, &Parts { w, ..Parts::new() }.bytes());
    assert_eq!(found(elsewhere("data", "4", "24")), None);
    assert_eq!(found(elsewhere("./data", "8", "24")), None);
    assert_eq!(found(elsewhere(&nested.to_string_lossy(), "0", "24")), None);
    let outside = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(outside.path(), &data).unwrap();
    let absolute = outside.path().to_string_lossy().into_owned();
    #[cfg(unix)]
    std::os::unix::fs::symlink(outside.path(), folder.path("link")).unwrap();
    let locations = ["../data", "a/../../data", "", ".", &absolute];
    for location in locations.into_iter().chain(cfg!(unix).then_some("link")) {
        let error = found(elsewhere(location, "0", "24")).unwrap();
        assert!(error.contains("outside the folder of the model"), "{location}: {error}");
    }
    for ((location, offset, length), expected) in [
        (("none", "0", "24"), "is in none, which cannot be read"),
        (("data", "12", "24"), "is at byte 12 of data with 24 bytes, but the file has 32"),
        (("data", "18446744073709551615", "24"), "but the file has 32"),
        (("data", "0", "4294967296"), "has 4294967296 bytes in data; its shape [1, 2, 3] needs 24"),
        (("data", "-1", "24"), "has no valid offset"),
    ] {
        let error = found(elsewhere(location, offset, length)).unwrap();
        assert!(error.contains(expected), "{error}");
    }
    // The same bytes twice.
    let twice = [
        elsewhere("data", "0", "24"),
        tensor("V", &[1, 2, 3], 1, &{
            let entry = |key: &str, value: &str| {
                field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat())
            };
            [entry("location", "data"), number(14, 1)].concat()
        }),
    ];
    let after = node("Add", &["s", "V"], &["z"], &[]);
    let error = problem(&folder, &Parts { w: twice.concat(), after, ..Parts::new() }.bytes()).unwrap();
    assert!(error.contains("overlaps others in data"), "{error}");
}

#[test]
fn huge_lengths_shapes_counts_and_depths_take_bounded_memory() {
    let folder = Folder::new();
    let cut = [number(1, 8), vec![0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f]].concat(); // a graph of 4 GB
    assert!(problem(&folder, &cut).unwrap().contains("is cut short or not an ONNX file"));
    let wide = Parts { w: floats("W", &[1 << 40, 1 << 40], &[]), ..Parts::new() };
    assert!(problem(&folder, &wide.bytes()).unwrap().contains("has the shape"));
    let large = Parts { w: floats("W", &[1, 1 << 31, 3], &[]), ..Parts::new() };
    assert!(problem(&folder, &large.bytes()).unwrap().contains("has 0 bytes; its shape [1, 2147483648, 3]"));
    // Two million empty nodes in 4 MB.
    let nodes = model(17, &[[0x0a, 0].repeat(2_000_000)]);
    assert!(problem(&folder, &nodes).unwrap().contains("describes a graph that takes more than"));
    // Each join doubles the one before it.
    let doubled: Vec<u8> = (0..64)
        .flat_map(|at| {
            let (from, to) = (format!("d{at}"), format!("d{}", at + 1));
            node("Concat", &[&from, &from], &[&to], &[int("axis", 0)])
        })
        .collect();
    let constants = [floats("d0", &[1000], &[0.5; 1000]), doubled.clone()].concat();
    let read = node("Add", &["s", "d64"], &["z"], &[]);
    let error = problem(&folder, &Parts { further: constants, after: read, ..Parts::new() }.bytes()).unwrap();
    assert!(error.contains("computes constants that are much larger than those of the file"), "{error}");
    let read =
        [node("Identity", &["h"], &["d0"], &[]), doubled, node("Squeeze", &["d64", "one"], &["z"], &[])];
    let error = problem(&folder, &Parts { after: read.concat(), ..Parts::new() }.bytes()).unwrap();
    assert!(error.contains("has a graph of too many values"), "{error}");
    // A message in a message in a message.
    let deep = (0..100_000)
        .fold(vec![], |inner: Vec<u8>, _| if inner.len() < 60_000 { field(6, &inner) } else { inner });
    problem(&folder, &model(17, &[field(1, &field(5, &deep))]));
}
