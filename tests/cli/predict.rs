//! `rnn predict`: answers of classifiers, taggers and forecasters.

use std::path::Path;

use candle_core::{Device, Tensor};
use serde_json::Value;

use super::{Folder, TINY_SEQUENCES, assert_one_line, records};

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
fn classifier_learns_and_predicts_its_classes() {
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
fn file_is_answered_record_by_record_and_scored() {
    let folder = classifier();
    animals(&folder, "test.csv", 30);
    let answers = folder.done("predict m --data test.csv --text-column text --json");
    let answers: Vec<Value> = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), 30);
    for (answer, class) in answers.iter().zip(["cat", "dog"].into_iter().cycle()) {
        assert_eq!(answer["label"], class);
        let probability = answer["probability"].as_f64().unwrap();
        assert!((0.5..=1.).contains(&probability), "{answer}");
        let each = answer["probabilities"].as_object().unwrap();
        assert_eq!(each.keys().collect::<Vec<_>>(), ["cat", "dog"]);
        assert_eq!(each[class].as_f64(), Some(probability));
        assert!((each.values().map(|p| p.as_f64().unwrap()).sum::<f64>() - 1.).abs() < 1e-9, "{answer}");
        assert_eq!(answer.as_object().unwrap().len(), 3, "{answer}");
    }
    let scores = folder.done("eval m --data test.csv --label-column animal --json");
    let scores: Value = serde_json::from_str(&scores).unwrap();
    assert_eq!(
        (&scores["tokens"], &scores["task"], &scores["accuracy"]),
        (&30.into(), &"classify".into(), &1.0.into())
    );
}

#[test]
fn unsuited_requests_to_a_classifier_are_refused() {
    let folder = classifier();
    folder.write("other.csv", "animal,text\nbird,it flies\n");
    folder.write("lone.csv", "animal,text\ncat,it sits\ncat,it runs\ncat,it is\n");
    for (line, code, mentions) in [
        ("predict m --data builtin:adding", 2, vec!["--data", "not text"]),
        ("eval m --data builtin:copy", 2, vec!["--data", "the task classify needs text"]),
        ("eval m --data text.txt", 2, vec!["--data", "text.txt", "column of records"]),
        ("generate m", 2, vec!["m: its task is classify", "only a language model writes"]),
        ("eval m --data test", 1, vec!["test: no such file"]),
        (
            "eval m --data train.csv --label-column label",
            1,
            vec!["train.csv", "`label`", "animal", "--label-column"],
        ),
        ("eval m --data other.csv --label-column animal", 1, vec!["other.csv", "\"bird\"", "cat, dog"]),
        ("train lstm --task classify --data train.csv --out n", 2, vec!["--label-column"]),
        (
            "train lstm --label-column animal --data lone.csv --out n",
            1,
            vec!["lone.csv", "one class (cat)", "two"],
        ),
        ("train lstm --label-column nothing --data train.csv --out n", 1, vec!["`nothing`", "animal, text"]),
        ("predict m", 2, vec!["--text"]),
        ("predict m --text a --data train.csv", 2, vec!["--text", "--data"]),
    ] {
        folder.refused(line, code, &mentions);
    }
}

