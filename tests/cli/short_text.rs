//! Training on texts that are shorter than the defaults expect.

use super::{Folder, text};

/// Train `lstm` on `short.txt`; return the standard error.
fn train(folder: &Folder, flags: &str) -> String {
    let line = format!("train lstm --data short.txt --out m --force --hidden 8 --max-steps 3 {flags}");
    let output = folder.rnn(&line).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{line}: {told}");
    told
}

#[test]
fn default_batch_and_window_shrink_to_the_text() {
    let folder = Folder::new();
    folder.write("short.txt", "over cat red dog.\nand then house on dog then.\n".repeat(10));
    let told = train(&folder, "");
    assert!(told.contains("the training text is short") && told.contains("instead of 32"), "{told}");
    let told = train(&folder, "--batch-size 2");
    assert!(!told.contains("is short"), "the default window fits: {told}");
    let told = train(&folder, "--batch-size 16");
    assert!(told.contains("--bptt is ") && !told.contains("--batch-size is"), "{told}");
    // A text of a few characters.
    folder.write("short.txt", "abc\n");
    train(&folder, "--valid-fraction 0 --test-fraction 0");
    // What the user sets is refused.
    let line = "train lstm --data short.txt --out m --force --batch-size 32 --bptt 64";
    folder.refused(line, 1, &["--batch-size 32", "--bptt 64", "use more text"]);
}

#[test]
fn long_text_keeps_the_defaults() {
    let folder = Folder::new();
    folder.write("short.txt", text());
    let told = train(&folder, "");
    assert!(!told.contains("is short"), "{told}");
}

#[test]
fn validation_says_its_rows() {
    let folder = Folder::new();
    folder.write("short.txt", text());
    let told = train(&folder, "--batch-size 4 --bptt 8");
    assert!(told.contains("validation targets in 1 batch row,"), "{told}");
    let card = String::from_utf8(folder.bytes("m/README.md")).unwrap();
    assert!(card.contains("| validation batch rows | 1; `rnn eval` reads a text in 1 |"), "{card}");
    assert_eq!(folder.json("m/training/state.json")["state"]["lanes"], 1);
    folder.write("short.txt", text().repeat(80));
    let told = train(&folder, "--batch-size 4 --bptt 8");
    assert!(told.contains("validation targets in 16 batch rows,"), "{told}");
}
