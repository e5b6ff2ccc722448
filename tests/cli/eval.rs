//! `rnn eval`: the metrics of every task, unknown tokens, and models that adapt to the text.

use serde_json::{Value, json};

use super::{Folder, TINY, TINY_SEQUENCES, written};

fn eval(folder: &Folder, line: &str) -> Value {
    serde_json::from_str(&folder.done(&format!("eval {line} --json"))).unwrap()
}

/// A repetitive text that the model was not trained on.
fn other_text() -> String {
    "we saw the house of the horse by the tree\nthe road\n".repeat(20)
}

#[test]
fn unknown_tokens_are_counted() {
    let folder = Folder::new();
    folder.done(&format!("train rnnlm --data text.txt --out m {TINY}"));
    folder.write("known.txt", "the cat saw us\n");
    folder.write("odd.txt", "the zebra saw us\nthe quux\n");
    let found = eval(&folder, "m --data odd.txt");
    assert_eq!((&found["unknown"], &found["tokens"]), (&json!(2), &json!(8)));
    assert!(folder.done("eval m --data odd.txt").contains("2 words (25.00 %) are unknown"));
    assert_eq!(eval(&folder, "m --data known.txt")["unknown"], 0);
    assert!(!folder.done("eval m --data known.txt").contains("unknown"));
}

#[test]
fn adaptation_has_its_own_scores_and_changes_no_file() {
    let folder = Folder::with_model();
    folder.write("other.txt", other_text());
    let plain = eval(&folder, "m --data other.txt");
    let before = folder.snapshot();
    for (flags, name, settings) in [
        ("--cache 300", "cache", json!({ "window": 300, "theta": 0.5, "lambda": 0.15 })),
        (
            "--cache 9 --cache-theta 0.25 --cache-lambda 0.5",
            "cache",
            json!({ "window": 9, "theta": 0.25, "lambda": 0.5 }),
        ),
        (
            "--dynamic --dynamic-lr 0.5 --dynamic-decay 0.25 --dynamic-segment 7",
            "dynamic",
            json!({ "lr": 0.5, "decay": 0.25, "segment": 7, "stats": null }),
        ),
        ("--dynamic", "dynamic", json!({ "lr": 0.1, "decay": 0.002, "segment": 20, "stats": null })),
        ("--dynamic --dynamic-stats text.txt", "dynamic", json!({ "segment": 20, "stats": "text.txt" })),
    ] {
        let found = eval(&folder, &format!("m --data other.txt {flags}"));
        for key in ["tokens", "loss", "perplexity", "bits_per_token", "accuracy"] {
            assert_eq!(found[key], plain[key], "{key} with {flags}");
        }
        let own = &found[name];
        assert_eq!(own["tokens"], plain["tokens"], "{flags}");
        for (key, value) in settings.as_object().unwrap() {
            assert_eq!(&own[key], value, "{key} with {flags}");
        }
        // The text repeats itself, so that adaptation lowers the loss.
        let (own, loss) = (own["loss"].as_f64().unwrap(), plain["loss"].as_f64().unwrap());
        assert!(own < loss, "{flags}: {own} is not below {loss}");
        let text = folder.done(&format!("eval m --data other.txt {flags}"));
        let last = text.lines().last().unwrap();
        assert!(last.starts_with(&format!("{name}: loss {own:.4} nats a character")), "{text}");
        assert!(text.contains(&format!("\nloss {loss:.4} nats a character")), "{text}");
    }
    assert!(folder.snapshot() == before, "evaluation has changed a file");
}

#[test]
fn zero_rate_or_weight_gives_the_plain_loss() {
    let folder = Folder::with_model();
    folder.write("other.txt", other_text());
    let cache = eval(&folder, "m --data other.txt --cache 50 --cache-lambda 0");
    assert_eq!(cache["cache"]["loss"], cache["loss"]);
    let dynamic = eval(&folder, "m --data other.txt --dynamic --dynamic-lr 0");
    let [own, plain] = [&dynamic["dynamic"], &dynamic].map(|scores| scores["loss"].as_f64().unwrap());
    // Trainable parameters use other kernels, in f32.
    assert!((own - plain).abs() < 1e-6, "{own} is not {plain}");
}

#[test]
fn number_of_steps_is_on_stderr() {
    let folder = Folder::with_model();
    let output = folder
        .rnn("eval m --data text.txt --split all --dynamic --dynamic-segment 100 --json")
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr.clone()).unwrap();
    let tokens = folder.bytes("text.txt").len();
    assert!(said.contains(&format!("{} gradient steps", tokens.div_ceil(100) - 1)), "{said}");
    serde_json::from_str::<Value>(&written(&output, "")).unwrap();
}

