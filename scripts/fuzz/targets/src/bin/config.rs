//! `config.json` of a bundle.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::bundle::Config;
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    with_file("config.json", data, |path| drop(Config::read(path)));
});
