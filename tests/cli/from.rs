//! `rnn train --from`: fine-tuning a bundle on other text with other settings.

use serde_json::{Value, json};

use super::{Folder, TINY, records, text};

/// A step so small that parameters stay what they were.
const STANDSTILL: &str = "--optimizer sgd --lr 1e-30 --max-steps 1 --batch-size 4 --bptt 8";

#[test]
fn a_run_starts_from_the_parameters_and_the_tokenizer_of_a_bundle() {
    let folder = Folder::with_model();
    // A letter that the model has never seen.
    folder.write("other.txt", "a zoo of us\n".repeat(40));
    folder.done(&format!("train --from m --data other.txt --dropout 0.5 --ar 1 {STANDSTILL} --out n"));
    for name in ["model.safetensors", "tokenizer.json"] {
        assert!(folder.bytes(&format!("m/{name}")) == folder.bytes(&format!("n/{name}")), "{name}");
    }
    // Only what was asked for is regularised otherwise.
    let mut expected: Value = folder.json("m/config.json")["network"].take();
    expected["dropout"] = json!(0.5);
    expected["rnn"]["dropout"] = json!(0.5);
    expected["ar"] = json!(1.0);
    assert_eq!(folder.json("n/config.json")["network"], expected);
    // Its recipe is all that it takes to have it again, and what it was resumes as every run does.
    folder.done("train --recipe n/recipe.toml --out again");
    assert!(folder.bytes("n/model.safetensors") == folder.bytes("again/model.safetensors"));
    folder.done("train --resume n --max-steps 3");
}

#[test]
fn recipe_knows_the_parameters_that_its_run_started_from() {
    let folder = Folder::with_model();
    folder.done(&format!("train --from m --data text.txt {STANDSTILL} --out n"));
    let recipe: toml::Table = String::from_utf8(folder.bytes("n/recipe.toml")).unwrap().parse().unwrap();
    assert_eq!(recipe["from"].as_str(), Some("m"));
    let sum = recipe["from-sha256"].as_str().unwrap().to_string();
    assert_eq!(sum.len(), 64);
    // As `sha256sum` prints it.
    folder.done("export m --out exported");
    let sums = String::from_utf8(folder.bytes("exported/SHA256SUMS")).unwrap();
    assert!(sums.contains(&format!("{sum}  model.safetensors")), "{sums}");

    folder.done("train --recipe n/recipe.toml --out same");
    assert!(folder.bytes("same/recipe.toml") == folder.bytes("n/recipe.toml"));
    folder.done(&format!("train lstm --data text.txt --out m --force --seed 2 {TINY}"));
    let mentions = ["--from: m has other parameters", &sum[..12], "--from-sha256"];
    folder.refused("train --recipe n/recipe.toml --out other", 2, &mentions);
    // Another bundle that the user asks for is no mistake.
    folder.done("train --recipe n/recipe.toml --from m --out other");
    folder.refused("train lstm --from-sha256 00 --out o", 2, &["--from-sha256", "64 hexadecimal digits"]);
}

#[test]
fn default_folder_differs_from_that_of_a_fresh_run() {
    let folder = Folder::with_model();
    folder.done(&format!("train lstm --data text.txt {TINY}"));
    folder.done(&format!("train --from m --data text.txt {STANDSTILL}"));
    for bundle in ["lstm-text", "m-on-text"] {
        assert!(folder.path(bundle).join("config.json").exists(), "{bundle}");
    }
}

#[test]
fn start_is_kept_without_improvement() {
    let folder = Folder::new();
    folder.done(
        "train lstm --data text.txt --hidden 16 --batch-size 8 --bptt 16 --lr 0.03 --max-steps 100 --out m",
    );
    // What it is to learn now is another language, and it is judged by the old one.
    folder.write("other/train.txt", text().chars().rev().collect::<String>());
    folder.write("other/valid.txt", text());
    let line = "train --from m --data other --lr 0.03 --batch-size 8 --bptt 16 --max-steps 20 --eval-every 5 --out n";
    let said = String::from_utf8(folder.rnn(line).output().unwrap().stderr).unwrap();
    assert!(said.contains("step      0") && said.matches("*best").count() == 1, "{said}");
    assert!(said.contains("no evaluation was better than the start"), "{said}");
    assert!(folder.bytes("m/model.safetensors") == folder.bytes("n/model.safetensors"));
}