#[test]
fn invalid_adaptation_is_refused() {
    let folder = Folder::with_model();
    folder.done(&format!("train gru --data builtin:copy --out copy {TINY_SEQUENCES}"));
    for (line, code, mentions) in [
        ("eval copy --data builtin:copy --dynamic", 2, vec!["--dynamic", "copy is a tagger"]),
        ("eval copy --data builtin:copy --cache 5", 2, vec!["--cache", "only a language model"]),
        ("eval m --data text.txt --cache 5 --dynamic", 2, vec!["--cache", "--dynamic"]),
        ("eval m --data text.txt --dynamic --batch-size 4", 2, vec!["--dynamic", "--batch-size"]),
        ("eval m --data text.txt --cache 5 --batch-size 4", 2, vec!["--cache", "--batch-size"]),
        ("eval m --data text.txt --cache 0", 2, vec!["--cache"]),
        ("eval m --data text.txt --cache 5 --cache-lambda 1", 2, vec!["--cache-lambda"]),
        ("eval m --data text.txt --cache 5 --cache-theta nan", 2, vec!["--cache-theta"]),
        ("eval m --data text.txt --cache-lambda 0.5", 2, vec!["--cache"]),
        ("eval m --data text.txt --dynamic-lr 0.5", 2, vec!["--dynamic"]),
        ("eval m --data text.txt --dynamic --dynamic-lr -1", 2, vec!["--dynamic-lr"]),
        ("eval m --data text.txt --dynamic --dynamic-decay 1", 2, vec!["--dynamic-decay"]),
        ("eval m --data text.txt --dynamic --dynamic-segment 0", 2, vec!["--dynamic-segment"]),
        ("eval m --data text.txt --dynamic --dynamic-lr 1e30", 1, vec!["--dynamic-lr", "diverged"]),
    ] {
        folder.refused(line, code, &mentions);
    }
    let missing = "eval m --data text.txt --dynamic --dynamic-stats missing.txt";
    folder.refused(missing, 1, &["missing.txt: no such file"]);
}

/// Texts of two frequent classes and a rare one that cannot be told from the first.
fn unbalanced(folder: &Folder) {
    let record = |n: usize| match n {
        _ if n % 20 == 19 => "rare,a red one\n",
        _ if n.is_multiple_of(2) => "red,a red one\n",
        _ => "blue,a blue one\n",
    };
    let records: String = (0..200).map(record).collect();
    for name in ["train", "valid", "test"] {
        folder.write(&format!("data/{name}.csv"), format!("label,text\n{records}"));
    }
}

const UNBALANCED: &str = "train gru --data data --text-column text --label-column label --hidden 8 --embedding 8 --dropout 0 \
                          --batch-size 20 --lr 0.02";

#[test]
fn classes_are_scored_and_those_never_predicted_are_named() {
    let folder = Folder::new();
    unbalanced(&folder);
    let output = folder.rnn(&format!("{UNBALANCED} --epochs 5 --out m")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("never predicts the class \"rare\" (10 there) on the validation split"), "{said}");
    let reports = String::from_utf8(folder.bytes("m/metrics.jsonl")).unwrap();
    let card = String::from_utf8(folder.bytes("m/README.md")).unwrap();
    let curve = String::from_utf8(folder.bytes("m/curve.svg")).unwrap();
    for text in [&said, &reports, &card, &curve] {
        assert!(!text.contains("perplexity") && !text.contains("bits"), "{text}");
    }
    assert!(said.contains("  accuracy 95.00 %  macro F1 "), "{said}");
    assert!(card.contains("accuracy 95.00 %") && card.contains("macro F1"), "{card}");

    let found = eval(&folder, "m --data data --label-column label");
    for key in
        ["task", "split", "loss", "seconds", "accuracy", "macro_f1", "per_class", "confusion", "labels"]
    {
        assert!(!found[key].is_null(), "{key} is missing in {found}");
    }
    assert!(found["perplexity"].is_null() && found["bits_per_token"].is_null(), "{found}");
    assert_eq!((&found["accuracy"], &found["unknown"]), (&json!(0.95), &json!(0)));
    assert_eq!(found["labels"], json!(["blue", "rare", "red"]));
    assert_eq!(found["confusion"], json!([[90, 0, 0], [0, 0, 10], [0, 0, 100]]));
    let rare = json!({ "precision": 0., "recall": 0., "f1": 0., "support": 10 });
    assert_eq!((&found["per_class"]["rare"], &found["per_class"]["red"]["support"]), (&rare, &json!(100)));
    // The mean of 1, 0 and 200/210.
    assert!((found["macro_f1"].as_f64().unwrap() - (1. + 200. / 210.) / 3.).abs() < 1e-12, "{found}");

    let text = folder.done("eval m --data data --label-column label");
    for line in [
        "accuracy 95.00 %, macro F1 65.08 %",
        "class  precision  recall      F1  support",
        "rare      0.0000  0.0000  0.0000       10",
        "rare                 0     0    10",
    ] {
        assert!(text.lines().any(|found| found == line), "no `{line}` in\n{text}");
    }
}

#[test]
fn taggers_and_forecasters_have_their_own_figures() {
    let folder = Folder::new();
    for (data, figures) in [
        ("copy", vec!["accuracy", "precision", "recall", "f1"]),
        ("adding", vec!["mae", "rmse", "mse", "smape"]),
    ] {
        folder.done(&format!("train gru --data builtin:{data} --out m --force {TINY_SEQUENCES}"));
        let found = eval(&folder, &format!("m --data builtin:{data}"));
        for key in figures {
            assert!(found[key].is_number(), "{key} is missing in {found}");
        }
        assert!(found["perplexity"].is_null(), "{found}");
        if data == "adding" {
            let (loss, rmse) = (found["loss"].as_f64().unwrap(), found["rmse"].as_f64().unwrap());
            assert!((rmse * rmse / loss - 1.).abs() < 1e-4, "{found}");
        }
        let text = folder.done(&format!("eval m --data builtin:{data}"));
        assert!(!text.contains("NaN") && !text.contains("perplexity"), "{text}");
    }
}
