//! `rnn convert`: files of PyTorch and ONNX as bundles that every command takes.

use serde::de::IgnoredAny;
use serde_json::Value;

use super::Folder;
use crate::golden::{Case, load};

/// A folder with the golden file `file` of PyTorch, and with its vocabulary and labels.
fn folder_with(file: &str) -> Folder {
    let folder = Folder::new();
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/pytorch").join(file);
    folder.write(file, std::fs::read(golden).unwrap());
    let words: String = (2..11).map(|word| format!("w{word}\n")).collect();
    folder.write("words.txt", format!("<unk>\n<eos>\n{words}"));
    folder.write("labels.txt", "O\nB-A\nI-A\nB-B\nI-B\n");
    folder.write("lines.txt", "w2 w3 w4\nw5 w6 new w2\n".repeat(40));
    folder
}

const LSTM: &str = "lstm-2-one-direction-bias.safetensors";

#[test]
fn converted_language_model_works_with_every_command() {
    let folder = folder_with(LSTM);
    folder.done(&format!("convert {LSTM} --out m --vocab words.txt"));
    let config = folder.json("m/config.json");
    assert_eq!(config["converted_from"]["format"], "pytorch");
    assert_eq!(config["converted_from"]["file"], LSTM);
    assert_eq!(
        (&config["model"], &config["task"], &config["tokenizer"]),
        (&"lstm".into(), &"lm".into(), &"word".into())
    );
    let figures: Value =
        serde_json::from_str(&folder.done("eval m --data lines.txt --split test --json")).unwrap();
    assert!(
        figures["perplexity"].as_f64().is_some_and(|perplexity| perplexity > 1. && perplexity < 100.),
        "{figures}"
    );
    let text = folder.done("generate m --prompt w2 --length 5 --seed 1");
    assert!(text.starts_with("w2"), "{text}");
    assert_eq!(folder.done("score m lines.txt").lines().count(), 80);
    assert!(folder.done("list").contains("\n  m  "), "the bundle is listed");
    folder.done("export m --out slim --dtype f16");
    folder.done("export m --format onnx --out m.onnx");
    folder.done("convert m.onnx --out from-onnx");
    assert!(folder.bytes("from-onnx/model.safetensors") == folder.bytes("m/model.safetensors"));
    assert!(folder.bytes("from-onnx/tokenizer.json") == folder.bytes("m/tokenizer.json"));
    folder.done("export m --format pytorch --out m.safetensors");
    folder.done("convert m.safetensors --out from-pytorch"); // with the tokenizer beside it
    assert!(folder.bytes("from-pytorch/model.safetensors") == folder.bytes("m/model.safetensors"));
    folder.done("train --from m --data lines.txt --out tuned --batch-size 4 --bptt 4 --max-steps 2");
    folder.done("eval tuned --data lines.txt --split test");
}

#[test]
fn converted_classifier_and_tagger_predict() {
    let folder = folder_with("classifier.pt");
    folder.done("convert classifier.pt --out c --vocab words.txt --task classify --labels labels.txt");
    let answer: Value = serde_json::from_str(&folder.done("predict c --text w3 --json")).unwrap();
    assert_eq!(answer["probabilities"].as_object().unwrap().len(), 5);
    folder.write("data.csv", "label,text\nO,w2 w3\nB-A,w4\n");
    let figures = folder.done("eval c --data data.csv --json");
    let figures: Value = serde_json::from_str(&figures).unwrap();
    assert_eq!(figures["task"], "classify");

    let folder = folder_with("gru-1-both-directions-bias.bin");
    folder.done(
        "convert gru-1-both-directions-bias.bin --out t --vocab words.txt --task tag --labels labels.txt",
    );
    let answer: Value = serde_json::from_str(&folder.done("predict t --text w3 --json")).unwrap();
    assert_eq!(
        (answer["tokens"].as_array().unwrap().len(), answer["tags"].as_array().unwrap().len()),
        (1, 1)
    );
    // The labels are in no order. The tags that the tagger gives are right.
    let words = ["w2", "w3", "w4", "w5"];
    let tag = |word: &str| {
        let answer: Value =
            serde_json::from_str(&folder.done(&format!("predict t --text {word} --json"))).unwrap();
        answer["tags"][0].as_str().unwrap().to_string()
    };
    let rows: String = words.iter().map(|word| format!("{word} {}\n\n", tag(word))).collect();
    folder.write("data.conll", rows);
    let output = folder.rnn("eval t --data data.conll --json").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("does not know"), "{said}");
    let figures: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&figures["accuracy"], &figures["tokens"]), (&1.0.into(), &4.into()), "{figures}");
    assert!(figures["f1"].is_number(), "spans are known by their tags: {figures}");
}

#[test]
fn records_without_a_label_are_skipped_by_a_converted_classifier() {
    let folder = Folder::new();
    folder.write("a.csv", format!("text,label\nwhat,\n{}", "good one,pos\nbad one,neg\n".repeat(20)));
    let flags = "--label-column label --hidden 8 --embedding 8 --max-steps 2 --batch-size 4";
    folder.done(&format!("train gru --data a.csv {flags} --out m"));
    folder.done("export m --format onnx --out m.onnx");
    folder.done("convert m.onnx --out back");
    let line = "eval back --data a.csv --label-column label";
    let output = folder.rnn(line).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && said.contains("1 has no label in `label`"), "{said}");
    folder.refused("convert back --out other", 1, &["back: is a folder; expected a file", ".onnx"]);
}

