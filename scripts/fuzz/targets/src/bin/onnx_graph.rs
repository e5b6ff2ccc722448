//! ONNX files of other programs, which are read by following their operators.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::formats::{FORMATS, ImportOptions};
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    let onnx = FORMATS.iter().find(|format| format.name() == "onnx").expect("ONNX is a format");
    with_file("model.onnx", data, |path| drop(onnx.import(path, &ImportOptions::default())));
});
