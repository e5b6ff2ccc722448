//! Files of Keras: archives, and HDF5 files with and without a configuration.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::formats::{ImportOptions, recognised};
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    with_file("model.keras", data, |path| {
        if let Ok(format) = recognised(path) {
            // Without a vocabulary, which is read after all arrays.
            drop(format.import(path, &ImportOptions::default()));
        }
    });
});
