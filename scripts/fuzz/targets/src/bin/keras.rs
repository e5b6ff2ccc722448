//! Files of Keras: archives, and HDF5 files with and without a configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo_fuzz_targets::{import, unwind_panics};

fuzz_target!(init: unwind_panics(), |data: &[u8]| import("keras", data));
