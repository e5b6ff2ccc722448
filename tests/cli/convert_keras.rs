//! `rnn convert` and `rnn export --format keras`: models of Keras as bundles that every command takes, and back.

use std::path::Path;

use serde_json::Value;

use super::Folder;

/// A folder with golden files of Keras, and with their vocabulary and labels.
fn folder_with(files: &[&str]) -> Folder {
    let folder = Folder::new();
    for file in files {
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/keras").join(file);
        folder.write(file, std::fs::read(golden).unwrap());
    }
    let words: String = (2..11).map(|word| format!("w{word}\n")).collect();
    folder.write("words.txt", format!("<unk>\n<eos>\n{words}"));
    folder.write("labels.txt", "a\nb\nc\nd\ne\n");
    folder.write("lines.txt", "w2 w3 w4\nw5 w6 new w2\n".repeat(40));
    folder
}

fn perplexity(folder: &Folder, bundle: &str) -> f64 {
    let figures = folder.done(&format!("eval {bundle} --data lines.txt --split test --json"));
    let figures: Value = serde_json::from_str(&figures).unwrap();
    figures["perplexity"].as_f64().unwrap()
}

#[test]
fn converted_language_model_works_with_every_command_and_returns() {
    let folder = folder_with(&["gru-after-1-one-direction-bias.keras"]);
    folder.done("convert gru-after-1-one-direction-bias.keras --out m --vocab words.txt");
    let config = folder.json("m/config.json");
    assert_eq!((&config["model"], &config["converted_from"]["format"]), (&"gru".into(), &"keras".into()));
    let text = folder.done("generate m --prompt w2 --length 5 --seed 1");
    assert!(text.starts_with("w2"), "{text}");
    let expected = perplexity(&folder, "m");
    folder.done("export m --format keras --out back.keras");
    folder.done("convert back.keras --out again");
    assert!(folder.bytes("again/model.safetensors") == folder.bytes("m/model.safetensors"));
    assert!(folder.bytes("again/tokenizer.json") == folder.bytes("m/tokenizer.json"));
    assert_eq!(perplexity(&folder, "again"), expected);
    folder.done("train --from m --data lines.txt --out tuned --batch-size 4 --bptt 4 --max-steps 2");
    folder.refused("export m --format keras --out m.h5", 2, &["--out", "ends with .keras"]);
    folder.refused("export m --format keras --out back.keras", 1, &["back.keras: exists", "--force"]);
    let refused = |line: &str, mentions: &[&str]| folder.refused(line, 2, mentions);
    let file = "gru-after-1-one-direction-bias.keras";
    refused(&format!("convert {file} --out n"), &["--vocab", "the 11 tokens of its embedding"]);
    refused(
        &format!("convert {file} --out n --vocab words.txt --map a=b"),
        &["--map", "leave the option out"],
    );
    refused(
        &format!("convert {file} --out n --vocab words.txt --nonlinearity relu"),
        &["--nonlinearity", "no recurrent layer of the file uses relu"],
    );
    refused(
        &format!("convert {file} --out n --vocab words.txt --readout mean"),
        &["--readout", "define another readout"],
    );
}

#[test]
fn models_that_were_trained_here_keep_their_scores() {
    let folder = folder_with(&[]);
    for (model, further) in [("lstm", "--layers 2"), ("simple-rnn", ""), ("gru", ""), ("rnnlm", "--tied")] {
        let data = "--data lines.txt --tokenizer word --hidden 8 --batch-size 4 --bptt 4 --max-steps 5";
        folder.done(&format!("train {model} {data} {further} --out {model}"));
        let expected = perplexity(&folder, model);
        folder.done(&format!("export {model} --format keras --out {model}.keras"));
        folder.done(&format!("convert {model}.keras --out {model}-back"));
        // Two biases have become their sum.
        let found = perplexity(&folder, &format!("{model}-back"));
        assert!((found / expected - 1.).abs() < 1e-5, "{model}: {found}, not {expected}");
    }
    folder.done(
        "train lstm --data lines.txt --tokenizer word --layer-norm --max-steps 1 --hidden 4 --out norm",
    );
    let part = "the recurrent stack has layer normalisation, which the layers of Keras do not have";
    folder.refused("export norm --format keras --out norm.keras", 1, &[part]);
}

#[test]
fn converted_classifiers_and_taggers_predict() {
    let folder = folder_with(&["classifier-mean.h5", "old-gru.h5", "text.keras", "own-lstm.keras"]);
    let answer = |line: &str| -> Value { serde_json::from_str(&folder.done(line)).unwrap() };
    folder.done("convert classifier-mean.h5 --out c --vocab words.txt --labels labels.txt");
    let found = answer("predict c --text w3 --json");
    assert_eq!(found["probabilities"].as_object().unwrap().len(), 5);
    folder.done("convert old-gru.h5 --out t --vocab words.txt --labels labels.txt");
    assert_eq!(answer("predict t --text w3 --json")["tags"].as_array().unwrap().len(), 1);
    folder.write("two.txt", "negative\npositive\n");
    folder.done("convert text.keras --out v --labels two.txt");
    folder.write("texts.csv", "text\n\"The CAT, sat!\"\nthe cat sat\n");
    let answers = folder.done("predict v --data texts.csv --json");
    let [upper, lower] = [0, 1].map(|line| answers.lines().nth(line).unwrap());
    assert_eq!(upper, lower, "case and punctuation do not matter");
    folder.write("three.txt", "z\ny\nx\n"); // in the order of the outputs, not of the alphabet
    folder.done("convert own-lstm.keras --out n --labels three.txt");
    folder.write(
        "d.ts",
        "@dimensions 4\n@classLabel true x y z\n@data\n0,1:0,1:0,1:0,1:y\n2,1:0,1:0,1:0,1:z\n",
    );
    let lines = folder.done("predict n --data d.ts --json");
    assert_eq!(lines.lines().count(), 2);
    let figures = answer("eval n --data d.ts --split all --json");
    assert_eq!(figures["confusion"].as_array().unwrap().len(), 3, "{figures}");
}
