//! `.ts` files of series with classes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::data::Source;
use rnn_zoo::data::labelled_series::open;
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    with_file("series.ts", data, |path| drop(open(&Source::File(path.to_path_buf()), None, None)));
});
