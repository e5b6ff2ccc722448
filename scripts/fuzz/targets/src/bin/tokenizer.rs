//! `tokenizer.json`: loading, encoding, decoding.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::tokenizer::Tokenizer;
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    with_file("tokenizer.json", data, |path| {
        let Ok(tokenizer) = Tokenizer::from_file(path) else { return };
        for text in ["", "the cat", "  The\ncat\r\n 고양이 \u{1f408}\u{301}"] {
            if let Ok(ids) = tokenizer.encode(text) {
                assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary_size()));
                tokenizer.decode(&ids);
            }
        }
        tokenizer.start(true);
    });
});
