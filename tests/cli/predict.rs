//! `rnn predict` and classifiers.

use serde_json::Value;

use super::{Folder, assert_one_line, records};

/// Texts about cats and dogs, whose class is the animal.
fn animals(folder: &Folder, name: &str, count: usize) {
    let record = |n: usize| {
        let (class, other) = if n.is_multiple_of(2) { ("cat", "sits") } else { ("dog", "runs") };
        format!("{class},\"the {class} {other} there {} times\"\n", ["two", "three", "four"][n % 3])
    };
    folder.write(name, format!("animal,text\n{}", (0..count).map(record).collect::<String>()));
}

fn classifier() -> Folder {
    let folder = Folder::new();
    animals(&folder, "train.csv", 120);
    folder.done(
        "train gru --data train.csv --label-column animal --hidden 8 --embedding 8 --bidirectional --merge sum \
         --batch-size 8 --epochs 5 --lr 0.02 --dropout 0 --out m",
    );
    folder
}

#[test]
fn a_classifier_learns_its_classes_and_gives_them() {
    let folder = classifier();
    assert_eq!(folder.json("m/config.json")["task"], "classify");
    for (text, class) in [("the cat sits there", "cat"), ("a dog runs", "dog")] {
        let output = folder.rnn("predict m --text").arg(text).output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let (label, probability) = said.trim_end().split_once('\t').unwrap();
        assert_eq!(label, class, "{text}");
        let probability: f64 = probability.parse().unwrap();
        assert!(probability > 0.5 && probability <= 1., "{said}");
    }
}

#[test]
fn a_file_is_answered_line_by_line_and_scored() {
    let folder = classifier();
    animals(&folder, "test.csv", 30);
    let answers = folder.done("predict m --data test.csv --text-column text --json");
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 30);
    for (answer, class) in answers.iter().zip(["cat", "dog"].into_iter().cycle()) {
        assert_eq!(answer["label"], class);
        assert!((0.5..=1.).contains(&answer["probability"].as_f64().unwrap()), "{answer}");
    }
    let scores = folder.done("eval m --data test.csv --label-column animal --json");
    let scores: Value = serde_json::from_str(&scores).unwrap();
    assert_eq!(
        (&scores["tokens"], &scores["task"], &scores["accuracy"]),
        (&30.into(), &"classify".into(), &1.0.into())
    );
}

#[test]
fn what_a_classifier_cannot_do_is_refused() {
    let folder = classifier();
    folder.write("other.csv", "animal,text\nbird,it flies\n");
    folder.write("lone.csv", "animal,text\ncat,it sits\ncat,it runs\ncat,it is\n");
    for (line, code, mentions) in [
        ("generate m", 2, vec!["m: its task is classify", "only a language model writes"]),
        ("eval m --data test", 2, vec!["--data", "`test`"]),
        (
            "eval m --data train.csv --label-column label",
            1,
            vec!["train.csv", "`label`", "animal", "--label-column"],
        ),
        ("eval m --data other.csv --label-column animal", 1, vec!["other.csv", "\"bird\"", "cat, dog"]),
        ("train lstm --task classify --data train.csv --out n", 2, vec!["--label-column"]),
        (
            "train lstm --label-column animal --data lone.csv --out n",
            2,
            vec!["--label-column", "lone.csv", "two"],
        ),
        ("train lstm --label-column nothing --data train.csv --out n", 1, vec!["`nothing`", "animal, text"]),
        ("predict m", 2, vec!["--text"]),
        ("predict m --text a --data train.csv", 2, vec!["--text", "--data"]),
    ] {
        folder.refused(line, code, &mentions);
    }
}

#[test]
fn a_classifier_reads_the_column_that_it_has_learned_from() {
    let folder = Folder::new();
    folder.write("a.csv", records("text,review"));
    folder.done("train gru --data a.csv --label-column text --hidden 8 --max-steps 3 --out m");
    assert_eq!(folder.json("m/config.json")["text_column"], "review");
    let reviews = folder.done("predict m --data a.csv");
    assert_eq!(reviews, folder.done("predict m --data a.csv --text-column review"));
    assert_ne!(reviews, folder.done("predict m --data a.csv --text-column text"));
    folder.done("eval m --data a.csv --label-column text");
}

#[test]
fn a_model_of_the_hub_is_called_as_the_user_does() {
    let folder = Folder::with_model();
    let revision = "0123456789abcdef0123456789abcdef01234567";
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let cached = format!("hub/models--me--lstm/snapshots/{revision}/{name}");
        folder.write(&cached, folder.bytes(&format!("m/{name}")));
    }
    folder.write("hub/models--me--lstm/refs/main", revision);
    let line = "predict hf://me/lstm --text hello";
    let output = folder.rnn(line).env("HF_HUB_CACHE", "hub").env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_one_line(&output, 2, &["rnn: hf://me/lstm: its task is lm"], line);
}
