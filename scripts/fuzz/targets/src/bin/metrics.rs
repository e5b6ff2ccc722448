//! `metrics.jsonl` of a run.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::training::plot::History;
use rnn_zoo_fuzz_targets::unwind_panics;

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    drop(std::str::from_utf8(data).map(History::read));
});
