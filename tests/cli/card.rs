//! The model card and the commands that `rnn train` prints: they can be typed, and tell how a bundle was made.

use super::{Folder, TINY};

#[test]
fn card_of_a_lengthened_run_shows_the_commands_of_both() {
    let folder = Folder::with_model();
    folder.done("train --resume m --max-steps 5");
    let card = String::from_utf8(folder.bytes("m/README.md")).unwrap();
    let commands = format!(
        "with\n\n    rnn train lstm --data text.txt --out m {TINY}\n    rnn train --resume m --max-steps 5\n\n| | |"
    );
    assert!(card.contains(&commands), "{card}");
    // A run that goes on without a new length is the same run.
    assert_eq!(folder.json("m/config.json")["created_with"].as_str().unwrap().lines().count(), 2);
}

#[test]
fn card_names_the_commands_that_repeat_evaluate_and_use_the_run() {
    let folder = Folder::with_model();
    let card = String::from_utf8(folder.bytes("m/README.md")).unwrap();
    for line in [
        "| settings | [recipe.toml](recipe.toml); to repeat it: `rnn train --recipe recipe.toml --out BUNDLE` |\n",
        "| validation batch rows | 1; `rnn eval` reads a text in 1 |\n",
        "\n\n![Learning curve](curve.svg)\n\nUse it (`text.txt` is the path from the folder where it was trained):\n\n",
    ] {
        assert!(card.contains(line), "{line}: {card}");
    }
    let next = ":\n\n    rnn generate . --length 300\n    rnn eval . --data text.txt --split test\n";
    assert!(card.ends_with(next), "{card}");
}

#[test]
fn commands_can_be_typed_when_a_name_begins_with_a_dash() {
    let folder = Folder::new();
    let output = folder.rnn(&format!("train lstm --data text.txt --out=-dash {TINY}")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let generate = said.lines().find(|line| line.contains("rnn generate")).unwrap_or(&said);
    assert_eq!(generate.trim(), "rnn generate ./-dash --length 300");
    folder.done(generate.trim().strip_prefix("rnn ").unwrap());
    let eval = said.lines().find(|line| line.contains("rnn eval")).unwrap_or(&said);
    folder.done(eval.trim().strip_prefix("rnn ").unwrap());
}