#[test]
fn locked_dropout_can_be_taken_back_and_unknown_letters_are_told() {
    let folder = Folder::new();
    folder.done(&format!("train lstm --data text.txt --locked-dropout --dropout 0.2 --out m {TINY}"));
    folder.write("other.txt", "zzzz of us\n".repeat(40));
    let line = "train --from m --data other.txt --locked-dropout=false --max-steps 1 --batch-size 4 --bptt 8 --out n";
    let said = String::from_utf8(folder.rnn(line).output().unwrap().stderr).unwrap();
    assert!(said.contains("36.4 % of the training text is unknown to the tokenizer: `<unk>`"), "{said}");
    assert_eq!(folder.json("m/config.json")["network"]["rnn"]["locked_dropout"], true);
    assert_eq!(folder.json("n/config.json")["network"]["rnn"]["locked_dropout"], false);
}

#[test]
fn fine_tuning_lowers_the_loss() {
    let folder = Folder::new();
    let learn = "--data text.txt --batch-size 8 --bptt 16 --clip 5";
    folder.done(&format!("train lstm {learn} --hidden 16 --lr 0.03 --max-steps 150 --out m"));
    let loss = |line: &str| {
        folder.done(&format!("train {line} {learn} --lr 0.001 --max-steps 1 --out n --force"));
        let scores = folder.done("eval n --data text.txt --json");
        serde_json::from_str::<Value>(&scores).unwrap()["loss"].as_f64().unwrap()
    };
    let (fresh, tuned) = (loss("lstm --hidden 16"), loss("--from m"));
    assert!(tuned < 0.5 * fresh, "{tuned} after fine-tuning, {fresh} from the beginning");
}

#[test]
fn a_classifier_keeps_its_labels() {
    let folder = Folder::new();
    folder.write("a.csv", records("label,text"));
    let data = "--data a.csv --label-column label";
    folder.done(&format!("train gru {data} --hidden 8 --max-steps 3 --out m"));
    folder.done(&format!("train gru --from m {data} --max-steps 3 --out n"));
    assert_eq!(folder.json("n/config.json")["labels"], json!(["even", "odd"]));
    // Its bundle knows the column of the classes.
    folder.done("train --from m --data a.csv --max-steps 3 --out same");
    assert!(folder.bytes("same/model.safetensors") == folder.bytes("n/model.safetensors"));
    assert_eq!(folder.json("same/config.json")["data"]["label_column"], "label");
    folder.done("train --resume same --max-steps 4");
    folder.write("c.csv", "text,class\nab,odd\nab ab,even\n");
    folder.refused("train --from m --data c.csv --out p", 1, &["c.csv", "`label`", "text, class"]);
    folder.refused("train --from m --data text.txt --out p", 2, &["--data", "text.txt", "column of records"]);
    folder.write("b.csv", "label,text\nbig,ab ab\nodd,ab\n");
    let other =
        "train --from m --data b.csv --label-column label --valid-fraction 0 --test-fraction 0 --out o";
    folder.refused(other, 1, &["big", "knows only even, odd"]);
    folder.refused(&format!("train --from m {data} --ar 1 --out o"), 2, &["--ar", "classify"]);
    folder.done(&format!("train lstm --data a.csv --out lm {TINY}"));
    folder.refused(&format!("train --from lm {data} --out o"), 2, &["--label-column", "language model"]);
}

#[test]
fn flags_fixed_by_parameters_are_refused() {
    let folder = Folder::with_model();
    for (flags, mentions) in [
        ("--hidden 9", ["--hidden", "--from"]),
        ("--layers 1", ["--layers", "--from"]),
        ("--chrono 9", ["--chrono", "--from"]),
        ("--init keras", ["--init", "--from"]),
        ("--tokenizer word", ["--tokenizer", "--from"]),
        ("--task lm", ["--task", "--from"]),
    ] {
        folder.refused(&format!("train --from m --data text.txt --out n {flags}"), 2, &mentions);
    }
    folder.refused("train gru --from m --data text.txt --out n", 2, &["MODEL", "lstm, not gru"]);
    folder.refused("train --from text.txt --data text.txt --out n", 1, &["text.txt", "a bundle is a folder"]);
    folder.refused("train --from m --out n", 2, &["--from", "--data"]);
    folder.refused("train --from m --data text.txt --out m --force", 2, &["--out", "--from"]);
}
