//! The bundles that ship with the project are complete and have the scores written beside them.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};

/// Relative tolerance of a score: instruction sets round differently.
const TOLERANCE: f64 = 1e-3;

/// The same of accuracies and other figures, which an answer that changes moves by steps.
const METRIC_TOLERANCE: f64 = 0.02;

/// Every bundle in `weights/`, by name.
const NAMES: [&str; 12] = [
    "gru-etth1",
    "gru-m4-hourly",
    "gru-multi30k",
    "gru-shakespeare",
    "gru-story",
    "gru-trec",
    "lstm-conll2000",
    "lstm-shakespeare",
    "lstm-story",
    "rnnlm-ptb",
    "rnnlm-story",
    "simple-rnn-story",
];

/// The folders in `weights/`, which are those of the list.
fn bundles() -> Vec<PathBuf> {
    let weights = Path::new(env!("CARGO_MANIFEST_DIR")).join("weights");
    let folders = std::fs::read_dir(weights).unwrap().map(|entry| entry.unwrap().path());
    let mut bundles: Vec<PathBuf> = folders.filter(|path| path.is_dir()).collect();
    bundles.sort();
    let names: Vec<_> = bundles.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert_eq!(names, NAMES, "weights/ and the list in this test differ");
    bundles
}

fn rnn(arguments: &[&str]) -> String {
    let output = Command::new(assert_cmd::cargo::cargo_bin!("rnn")).args(arguments).output().unwrap();
    assert!(output.status.success(), "rnn {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn scores_on_builtin_data_are_those_beside_the_bundles() {
    check_scores(|data| data.starts_with("builtin:").then(|| data.to_string()));
}

#[test]
#[ignore = "reads corpora from RNN_ZOO_DATA"]
fn scores_on_corpora_are_those_beside_the_bundles() {
    let corpora = std::env::var("RNN_ZOO_DATA").expect("RNN_ZOO_DATA names the folder of the corpora");
    check_scores(|data| (!data.starts_with("builtin:")).then(|| format!("{corpora}/{data}")));
}

/// Check the scores of the bundles for whose data `place` returns a path.
fn check_scores(place: impl Fn(&str) -> Option<String>) {
    let mut checked = 0;
    for bundle in bundles() {
        let bundle = bundle.display();
        let card: Value =
            serde_json::from_str(&std::fs::read_to_string(format!("{bundle}/score.json")).unwrap()).unwrap();
        let Some(data) = place(card["data"].as_str().unwrap()) else { continue };
        checked += 1;
        let bundle = bundle.to_string();
        let mut arguments = vec!["eval", &bundle, "--json", "--data", &data];
        arguments.extend(card["how"].as_str().unwrap().split(' '));
        let scores: Value = serde_json::from_str(&rnn(&arguments)).unwrap();
        assert_eq!(scores["tokens"], card["scores"]["tokens"], "{bundle}");
        let [found, expected] = [&scores, &card["scores"]].map(|scores| scores["loss"].as_f64().unwrap());
        assert!(
            (found / expected - 1.).abs() < TOLERANCE,
            "{bundle} scores {found}, its card says {expected}"
        );
        for (name, expected) in card["scores"].as_object().unwrap() {
            let Some(expected) = expected.as_f64() else { continue };
            let found = scores[name].as_f64().unwrap_or(f64::NAN);
            let most = METRIC_TOLERANCE * expected.abs().max(0.1);
            assert!(
                (found - expected).abs() <= most,
                "{bundle}: {name} is {found}, its card says {expected}"
            );
        }
    }
    assert!(checked > 0, "no bundle has such data");
}

#[test]
fn bundles_are_complete_and_language_models_write() {
    let all = bundles();
    let size = |path: &Path| std::fs::metadata(path).unwrap().len();
    let mut total = 0;
    for bundle in &all {
        let name = bundle.display();
        let config: Value =
            serde_json::from_str(&std::fs::read_to_string(bundle.join("config.json")).unwrap()).unwrap();
        if config["task"] == "lm" {
            let text = rnn(&["generate", &name.to_string(), "--length", "30"]);
            assert!(text.trim().chars().count() > 10, "{name} wrote {text:?}");
        }
        for file in ["README.md", "recipe.toml", "curve.svg", "score.json"] {
            assert!(bundle.join(file).is_file(), "{name} has no {file}");
        }
        let sums = std::fs::read_to_string(bundle.join("SHA256SUMS")).unwrap();
        assert!(sums.lines().count() >= 6, "{name}: {sums}");
        for (sum, file) in sums.lines().filter_map(|line| line.split_once("  ")) {
            let digest = Sha256::digest(std::fs::read(bundle.join(file)).unwrap());
            let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(found, sum, "{name}/{file} is not what was exported");
        }
        total += std::fs::read_dir(bundle).unwrap().map(|file| size(&file.unwrap().path())).sum::<u64>();
    }
    assert!(total <= 50_000_000, "the bundles have {total} bytes; 50 million are enough");
}