#[test]
fn conversion_names_what_is_missing_and_changes_nothing() {
    let folder = folder_with(LSTM);
    let refused =
        |line: &str, code, mentions: &[&str]| folder.refused(&format!("convert {line}"), code, mentions);
    refused(&format!("{LSTM} --out m"), 2, &["--vocab", "the 11 tokens of its embedding"]);
    refused(
        &format!("{LSTM} --out m --vocab labels.txt"),
        1,
        &["labels.txt", "no token for unknown words", "--unknown"],
    );
    refused(
        &format!("{LSTM} --out m --vocab labels.txt --unknown O"),
        1,
        &["labels.txt: has 5 tokens, but the embedding has 11 rows"],
    );
    refused("words.txt --out m", 1, &["words.txt: is none of the formats that are read"]);
    refused("missing.pt --out m", 1, &["missing.pt: cannot be read"]);
    refused(&format!("{LSTM} --out m --vocab words.txt --map a"), 2, &["--map", "expected THEIRS=OURS"]);
    refused(
        &format!("{LSTM} --out m --vocab words.txt --map a=b"),
        2,
        &["--map", "the file has no tensor a"],
    );
    refused(
        &format!("{LSTM} --out m --vocab words.txt --labels labels.txt"),
        2,
        &["--labels", "a language model, which has no labels", "--task"],
    );
    refused(
        &format!("{LSTM} --out m --vocab words.txt --readout mean"),
        2,
        &["--readout", "only classifiers have one, and the task is lm"],
    );
    refused(
        &format!("{LSTM} --out m --vocab words.txt --map decoder.weight=decoder"),
        2,
        &["--map", "decoder is no parameter here; expected encoder.weight"],
    );
    refused(
        &format!("{LSTM} --out m --vocab words.txt --task forecast"),
        2,
        &["--task", "lm, classify, tag"],
    );
    refused(
        &format!("{LSTM} --out m --vocab words.txt --nonlinearity relu"),
        2,
        &["--nonlinearity", "leave it out"],
    );
    folder.done(&format!("convert {LSTM} --out m --vocab words.txt"));
    refused(&format!("{LSTM} --out m --vocab words.txt"), 1, &["m", "--force"]);
    folder.done(&format!("convert {LSTM} --out m --vocab words.txt --force"));
    folder.refused("export m --format pytorch --out m.pt", 2, &["--out", "ends with .safetensors"]);
    folder.done("export m --format pytorch --out p.safetensors");
    folder.refused("export m --format pytorch --out p.safetensors", 1, &["p.safetensors: exists", "--force"]);
    folder.refused("export m --format onnx --out m.pb", 2, &["--out", "ends with .onnx"]);
    let help = folder.done("export --help");
    assert!(help.contains("PyTorch state dict (.safetensors)") && !help.contains(".pth"), "{help}");
    folder.done(&format!("train lstm --data text.txt --out norm --layer-norm {}", super::TINY));
    let part = "the recurrent stack has layer normalisation, which the layers of PyTorch do not have";
    folder.refused("export norm --format pytorch --out n.safetensors", 1, &[part]);

    let folder = folder_with("classifier.pt");
    let open = "convert classifier.pt --out c --vocab words.txt";
    folder.refused(open, 2, &["--task", "the network has 5 outputs for 11 tokens"]);
    folder.refused(&format!("{open} --task classify"), 2, &["--labels", "names of its 5 outputs"]);
    folder.refused(&format!("{open} --task lm"), 2, &["--task", "as many outputs as tokens"]);
}

/// Write a file that another program wrote, of the golden fixtures, to a folder.
fn write_graph(folder: &Folder, name: &str) {
    let cases: Vec<Case<IgnoredAny>> = load("onnx_files").unwrap();
    let case = cases.iter().find(|case| case.name == name).unwrap();
    let model = case.kinds["input"]["model"].to_vec1::<u8>().unwrap();
    folder.write(&format!("{name}.onnx"), model);
}

#[test]
fn onnx_graphs_of_other_programs_are_converted_with_a_vocabulary_and_labels() {
    let folder = folder_with(LSTM);
    for name in ["lstm-2-one-direction-bias", "gru-2-both-directions-none", "mean"] {
        write_graph(&folder, name);
    }
    folder.done("convert lstm-2-one-direction-bias.onnx --out lm --vocab words.txt");
    let config = folder.json("lm/config.json");
    assert_eq!((&config["task"], &config["converted_from"]["format"]), (&"lm".into(), &"onnx".into()));
    folder.done("generate lm --prompt w2 --length 5 --seed 1");
    folder.done("convert gru-2-both-directions-none.onnx --out tag --vocab words.txt --labels labels.txt");
    folder.done("predict tag --text w3 --json");
    folder.done("convert mean.onnx --out classify --vocab words.txt --labels labels.txt");
    let config = folder.json("classify/config.json");
    assert_eq!((&config["task"], &config["network"]["readout"]), (&"classify".into(), &"mean".into()));
    folder.done("predict classify --text w3 --json");
    let refused =
        |line: &str, code, mentions: &[&str]| folder.refused(&format!("convert {line}"), code, mentions);
    refused("mean.onnx --out m", 2, &["--labels", "names of its 5 outputs"]);
    refused("mean.onnx --out m --labels labels.txt", 2, &["--vocab", "the 11 tokens of its embedding"]);
    refused("mean.onnx --out m --task tag", 2, &["--task", "one vector for a text (mean)"]);
    refused(
        "gru-2-both-directions-none.onnx --out m --task classify",
        2,
        &["--task", "outputs for every word"],
    );
    refused("gru-2-both-directions-none.onnx --out m --task lm", 2, &["--task", "as many outputs as tokens"]);
    refused("mean.onnx --out m --readout max", 2, &["--readout", "leave it out"]);
    refused("mean.onnx --out m --map a=b", 2, &["--map", "leave it out"]);
}
