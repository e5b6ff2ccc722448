//! `rnn score`: log-probabilities of lines.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

use candle_core::Device;
use rnn_zoo::inference::model::Model;
use rnn_zoo::inference::score::score_lines;
use serde_json::{Value, json};

use super::{Folder, TINY, TINY_SEQUENCES, assert_one_line, text, written};

/// The output of `rnn score m ARGUMENTS` for `input`.
fn score(folder: &Folder, arguments: &str, input: impl Into<Vec<u8>>) -> String {
    let line = format!("score m {arguments}");
    written(&folder.rnn(&line).write_stdin(input).output().unwrap(), &line)
}

fn json_lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 1e-4, "{what}: {found} is not {expected}");
}

#[test]
fn line_has_the_score_that_eval_gives_its_file() {
    let folder = Folder::new();
    folder.write(
        "records.jsonl",
        text().lines().map(|l| format!("{{\"text\": \"{l}\"}}\n")).collect::<String>(),
    );
    // Texts of two lines: the vocabulary has a newline, which does not end a record.
    let two = |line| format!("{}\n", json!({ "text": format!("{line}\nus") }));
    folder.write("long.jsonl", text().lines().map(two).collect::<String>());
    let long = "the cat by the house saw us ".repeat(30);
    for training in [
        "lstm --data text.txt",
        "rnnlm --data text.txt",
        "gru --data text.txt --tokenizer bpe:300",
        "lstm --data records.jsonl",
        "gru --data records.jsonl --tokenizer bpe:300",
        "lstm --data long.jsonl",
    ] {
        folder.done(&format!("train {training} --out m --force {TINY}"));
        for line in ["the cat by the road saw us", "a zebra, of 7 trees", "us", "the  dog ", long.as_str()] {
            // A model of records is scored on a record.
            let file = match training.contains("jsonl") {
                true => ("line.jsonl", format!("{}\n", json!({ "text": line }))),
                false => ("line.txt", format!("{line}\n")),
            };
            folder.write(file.0, file.1);
            let scores = folder.done(&format!("eval m --data {} --json", file.0));
            let scores: Value = serde_json::from_str(&scores).unwrap();
            let found = &json_lines(&score(&folder, "--json", line))[0];
            assert_eq!(
                (&found["tokens"], &found["unknown"], &found["text"]),
                (&scores["tokens"], &scores["unknown"], &json!(line)),
                "{training}"
            );
            let expected = -scores["loss"].as_f64().unwrap() * scores["tokens"].as_f64().unwrap();
            assert_close(found["logprob"].as_f64().unwrap(), expected, &format!("{training}: {line}"));
        }
    }
}

#[test]
fn batched_lines_are_scored_as_alone() {
    let folder = Folder::new();
    for training in ["lstm --layers 2", "rnnlm --cell gru", "simple-rnn --tokenizer bpe:300"] {
        folder.done(&format!(
            "train {training} --data text.txt --out m --force {}",
            TINY.replace("--layers 1", "")
        ));
        let model = Model::load(&folder.path("m"), &Device::Cpu).unwrap();
        let mut lines: Vec<String> = text().lines().take(30).map(String::from).collect();
        lines.extend(["", "us", &"the horse by the barn ".repeat(40), ""].map(String::from));
        let together = score_lines(&model, &lines).unwrap();
        for (line, together) in lines.iter().zip(&together) {
            let alone = &score_lines(&model, std::slice::from_ref(line)).unwrap()[0];
            assert_eq!(together, alone, "{training}: {line}");
            assert_eq!(alone.tokens.len(), alone.logprobs.len());
        }
        assert!(score_lines(&model, &[]).unwrap().is_empty());
    }
}