#[test]
fn classifier_reads_the_text_column_of_its_training_data() {
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
fn model_of_the_hub_has_the_name_that_the_user_typed() {
    let folder = Folder::with_model();
    let revision = "0123456789abcdef0123456789abcdef01234567";
    for name in ["config.json", "model.safetensors", "tokenizer.json"] {
        let cached = format!("hub/models--me--lstm/snapshots/{revision}/{name}");
        folder.write(&cached, folder.bytes(&format!("m/{name}")));
    }
    folder.write("hub/models--me--lstm/refs/main", revision);
    let line = "predict hf://me/lstm --text hello";
    let output = folder.rnn(line).env("HF_HUB_CACHE", "hub").env("HF_HUB_OFFLINE", "1").output().unwrap();
    assert_one_line(&output, 2, &["rnn: hf://me/lstm: a language model predicts the next token only"], line);
}

#[test]
fn answers_of_built_in_sequences_have_the_documented_fields() {
    let folder = Folder::new();
    folder.done(&format!("train gru --data builtin:copy --out copy {TINY_SEQUENCES}"));
    folder.done(&format!("train gru --data builtin:adding --out adding {TINY_SEQUENCES}"));
    let answers = |bundle: &str| -> Vec<Value> {
        let lines = folder.done(&format!("predict {bundle} --data builtin:{bundle} --json"));
        lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    for answer in answers("copy") {
        let [tokens, tags] = ["tokens", "tags"].map(|name| answer[name].as_array().unwrap());
        assert_eq!((tokens.len(), tags.len(), answer.as_object().unwrap().len()), (61, 61, 2));
        assert!(tokens.iter().chain(tags).all(Value::is_string), "{answer}");
    }
    for (index, answer) in answers("adding").iter().enumerate() {
        assert_eq!(answer["series"], (index + 1).to_string());
        assert_eq!((&answer["start"], &answer["quantiles"]), (&100.into(), &serde_json::json!({})));
        assert!(answer["mean"].as_array().unwrap().len() == 1 && answer["mean"][0].is_number(), "{answer}");
    }
}

#[test]
fn line_ends_and_a_byte_order_mark_change_no_answer() {
    let folder = classifier();
    let long = "the dog runs there ".repeat(2000);
    let lines = ["the cat sits there", long.trim_end(), "", "a dog runs"];
    let answers = |text: String| {
        folder.write("lines.txt", text);
        folder.done("predict m --data lines.txt --json")
    };
    let expected = answers(lines.join("\n"));
    assert_eq!(expected.lines().count(), lines.len(), "{expected}");
    for end in ["\n", "\r\n", "\r"] {
        assert_eq!(answers(lines.map(|line| format!("{line}{end}")).concat()), expected, "{end:?}");
    }
    assert_eq!(answers(format!("\u{feff}{}", lines.join("\n"))), expected);
}

#[test]
fn lines_of_standard_input_are_answered() {
    let folder = classifier();
    folder.write("lines.txt", "the cat sits there\na dog runs\n");
    let expected = folder.done("predict m --data lines.txt --json");
    let output = folder
        .rnn("predict m --data - --json")
        .write_stdin("the cat sits there\r\na dog runs")
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let odd =
        folder.rnn("predict m --data -").write_stdin("the zebra sits\na dog runs there\n").output().unwrap();
    let unknown = "2 of 7 words (28.57 %) are unknown to the model\n";
    assert_eq!(String::from_utf8(odd.stderr).unwrap(), unknown);
    assert!(folder.rnn("predict m --data -").write_stdin("").output().unwrap().stdout.is_empty());
    let table = folder.rnn("predict m --data -").write_stdin("animal,text\ncat,the cat\n").output().unwrap();
    let note = String::from_utf8(table.stderr).unwrap();
    assert!(note.contains("\"animal,text\", the header of a table"), "{note}");
    assert_eq!(String::from_utf8(table.stdout).unwrap().lines().count(), 2);
    folder.refused("predict m --text -", 2, &["--text", "use --data -"]);
}

#[test]
fn lines_before_one_without_tokens_are_answered_and_the_line_is_named() {
    let folder = Folder::new();
    // Words, without an unknown token.
    folder.write(
        "words.json",
        r#"{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"Whitespace"},
            "model":{"type":"WordLevel","vocab":{"a":0,"b":1,"c":2},"unk_token":"<unk>"}}"#,
    );
    folder.write("abc.csv", format!("text,label\n{}", "a b c,up\nc b a,down\n".repeat(20)));
    let flags = "--label-column label --tokenizer words.json";
    folder.done(&format!("train gru --data abc.csv {flags} {TINY_SEQUENCES} --out m"));
    let answered =
        |input: &'static str| folder.rnn("predict m --data -").write_stdin(input).output().unwrap();
    let expected = answered("a b\nc\n").stdout;
    let output = answered("a b\nc\na d\nb\n");
    assert_one_line(&output, 1, &["standard input: line 3: the tokenizer cannot encode"], "predict");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), String::from_utf8(expected).unwrap());
}

