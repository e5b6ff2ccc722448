//! Comma-separated tables, read through to the end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo_fuzz_targets::{read_data, unwind_panics};

fuzz_target!(init: unwind_panics(), |data: &[u8]| read_data("table.csv", data));