#[test]
fn one_line_is_printed_for_each_line_read() {
    let folder = Folder::with_model();
    let lines: Vec<String> = (0..150).map(|n| "the cat saw us"[..n % 15].to_string()).collect();
    let found = score(&folder, "", lines.join("\n"));
    // An empty last line without an end is not a line.
    let expected = lines.len();
    assert_eq!(found.lines().count(), expected);
    for (line, found) in lines.iter().zip(found.lines()) {
        let fields: Vec<&str> = found.split('\t').collect();
        assert!(fields[0].parse::<f64>().unwrap() < 0., "{found}");
        assert_eq!(fields[1..], [(line.len() + 1).to_string().as_str(), line.as_str()]);
    }
    folder.write("lines.txt", lines.join("\n"));
    assert_eq!(folder.done("score m lines.txt"), found, "a file is standard input");
    assert_eq!(score(&folder, "-", lines.join("\n")), found);
    assert_eq!(score(&folder, "", lines.join("\r\n")), found, "a carriage return is part of the line's end");
    assert_eq!(
        score(&folder, "", format!("\u{feff}{}\n", lines.join("\n"))),
        found,
        "a byte-order mark is not text"
    );
    assert_eq!(score(&folder, "", ""), "");
}

#[test]
fn token_scores_add_up_to_the_line() {
    let folder = Folder::with_model();
    let line = "the cat, us";
    let object = &json_lines(&score(&folder, "--json --tokens", line))[0];
    let logprobs: Vec<f64> = serde_json::from_value(object["token_logprobs"].clone()).unwrap();
    let spelt: Vec<String> = serde_json::from_value(object["token_texts"].clone()).unwrap();
    assert_eq!(spelt.concat(), "the cat<unk> us\n");
    assert_eq!((&object["unknown"], &object["tokens"]), (&json!(1), &json!(spelt.len())));
    assert_eq!(object["logprob"].as_f64().unwrap(), logprobs.iter().sum::<f64>());

    let table = score(&folder, "--tokens", line);
    let mut rows = table.lines();
    assert_eq!(rows.next(), score(&folder, "", line).lines().next());
    for (spelt, logprob) in spelt.iter().zip(&logprobs) {
        assert_eq!(rows.next().unwrap(), format!("\t{logprob:.6}\t{}", spelt.replace('\n', "\\n")));
    }
    assert_eq!(rows.next(), None);
}

