//! Parallel text, read through to the end: both languages are the same lines, or the input is cut in two at its middle.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rnn_zoo::data::Split;
use rnn_zoo::data::parallel_text::{Languages, open};
use rnn_zoo_fuzz_targets::{unwind_panics, with_file};

fuzz_target!(init: unwind_panics(), |data: &[u8]| {
    let languages = Languages { source: "en".into(), target: "de".into() };
    let (first, second) = data.split_at(data.len() / 2);
    for [source, target] in [[data, data], [first, second]] {
        with_file("train.en", source, |_| ());
        with_file("train.de", target, |path| {
            let folder = path.parent().expect("a file is in a folder");
            let Ok(corpus) = open(folder, &languages, None) else { return };
            for split in [Split::Train, Split::Valid, Split::All] {
                drop(corpus.items(split).map(|pairs| pairs.take_while(Result::is_ok).count()));
            }
        });
    }
});
