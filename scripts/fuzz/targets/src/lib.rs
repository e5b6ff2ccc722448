//! The code that the targets share: files for loaders that take paths, and panics that the library contains.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

use rnn_zoo::data::{Columns, Corpus, Source, Split};
use rnn_zoo::formats::{FORMATS, ImportOptions};

thread_local! {
    static FOLDER: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Calls `load` on a file of the given name and contents, in a folder of this process.
pub fn with_file(name: &str, contents: &[u8], load: impl FnOnce(&Path)) {
    let folder = FOLDER.with_borrow_mut(|folder| {
        let new = || {
            let path = std::env::temp_dir().join(format!("rnn-fuzz-target-{}", std::process::id()));
            fs::create_dir_all(&path).expect("the folder for temporary files is writable");
            path
        };
        folder.get_or_insert_with(new).clone()
    });
    let path = folder.join(name);
    fs::write(&path, contents).expect("the folder for temporary files is writable");
    load(&path);
}

/// Reads a data file to its end or its first error, as running text or with its first columns, and with named ones.
pub fn read_data(name: &str, contents: &[u8]) {
    let named = || Columns { text: Some("text".into()), label: Some("label".into()), ..Columns::default() };
    with_file(name, contents, |path| {
        for columns in [Columns::default(), named()] {
            let Ok(corpus) = Corpus::open(&Source::File(path.to_path_buf()), &columns, 1) else { continue };
            for split in [Split::Train, Split::Valid, Split::All] {
                drop(corpus.pieces(split).map(|pieces| pieces.take_while(Result::is_ok).count()));
            }
        }
    });
}

/// Imports a model of the format `name` without a vocabulary, which would be read after all tensors.
pub fn import(name: &str, contents: &[u8]) {
    let format = FORMATS.iter().find(|format| format.name() == name).expect("the name is that of a format");
    with_file("model", contents, |path| drop(format.import(path, &ImportOptions::default())));
}

/// Lets a panic unwind, as it does in the program, so that those which the library contains are no failures.
/// One that reaches the target still ends the process.
pub fn unwind_panics() {
    drop(std::panic::take_hook());
    std::panic::set_hook(Box::new(|_| ()));
}
