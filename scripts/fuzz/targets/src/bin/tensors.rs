//! Safetensors files.
#![no_main]

use candle_core::Device;
use libfuzzer_sys::fuzz_target;
use rnn_zoo::bundle::read_tensors;
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    with_file("model.safetensors", data, |path| drop(read_tensors(path, &Device::Cpu)));
});
