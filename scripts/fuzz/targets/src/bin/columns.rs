//! Column files, read through to the end, also as CoNLL-U.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::data::column_file::{ColumnFile, ColumnOptions};
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    for name in ["tags.conll", "tags.conllu"] {
        with_file(name, data, |path| {
            let Ok(file) = ColumnFile::open(path, &ColumnOptions::default()) else { return };
            assert!(file.sentences().filter_map(Result::ok).all(|found| found.words.len() == found.tags.len()));
        });
    }
});
