//! Tagging: column files in, a tag for each word out.

use serde_json::{Value, json};

use super::{Folder, TINY_SEQUENCES};

/// Sentences with a part of speech and a BIO tag for each word.
fn sentences(count: usize) -> String {
    let sentence = |n: usize| {
        let name = ["Ada", "Bob", "Cyd"][n % 3];
        let family = if n.is_multiple_of(2) { "Lee NNP I-PER\n" } else { "" };
        let place = ["Oslo", "Rome"][n % 2];
        format!("{name} NNP B-PER\n{family}saw VBD O\n{place} NNP B-LOC\n. . O\n\n")
    };
    (0..count).map(sentence).collect()
}

/// The lines of a command's output as JSON.
fn answers(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn column_file_trains_a_tagger_that_answers_with_its_words() {
    let folder = Folder::new();
    folder.write("names.conll", sentences(60));
    folder.done(&format!("train gru --data names.conll --out m {TINY_SEQUENCES}"));
    let config = folder.json("m/config.json");
    assert_eq!(
        (&config["task"], &config["labels"]),
        (&json!("tag"), &json!(["B-LOC", "B-PER", "I-PER", "O"]))
    );
    assert_eq!(config["network"]["crf"], json!(true), "the tags mark spans");
    assert_eq!(config["network"]["rnn"]["bidirectional"], json!("concat"));

    let scores: Value = serde_json::from_str(&folder.done("eval m --data names.conll --json")).unwrap();
    assert_eq!((&scores["task"], &scores["split"]), (&json!("tag"), &json!("test")));
    for name in ["loss", "accuracy", "precision", "recall", "f1"] {
        assert!(scores[name].as_f64().is_some_and(f64::is_finite), "{name}: {scores}");
    }
    let answers = answers(&folder.done("predict m --data names.conll --json"));
    assert_eq!(answers.len(), 60);
    assert_eq!(answers[0]["tokens"], json!(["Ada", "Lee", "saw", "Oslo", "."]));
    for answer in &answers {
        assert_eq!(answer["tokens"].as_array().unwrap().len(), answer["tags"].as_array().unwrap().len());
    }
    // A word that training did not see is answered as it is written.
    let text = folder.rnn("predict m --json --text").arg("Zoë saw  Oslo").output().unwrap();
    let answer: Value = serde_json::from_slice(&text.stdout).unwrap();
    assert_eq!(answer["tokens"], json!(["Zoë", "saw", "Oslo"]));
}

#[test]
fn enough_training_finds_every_span() {
    let folder = Folder::new();
    folder.write("names.conll", sentences(200));
    let flags = "--hidden 16 --embedding 16 --dropout 0 --batch-size 8 --epochs 8 --lr 0.01";
    folder.done(&format!("train lstm --data names.conll --out m {flags}"));
    let scores: Value = serde_json::from_str(&folder.done("eval m --data names.conll --json")).unwrap();
    assert_eq!(scores["f1"], json!(1.0), "{scores}");
    assert_eq!(folder.done("predict m --text Bob"), "B-PER\n");
}

#[test]
fn further_columns_are_read_by_number() {
    let folder = Folder::new();
    folder.write("names.conll", sentences(60));
    let run = format!("train gru --data names.conll {TINY_SEQUENCES}");
    folder.done(&format!("{run} --feature-columns 1 --crf=false --characters 0 --out m"));
    let config = folder.json("m/config.json");
    assert_eq!(config["schema"]["columns"], json!([[".", "NNP", "VBD"]]));
    assert_eq!((&config["network"]["crf"], &config["network"]["characters"]), (&json!(false), &Value::Null));
    // The bundle keeps the columns.
    folder.done("eval m --data names.conll");
    folder.refused("predict m --text Bob", 1, &["also reads column 1 of each word", "give it a column file"]);
    folder.done(&format!("{run} --tag-column 1 --out pos --crf --force"));
    let scored: Value = serde_json::from_str(&folder.done("eval pos --data names.conll --json")).unwrap();
    let answers = answers(&folder.done("predict pos --data names.conll --json"));
    assert_eq!((answers.len(), scored["labels"].as_array().unwrap().len()), (60, 3));
    folder.done(&format!("{run} --tag-column 1 --out pos --force"));
    assert_eq!(folder.json("pos/config.json")["labels"], json!([".", "NNP", "VBD"]));
    assert_eq!(folder.json("pos/config.json")["network"]["crf"], json!(false), "no spans");
    for (flags, mentions) in [
        ("--tag-column 7", ["names.conll: line 1", "no tag column `7`"]),
        ("--word-column form", ["names.conll: line 1", "not CoNLL-U"]),
        ("--feature-columns -1", ["names.conll: line 1", "column 2 is the tag"]),
    ] {
        folder.refused(&format!("{run} --out n {flags}"), 1, &mentions);
    }
    folder.refused(&format!("{run} --out n --tokenizer char"), 2, &["--tokenizer", "reads words"]);
}

#[test]
fn folder_of_text_files_is_read_if_the_task_is_named() {
    let folder = Folder::new();
    folder.write("d/train.txt", sentences(40));
    folder.write("d/test.txt", sentences(6));
    folder.done(&format!("train gru --data d --task tag --out m {TINY_SEQUENCES}"));
    let scores: Value = serde_json::from_str(&folder.done("eval m --data d --json")).unwrap();
    assert_eq!(scores["split"], json!("test"));
}

#[test]
fn unknown_tags_are_errors_of_an_evaluation() {
    let folder = Folder::new();
    folder.write("d/train.txt", sentences(40));
    folder.write("d/valid.txt", format!("{}\nAda NNP B-ORG\nLee NNP I-ORG\n", sentences(6)));
    folder.write("known/test.txt", sentences(6));
    folder.write("known/train.txt", sentences(6));
    let output =
        folder.rnn(&format!("train gru --data d --task tag --out m {TINY_SEQUENCES}")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let note = "validation: 2 words have a tag that the model does not know (\"B-ORG\", \"I-ORG\")";
    assert!(output.status.success() && said.contains(note), "{said}");
    let scores = |data: &str| -> Value {
        serde_json::from_str(&folder.done(&format!("eval m --data {data} --json"))).unwrap()
    };
    let (found, known) = (scores("d --split valid"), scores("known --split test"));
    // Both words are wrong; the loss leaves their sentence out.
    let words = known["tokens"].as_f64().unwrap();
    let expected = known["accuracy"].as_f64().unwrap() * words / (words + 2.);
    assert!((found["accuracy"].as_f64().unwrap() - expected).abs() < 1e-9, "{found} {known}");
    assert!((found["loss"].as_f64().unwrap() / known["loss"].as_f64().unwrap() - 1.).abs() < 1e-6, "{found}");
    // Tags to learn must be known.
    folder.write("e/train.txt", format!("{}\nAda NNP B-ORG\n", sentences(40)));
    folder.refused("train --from m --data e --out n", 1, &["the tag \"B-ORG\"", "\"Ada\"", "knows only"]);
}

#[test]
fn resumed_run_ends_with_the_bytes_of_one_left_alone() {
    let folder = Folder::new();
    folder.write("names.conll", sentences(60));
    let run = "train lstm --data names.conll --hidden 8 --embedding 8 --batch-size 8 --schedule constant --eval-every 5";
    folder.done(&format!("{run} --max-steps 20 --out whole"));
    folder.done(&format!("{run} --max-steps 8 --out parts"));
    folder.done("train --resume parts --max-steps 20");
    assert!(folder.bytes("parts/model.safetensors") == folder.bytes("whole/model.safetensors"));
}

#[test]
fn malformed_column_files_are_named_by_line() {
    let folder = Folder::new();
    let run = |name: &str| format!("train gru --data {name} --out m {TINY_SEQUENCES}");
    for (name, content, mentions) in [
        ("ragged.conll", "a X\nb\n\nc X\n", ["ragged.conll: line 2", "1 column where line 1 has 2"]),
        ("single.conll", "a\nb\n", ["single.conll: line 1", "word and the tag at once"]),
        ("empty.conll", "\n\n", ["empty.conll", "has no rows"]),
    ] {
        folder.write(name, content);
        folder.refused(&run(name), 1, &mentions);
    }
    folder.write("one.conll", "a X\n\n".repeat(60));
    folder.refused(&run("one.conll"), 1, &["one.conll", "has one tag (X); expected at least two"]);
    folder.refused(&format!("{} --characters -3", run("one.conll")), 2, &["--characters", "from 0 to 65536"]);
    folder.refused(&format!("{} --crf", run("text.txt")), 2, &["--crf", "only a tagger has it"]);
}

#[test]
fn column_files_of_any_extension_are_answered_as_the_tagger_was_trained() {
    let folder = Folder::new();
    for name in ["set/train.txt", "set/test.txt", "names.txt", "names.tsv"] {
        let text = sentences(20);
        folder.write(name, if name.ends_with("tsv") { text.replace(' ', "\t") } else { text });
    }
    folder.write("plain.txt", "Ada saw Oslo\nBob saw Rome now\n");
    folder.done(&format!("train gru --data set --task tag --feature-columns 1 --out m {TINY_SEQUENCES}"));
    for data in ["set", "names.txt", "names.tsv"] {
        let answers = answers(&folder.done(&format!("predict m --data {data} --json")));
        assert_eq!(answers.len(), 20, "{data}");
        assert_eq!(answers[0]["tokens"], json!(["Ada", "Lee", "saw", "Oslo", "."]), "{data}");
    }
    folder.done(&format!("train gru --data names.txt --task tag --out n {TINY_SEQUENCES}"));
    let plain = answers(&folder.done("predict n --data plain.txt --json"));
    assert_eq!(plain[1]["tokens"], json!(["Bob", "saw", "Rome", "now"]));
}

#[test]
fn text_without_words_has_no_tags() {
    let folder = Folder::new();
    folder.write("names.conll", sentences(20));
    folder.done(&format!("train gru --data names.conll --out m {TINY_SEQUENCES}"));
    for text in ["", " "] {
        let output = folder.rnn("predict m --json --text").arg(text).output().unwrap();
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(answer, json!({"tokens": [], "tags": []}), "{text:?}");
    }
}

#[test]
fn fraction_of_a_folder_for_test_is_refused() {
    let folder = Folder::new();
    folder.write("set/train.conll", sentences(20));
    folder.write("texts/train.txt", "some text to train on, again and again\n".repeat(40));
    for data in ["set", "texts"] {
        let line = format!("train gru --data {data} --test-fraction 0.2 --out m");
        folder.refused(&line, 2, &["--test-fraction", "a folder's test split is its test file", "add one"]);
    }
}

#[test]
fn directions_of_a_tagger_are_merged_as_asked() {
    let folder = Folder::new();
    folder.write("names.conll", sentences(20));
    folder.done(&format!("train gru --data names.conll --merge sum --out m {TINY_SEQUENCES}"));
    assert_eq!(folder.json("m/config.json")["network"]["rnn"]["bidirectional"], json!("sum"));
    let line = "train gru --data names.conll --merge sum --bidirectional=false --out n";
    folder.refused(line, 2, &["--merge", "joins two directions"]);
}

#[test]
fn column_files_without_tags_are_answered() {
    let folder = Folder::new();
    folder.write("names.conll", sentences(60));
    let without = |columns: &[usize]| {
        let line = |line: &str| {
            let fields: Vec<&str> = line.split(' ').collect();
            columns.iter().filter_map(|&column| fields.get(column).copied()).collect::<Vec<_>>().join(" ")
        };
        sentences(60).lines().map(line).collect::<Vec<_>>().join("\n")
    };
    folder.write("words.conll", without(&[0]));
    folder.write("parts.conll", without(&[0, 1]));
    let run = format!("train gru --data names.conll {TINY_SEQUENCES}");
    folder.done(&format!("{run} --out m"));
    assert_eq!(
        folder.done("predict m --data words.conll --json"),
        folder.done("predict m --data names.conll --json")
    );
    folder.refused("eval m --data words.conll", 1, &["words.conll: line 1", "word and the tag at once"]);
    folder.done(&format!("{run} --feature-columns 1 --out features"));
    assert_eq!(
        folder.done("predict features --data parts.conll --json"),
        folder.done("predict features --data names.conll --json")
    );
    folder.refused(
        "predict features --data words.conll",
        1,
        &["words.conll: line 1", "no feature column `1`"],
    );
    folder.write("tags.conll", without(&[0, 2]));
    folder.refused(
        "predict features --data tags.conll",
        2,
        &["column 1 of tags.conll holds tags such as", "--feature-columns"],
    );
}

#[test]
fn tags_of_the_test_file_alone_are_said_before_training() {
    let folder = Folder::new();
    folder.write("d/train.conll", sentences(40));
    folder.write("d/test.conll", "Ada NNP B-ORG\nLee NNP O\n");
    let output = folder.rnn(&format!("train gru --data d --out m {TINY_SEQUENCES}")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let warning = "the test split of d has classes that the training split lacks (\"B-ORG\"); `rnn eval` counts \
                   them as errors";
    assert!(output.status.success() && said.contains(warning), "{said}");
}

#[test]
fn f1_of_tags_is_drawn() {
    let folder = Folder::new();
    folder.write("names.conll", sentences(60));
    folder.done(&format!("train gru --data names.conll --out m {TINY_SEQUENCES}"));
    folder.done("plot m --metric f1,accuracy --out f1.svg");
    let picture = String::from_utf8(folder.bytes("f1.svg")).unwrap();
    assert!(picture.contains("\nF1\n") && picture.contains("\naccuracy\n"), "{picture}");
}