#[test]
fn unknown_tokens_are_reported_once() {
    let folder = Folder::new();
    folder.done(&format!("train rnnlm --data text.txt --out m {TINY}"));
    let output =
        folder.rnn("score m --json").write_stdin("the cat\na zebra runs\nus quux\n").output().unwrap();
    let unknown: Vec<u64> =
        json_lines(&written(&output, "")).iter().map(|line| line["unknown"].as_u64().unwrap()).collect();
    assert_eq!(unknown, [0, 3, 1]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.lines().count() == 1 && said.contains("4 of 10 words"), "{said}");
    assert!(said.contains("in 2 of 3 lines"), "{said}");
    let output = folder.rnn("score m").write_stdin("the cat\n").output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[test]
fn text_of_every_script_is_printed_unchanged() {
    let folder = Folder::new();
    let lines = ["한국어는 \u{1112}\u{1161}\u{11ab}글 👩‍👩‍👧 e\u{301}", "그리고\t한국어는 🇰🇷"];
    folder.write("korean.txt", format!("{}\n", lines.join("\n")).repeat(60));
    folder.done(&format!("train lstm --data korean.txt --tokenizer char --out m {TINY}"));
    let output = folder.rnn("score m").write_stdin(lines.join("\n")).output().unwrap();
    assert!(output.stderr.is_empty(), "every character is known");
    for (line, found) in lines.iter().zip(written(&output, "").lines()) {
        let fields: Vec<&str> = found.splitn(3, '\t').collect();
        let characters = rnn_zoo::tokenizer::character::split(line).count() + 1;
        assert_eq!(fields[1..], [characters.to_string().as_str(), line]);
    }
}

#[test]
fn line_ends_change_no_score() {
    let folder = Folder::new();
    let twins = [("lf", "\n"), ("crlf", "\r\n"), ("cr", "\r")];
    let with = |text: &str, end: &str| text.replace('\n', end);
    for (name, end) in twins {
        folder.write(&format!("{name}.txt"), with(&text(), end));
    }
    for training in ["lstm", "rnnlm", "gru --tokenizer bpe:300"] {
        folder.done(&format!("train {training} --data crlf.txt --out m --force {TINY}"));
        let lines = "the cat by the road saw us\nus\n\nthe dog\n";
        let expected = score(&folder, "--json --tokens", lines);
        let scores = folder.done("eval m --data lf.txt --split all --json");
        for (name, end) in twins {
            let found = score(&folder, "--json --tokens", with(lines, end));
            assert_eq!(found, expected, "{training}: {name}");
            let eval: Value =
                serde_json::from_str(&folder.done(&format!("eval m --data {name}.txt --split all --json")))
                    .unwrap();
            let expected: Value = serde_json::from_str(&scores).unwrap();
            assert_eq!(
                (&eval["loss"], &eval["unknown"]),
                (&expected["loss"], &json!(0)),
                "{training}: {name}"
            );
        }
        for line in json_lines(&expected) {
            let last = line["token_texts"].as_array().unwrap().last().unwrap().clone();
            assert_eq!(last, if training == "rnnlm" { "<eos>" } else { "\n" }, "{training}");
        }
    }
}

#[test]
fn text_without_line_ends_has_none_to_score() {
    let folder = Folder::new();
    folder.write("one.txt", "abcab".repeat(300));
    folder.done(&format!("train lstm --data one.txt --out m {TINY}"));
    let line = &json_lines(&score(&folder, "--json --tokens", "abc\n"))[0];
    assert_eq!(line["token_texts"], json!(["a", "b", "c"]), "no <eos>, which was never a target");
}

#[test]
fn decomposed_lines_are_scored_as_composed_ones() {
    let folder = Folder::new();
    folder.write("korean.txt", "한국어는 그리고 été\n".repeat(80));
    let (composed, decomposed) = ("한국 é", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8} e\u{301}");
    folder.write("decomposed.txt", decomposed);
    folder.write("composed.txt", composed);
    for training in ["lstm", "gru --tokenizer bpe:280"] {
        folder.done(&format!("train {training} --data korean.txt --out m --force {TINY}"));
        let logprob = |line: &str| json_lines(&score(&folder, "--json", line))[0]["logprob"].clone();
        assert_eq!(logprob(decomposed), logprob(composed), "{training}");
        let loss = |file: &str| {
            let scores: Value =
                serde_json::from_str(&folder.done(&format!("eval m --data {file} --json"))).unwrap();
            (scores["loss"].clone(), scores["unknown"].clone())
        };
        assert_eq!(loss("decomposed.txt"), loss("composed.txt"), "{training}");
    }
}

#[test]
fn byte_level_tokens_are_printed_as_text() {
    let folder = Folder::new();
    folder.write("korean.txt", "한국어는 그리고\n".repeat(80));
    folder.done(&format!("train gru --data korean.txt --tokenizer bpe:300 --out m {TINY}"));
    let line = &json_lines(&score(&folder, "--json --tokens", "한국어는 그리고"))[0];
    let texts: Vec<String> = serde_json::from_value(line["token_texts"].clone()).unwrap();
    assert_eq!(texts.concat(), "한국어는 그리고\n");
    assert!(score(&folder, "--tokens", "각").contains(r"\xEA"), "a part of a character is escaped");
}

/// Byte pairs for `a` and `b` without an unknown token.
const NO_UNKNOWN: &str = r#"{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"Whitespace"},
    "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}}"#;

#[test]
fn dropped_text_is_counted() {
    let folder = Folder::new();
    folder.write("nounk.json", NO_UNKNOWN);
    folder.write("text.txt", "ab ba x\n".repeat(200));
    let line = format!("train lstm --data text.txt --tokenizer nounk.json --out m {TINY}");
    let output = folder.rnn(&line).output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(
        output.status.success()
            && told.contains("180 characters of the training text have no token, so left out"),
        "{told}"
    );
    let output = folder.rnn("score m --json").write_stdin("ab\nxay\n").output().unwrap();
    let unknown: Vec<Value> =
        json_lines(&written(&output, "")).iter().map(|line| line["unknown"].clone()).collect();
    assert_eq!(unknown, [json!(0), json!(2)]);
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(told, "2 characters have no token, in 1 of 2 lines; left out and not scored\n");
    folder.write("new.txt", "ab xyz\n");
    let scores: Value = serde_json::from_str(&folder.done("eval m --data new.txt --json")).unwrap();
    assert_eq!(scores["unknown"], json!(3));
    let output = folder.rnn("generate m --length 3 --prompt").arg("axb").output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "`x` has no token and is left out\n");
}