#[test]
fn unknown_words_are_counted_on_stderr() {
    let folder = classifier();
    folder.write("odd.csv", "animal,text\ncat,the zebra sits\ndog,a dog runs there\n");
    let said = |line: &str| String::from_utf8(folder.rnn(line).output().unwrap().stderr).unwrap();
    // `zebra` and `a` do not occur in training.
    let unknown = "2 of 7 words (28.57 %) are unknown to the model\n";
    assert_eq!(said("predict m --data odd.csv"), unknown);
    assert_eq!(said("eval m --data odd.csv --label-column animal"), unknown);
    let scores = folder.done("eval m --data odd.csv --label-column animal --json");
    assert_eq!(serde_json::from_str::<Value>(&scores).unwrap()["unknown"], 2);
    assert_eq!(said("predict m --data train.csv"), "");
}

#[test]
fn overflowing_network_is_an_error() {
    let folder = classifier();
    folder.done(&format!("train gru --data builtin:copy --out copy {TINY_SEQUENCES}"));
    folder.done(&format!("train gru --data builtin:adding --out adding {TINY_SEQUENCES}"));
    for bundle in ["m", "copy", "adding"] {
        overflow(&folder.path(&format!("{bundle}/model.safetensors")));
    }
    for line in [
        "predict m --data train.csv",
        "predict m --data train.csv --json",
        "predict copy --data builtin:copy",
        "predict adding --data builtin:adding",
    ] {
        folder.refused(line, 1, &["an output of the network is NaN or infinite"]);
    }
    for line in [
        "eval m --data train.csv --label-column animal",
        "eval copy --data builtin:copy",
        "eval adding --data builtin:adding",
    ] {
        folder.refused(line, 1, &["loss", "numbers overflow in the network"]);
    }
}

/// Set every parameter of the decoder to the largest finite number, whose sums are infinite.
fn overflow(model: &Path) {
    let mut tensors = candle_core::safetensors::load(model, &Device::Cpu).unwrap();
    for (name, tensor) in &mut tensors {
        if name.starts_with("decoder.") {
            *tensor = Tensor::full(f32::MAX, tensor.shape(), &Device::Cpu).unwrap();
        }
    }
    candle_core::safetensors::save(&tensors, model).unwrap();
}

#[test]
fn split_that_is_answered_is_said_unless_it_is_all() {
    let folder = classifier();
    animals(&folder, "d/train.csv", 120);
    animals(&folder, "d/test.csv", 6);
    let run = |line: &str| folder.rnn(line).output().unwrap();
    let said = |line: &str| String::from_utf8(run(line).stderr).unwrap();
    let note = "the test split of d is predicted (--split all predicts every split)";
    assert!(said("predict m --data d").contains(note), "{}", said("predict m --data d"));
    assert_eq!(folder.done("predict m --data d").lines().count(), 6);
    for line in ["predict m --data d --split test", "predict m --data train.csv"] {
        assert_eq!(said(line), "", "{line}");
    }
    folder.done(&format!("train gru --data builtin:copy --out copy {TINY_SEQUENCES}"));
    assert!(said("predict copy --data builtin:copy").contains("the test split of builtin:copy is predicted"));
    let help = folder.done("predict --help").split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(help.contains("[default: test of a folder and of a built-in, all of a file;"), "{help}");
}

#[test]
fn label_of_several_lines_is_printed_on_one() {
    let folder = Folder::new();
    let records: String = (0..60).map(|n| format!("\"a\n{}\",text {n}\n", n % 2)).collect();
    folder.write("a.csv", format!("label,text\n{records}"));
    folder.done("train gru --data a.csv --label-column label --hidden 8 --max-steps 3 --out m");
    let answer = folder.done("predict m --text text");
    assert!(answer.starts_with("a\\n") && answer.lines().count() == 1, "{answer}");
}
