//! Files of PyTorch: archives, older files of pickles one after the other, and safetensors.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo_fuzz_targets::{import, unwind_panics};

fuzz_target!(init: unwind_panics(), |data: &[u8]| import("pytorch", data));
