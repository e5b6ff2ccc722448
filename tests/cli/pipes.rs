//! Standard output and standard error that cannot be written.

use std::fs::OpenOptions;
use std::process::Stdio;

use super::{Folder, TINY};

#[cfg(unix)]
#[test]
fn training_continues_when_stderr_is_closed() {
    let folder = Folder::new();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
    command
        .current_dir(folder.path(""))
        .args(format!("train lstm --data text.txt --out m {TINY}").split(' '));
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take()); // as `head` closes it
    assert_eq!(child.wait().unwrap().code(), Some(0));
    folder.done("generate m --length 3");
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written_is_an_error() {
    let folder = Folder::new();
    for line in ["--help", "--version", "train --help", "data builtin:reber", "list"] {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
        command.current_dir(folder.path("")).args(line.split(' ')).stdout(full);
        let output = command.output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "rnn {line}: {said}");
        assert!(said.starts_with("rnn: standard output: cannot be written"), "rnn {line}: {said}");
        assert_eq!(said.lines().count(), 1, "rnn {line}: {said}");
    }
}
