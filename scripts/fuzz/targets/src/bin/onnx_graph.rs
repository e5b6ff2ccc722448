//! ONNX files of other programs, which are read by following their operators.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo_fuzz_targets::{import, unwind_panics};

fuzz_target!(init: unwind_panics(), |data: &[u8]| import("onnx", data));
