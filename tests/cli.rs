//! `rnn` as a user drives it: what it writes, where, and with which exit code.

mod bad_bundle;
mod bad_input;
mod bench;
mod card;
mod classify;
mod convert;
mod convert_keras;
mod data;
mod eval;
mod exit_codes;
mod export;
mod export_onnx;
mod forecast;
mod forecast_counts;
mod forecast_files;
mod forecast_times;
mod from;
mod generate;
mod int8;
mod no_effect;
mod pipes;
mod plot;
mod precision;
mod predict;
mod processes;
mod recipe;
mod resume;
mod saved_text;
mod score;
mod shell;
mod short_text;
mod tables;
mod tag;
mod tensorboard;
mod train;
mod translate;
mod usage_errors;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;
use tempfile::TempDir;

/// Flags that make a run of milliseconds.
pub(crate) const TINY: &str = "--hidden 8 --embedding 8 --layers 1 --batch-size 4 --bptt 8 --max-steps 3";

/// As [`TINY`], for models of whole sequences, which have no windows.
pub(crate) const TINY_SEQUENCES: &str = "--hidden 8 --embedding 8 --layers 1 --batch-size 4 --max-steps 3";

/// A folder that a user works in, with a small text in `text.txt`.
pub(crate) struct Folder(TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("text.txt", text());
        folder
    }

    /// A folder with a tiny language model of the text in `m`, a character LSTM.
    pub(crate) fn with_model() -> Self {
        let folder = Self::new();
        folder.done(&format!("train lstm --data text.txt --out m {TINY}"));
        folder
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    fn json(&self, name: &str) -> Value {
        serde_json::from_slice(&self.bytes(name)).unwrap()
    }

    /// `rnn` in this folder; the arguments in `line` hold no spaces.
    pub(crate) fn rnn(&self, line: &str) -> Command {
        let mut command = Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
        // With backtraces on, as many have them: an error is one line all the same.
        command.current_dir(&self.0).env("RUST_BACKTRACE", "1").args(line.split_whitespace());
        command
    }

    /// Run a command that succeeds; return its standard output.
    pub(crate) fn done(&self, line: &str) -> String {
        written(&self.rnn(line).output().unwrap(), line)
    }

    /// Run a command that fails with `code` and an error that mentions all of `mentions`, and that
    /// leaves every file as it was.
    pub(crate) fn refused(&self, line: &str, code: i32, mentions: &[&str]) {
        let before = self.snapshot();
        let output = self.rnn(line).output().unwrap();
        assert_one_line(&output, code, mentions, line);
        assert_eq!(output.stdout, b"", "{line}");
        assert!(self.snapshot() == before, "{line}: files have changed: {:?}", self.snapshot().keys());
    }

    /// Every file here with its bytes, and every folder.
    fn snapshot(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        fn collect(folder: &Path, into: &mut BTreeMap<PathBuf, Vec<u8>>) {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    collect(&path, into);
                }
                into.insert(path.clone(), std::fs::read(&path).unwrap_or_default());
            }
        }
        let mut files = BTreeMap::new();
        collect(self.0.path(), &mut files);
        files
    }
}

/// Two hundred lines, a few letters and forty words.
fn text() -> String {
    const ANIMALS: [&str; 5] = ["cat", "dog", "bird", "horse", "mouse"];
    const PLACES: [&str; 7] = ["house", "tree", "river", "barn", "road", "hill", "field"];
    let line =
        |n: usize| format!("the {} by the {} saw {} of us\n", ANIMALS[n % 5], PLACES[n % 7], n % 3 + 2);
    (0..200).map(line).collect()
}

/// Sixty records of a class and a text below `header`.
pub(crate) fn records(header: &str) -> String {
    let record = |n: usize| format!("{},{}\n", ["odd", "even"][n % 2], "ab ".repeat(n % 5 + n % 2 + 1));
    format!("{header}\n{}", (0..60).map(record).collect::<String>())
}

/// The standard output of a command that succeeded.
fn written(output: &Output, line: &str) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "rnn {line}: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Asserts what every error is: one line after the progress, `rnn: ` and what is wrong.
fn assert_one_line(output: &Output, code: i32, mentions: &[&str], line: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "rnn {line}\n{stderr}");
    let errors: Vec<&str> = stderr.lines().filter(|line| line.starts_with("rnn: ")).collect();
    assert_eq!(errors, stderr.lines().last().as_slice(), "rnn {line}\n{stderr}");
    let error = errors[0];
    for mention in mentions {
        assert!(error.contains(mention), "rnn {line}: no `{mention}` in\n{stderr}");
    }
    for crash in ["panicked", "backtrace", "memory allocation"] {
        assert!(!stderr.contains(crash), "rnn {line}\n{stderr}");
    }
}