/// Words, without an unknown token.
const WORDS_ALONE: &str = r#"{"version":"1.0","added_tokens":[],"pre_tokenizer":{"type":"Whitespace"},
    "model":{"type":"WordLevel","vocab":{"a":0,"b":1,"c":2},"unk_token":"<unk>"}}"#;

#[test]
fn lines_before_one_without_tokens_are_scored_and_the_line_is_named() {
    let folder = Folder::new();
    folder.write("words.json", WORDS_ALONE);
    folder.write("abc.txt", "a b c b a\n".repeat(200));
    folder.done(&format!("train lstm --data abc.txt --tokenizer words.json --out m {TINY}"));
    folder.write("lines.txt", "a b\nc\na d\nb\n");
    let expected = score(&folder, "", "a b\nc\n");
    for (line, input, name) in
        [("score m lines.txt", "", "lines.txt"), ("score m", "a b\nc\na d\nb\n", "standard input")]
    {
        let output = folder.rnn(line).write_stdin(input).output().unwrap();
        let problem = format!("{name}: line 3: the tokenizer cannot encode this text");
        assert_one_line(&output, 1, &[&problem, "\"d\""], line);
        assert_eq!(String::from_utf8(output.stdout).unwrap(), expected, "{line}");
    }
    folder.write("records.csv", "text\na b\nc\na d\n");
    let output = folder.rnn("score m records.csv --text-column text").output().unwrap();
    assert_one_line(&output, 1, &["records.csv: record 3: the tokenizer cannot encode"], "records");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn more_likely_line_has_the_higher_score() {
    let folder = Folder::new();
    folder.done("train gru --data text.txt --hidden 16 --embedding 8 --batch-size 8 --bptt 16 --lr 0.02 --epochs 6 --out m");
    let found = score(&folder, "", "the cat by the house saw 3 of us\nsu fo 3 was esuoh eht yb tac eht\n");
    let logprobs: Vec<f64> =
        found.lines().map(|line| line.split('\t').next().unwrap().parse().unwrap()).collect();
    assert!(logprobs[0] > logprobs[1] + 20., "{found}");
}

#[test]
fn score_is_printed_before_the_next_line_is_read() {
    let folder = Folder::with_model();
    let mut program = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rnn"))
        .current_dir(folder.path("."))
        .args(["score", "m"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    let answers = BufReader::new(program.stdout.take().unwrap());
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || answers.lines().for_each(|line| sender.send(line.unwrap()).unwrap()));
    for line in ["the cat", "saw us"] {
        writeln!(input, "{line}").unwrap();
        // So that a failing test ends.
        let answer = receiver.recv_timeout(Duration::from_secs(300)).unwrap();
        assert!(answer.ends_with(line), "{answer}");
    }
    drop(input);
    assert!(program.wait().unwrap().success());
}

#[test]
fn unusable_models_and_input_are_refused() {
    let folder = Folder::with_model();
    folder.done(&format!("train gru --data builtin:copy --out copy {TINY_SEQUENCES}"));
    for (line, code, mentions) in [
        ("score copy text.txt", 2, vec!["copy: its task is tag", "only a language model"]),
        ("score m missing.txt", 1, vec!["missing.txt"]),
        ("score m m", 1, vec!["m: is a folder"]),
        ("score missing text.txt", 1, vec!["missing", "no bundle"]),
        ("score", 2, vec!["BUNDLE"]),
    ] {
        folder.refused(line, code, &mentions);
    }
    // Lines before the broken one are scored.
    let output = folder.rnn("score m").write_stdin(b"the cat\nb\xffd\nus\n".as_slice()).output().unwrap();
    assert_one_line(&output, 1, &["standard input: line 2 is not UTF-8; convert it, as `iconv"], "score m");
    assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
}
