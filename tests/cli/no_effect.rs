//! Flags that would have no effect are refused.

use super::{Folder, TINY, records, text};

#[test]
fn flags_of_training_without_effect_are_refused() {
    let folder = Folder::new();
    folder.write("a.csv", records("label,text"));
    for split in ["train", "valid"] {
        folder.write(&format!("whole/{split}.txt"), text());
    }
    folder.write("part/train.txt", text());
    folder.write("tokenizer.json", "{}");
    folder.write("a.conll", "a X\nb Y\n\n".repeat(60));
    for (flags, mentions) in [
        ("--valid-fraction 0.2", ["--valid-fraction: builtin:story", "own valid split"]),
        ("--data builtin:reber --test-fraction 0.2", ["--test-fraction: builtin:reber", "own test split"]),
        ("--data builtin:copy --valid-fraction 0.2", ["--valid-fraction: builtin:copy", "own splits"]),
        ("--data whole --valid-fraction 0.2", ["--valid-fraction: whole", "own valid split"]),
        (
            "--data part --test-fraction 0.2",
            ["--test-fraction", "test split is its test file, which part does not have"],
        ),
        ("--data a.csv --label-column label --bptt 8", ["--bptt: only a language model", "--task classify"]),
        ("--data a.csv --label-column label --task lm", ["--label-column: ", "--task classify"]),
        ("--data text.txt --tokenizer bpe:300 --max-vocab 9", ["--max-vocab: --tokenizer bpe:300", "300"]),
        ("--data text.txt --tokenizer tokenizer.json --max-vocab 9", ["--max-vocab: ", "own vocabulary"]),
        ("--data text.txt --locked-dropout --dropout 0", ["--locked-dropout: ", "add --dropout P"]),
        ("--data a.conll --label-column label", ["--label-column: a.conll", "column file"]),
        ("--data a.conll --text-column text", ["--text-column: a.conll", "column file"]),
        ("--data a.conll --tokenizer word", ["--tokenizer: ", "reads words anyway"]),
        ("--data a.csv --label-column label --word-column 0", ["--word-column: a.csv", "not a column file"]),
        (
            "--task translate --data builtin:dates --label-column label",
            ["--label-column: ", "pairs of texts"],
        ),
        (
            "--data text.txt --valid-fraction 0 --schedule plateau",
            ["--schedule: plateau", "no validation data"],
        ),
        ("--data builtin:copy --tokenizer char", ["--tokenizer: builtin:copy", "not text"]),
        ("--data builtin:adding --max-vocab 9", ["--max-vocab: builtin:adding", "not text"]),
        ("--data builtin:adding --lowercase", ["--lowercase: builtin:adding", "not text"]),
    ] {
        folder.refused(&format!("train lstm {flags} --hidden 8 --max-steps 1 --out z"), 2, &mentions);
    }
    let fractions = "--data part --valid-fraction 0.2";
    folder.done(&format!("train lstm {fractions} --out z {TINY}"));
}

#[test]
fn flags_of_other_commands_without_effect_are_refused() {
    let folder = Folder::new();
    folder.write("a.csv", records("label,text"));
    folder.done("train gru --data a.csv --label-column label --hidden 8 --max-steps 1 --out c");
    folder.done(&format!("train lstm --data text.txt --out m {TINY}"));
    for (line, mentions) in [
        ("predict c --text a --seed 3", ["--seed", "--text is given"]),
        ("predict c --data - --seed 3", ["--seed", "has no effect on standard input"]),
        ("predict c --data - --test-fraction 0.1", ["--test-fraction", "has no effect on standard input"]),
        ("predict c --data a.csv --seed 3", ["--seed", "only built-in data has a seed"]),
        ("eval m --data text.txt --seed 3", ["--seed", "only built-in data has a seed"]),
        ("eval m --data a.csv --label-column label", ["--label-column", "learns no classes"]),
        ("eval m --data text.txt --time-column a", ["--time-column", "only a forecaster"]),
        ("eval c --data a.csv --source-column text", ["--source-column", "only a translator"]),
        ("predict c --data a.csv --target-lang en", ["--target-lang", "only a translator"]),
        ("data a.csv --tag-column 1", ["--tag-column: a.csv", "not a column file"]),
        ("data a.csv --wide", ["--wide", "only a forecaster"]),
        ("score m a.csv --source-column text", ["--source-column", "only a translator"]),
        ("score m a.csv --word-column 1", ["--word-column: a.csv", "not a column file"]),
        ("predict c --text a --split test", ["--split", "--text is given"]),
        ("predict c --text a --valid-fraction 0.1", ["--valid-fraction", "--text is given"]),
        ("eval m --data builtin:story --valid-fraction 0.1", ["--valid-fraction", "own valid split"]),
        ("data builtin:story --test-fraction 0.1", ["--test-fraction", "own test split"]),
    ] {
        folder.refused(line, 2, &mentions);
    }
}
