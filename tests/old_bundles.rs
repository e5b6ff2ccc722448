//! Bundles of an older program, in `fixtures/before_layout`: they load, answer as before, and resume to the byte.
//!
//! `scripts/golden/old_bundles` made the bundles and the expected results with the program of commit 464e6e3. All
//! comparisons are exact, on the portable kernels, which run on every processor. They rely on this:
//!
//! - The number of threads does not change the kernels' results. It is fixed all the same.
//! - Without vector instructions the kernels round each product and each sum, and use no mathematical functions of the
//!   system. On aarch64 they fuse the two, so the tests of exact bytes run on x86-64 alone.
//! - Training, scoring and answers in f32 multiply matrices in the kernels alone.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// The committed bundles, their training data, and the results of the old program in `expected`.
fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/before_layout")
}

fn expected(name: &str) -> String {
    fs::read_to_string(fixture().join("expected").join(name)).unwrap()
}

/// Copy a folder and its subfolders.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let copied = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &copied),
            false => fs::write(copied, fs::read(&path).unwrap()).unwrap(),
        }
    }
}

/// A copy of the fixture in which `rnn` works.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        copy(&fixture(), folder.0.path());
        folder
    }

    /// Run a successful command on the portable kernels and return its standard output.
    fn rnn(&self, arguments: &[&str]) -> String {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
        command.current_dir(&self.0).args(arguments).env("RNN_ZOO_SIMD", "portable");
        let output = command.envs(["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"].map(|name| (name, "2")));
        let output = output.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Resumes the run in `bundle` up to `steps` and compares every tensor file and the state with the old program's.
    fn assert_resumes(&self, bundle: &str, steps: &str) {
        self.rnn(&["train", "--resume", bundle, "--max-steps", steps]);
        let checksums = expected("resumed.sha256");
        let checksums = checksums.lines().map(|line| line.split_once("  ").unwrap());
        let mut compared = 0;
        for (checksum, name) in checksums.filter(|(_, name)| name.starts_with(bundle)) {
            let found = format!("{:x}", Sha256::digest(fs::read(self.0.path().join(name)).unwrap()));
            assert_eq!(found, checksum, "{name}");
            compared += 1;
        }
        assert!(compared >= 5, "{bundle}: {compared} files compared");
        let state = fs::read_to_string(self.0.path().join(bundle).join("training/state.json")).unwrap();
        assert_contains(
            &serde_json::from_str(&state).unwrap(),
            &serde_json::from_str(&expected(&format!("{bundle}.state.json"))).unwrap(),
            bundle,
        );
    }
}

/// Assert that `found` has every value of `expected`, durations aside. `found` may have further fields, and more
/// reports: newer programs write one before each evaluation.
fn assert_contains(found: &Value, expected: &Value, place: &str) {
    let Value::Object(fields) = expected else {
        return assert_eq!(found, expected, "{place}");
    };
    for (name, expected) in fields.iter().filter(|(name, _)| *name != "seconds") {
        let place = format!("{place}.{name}");
        let found = found.get(name).unwrap_or_else(|| panic!("{place} is missing"));
        match name.as_str() {
            "metrics_lines" => assert!(found.as_u64() >= expected.as_u64(), "{place}: {found} of {expected}"),
            _ => assert_contains(found, expected, &place),
        }
    }
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "products and sums are rounded once")]
fn language_model_scores_and_generates_as_before() {
    let folder = Folder::new();
    assert_eq!(folder.rnn(&["score", "language-model", "text.txt"]), expected("score.txt"));
    // The ten likeliest tokens exclude `<eos>`, which was never a target and is banned by newer programs.
    let sampling = ["--count", "3", "--seed", "3", "--length", "60", "--top-k", "10"];
    let generate = [&["generate", "language-model", "--prompt", "the "][..], &sampling].concat();
    assert_eq!(folder.rnn(&generate), expected("generate.txt"));
}

#[test]
fn classifier_predicts_as_before() {
    let predict = ["predict", "classifier", "--data", "reviews.csv", "--text-column", "review"];
    assert_eq!(Folder::new().rnn(&predict), expected("predict.txt"));
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "products and sums are rounded once")]
fn language_model_resumes_to_the_same_bytes() {
    Folder::new().assert_resumes("language-model", "70");
}

#[test]
#[cfg_attr(not(target_arch = "x86_64"), ignore = "products and sums are rounded once")]
fn classifier_resumes_to_the_same_bytes() {
    Folder::new().assert_resumes("classifier", "50");
}
