//! ONNX files.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use rnn_zoo::formats::onnx;
use rnn_zoo_fuzz_targets::unwind_panics;

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    drop(onnx::decode(Path::new("model.onnx"), data));
});
