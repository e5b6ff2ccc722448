//! Translation: parallel files and tables of pairs in, a text for each source out.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{Folder, TINY_SEQUENCES};

const ANIMALS: [[&str; 2]; 4] = [["cat", "Katze"], ["dog", "Hund"], ["bird", "Vogel"], ["horse", "Pferd"]];
const VERBS: [[&str; 2]; 3] = [["sleeps", "schläft"], ["eats", "frisst"], ["runs", "läuft"]];

/// English sentences and their German translations, a line each.
fn sentences(count: usize) -> [String; 2] {
    [0, 1].map(|side| {
        let the = ["the", "das Tier namens"][side];
        let line = |n: usize| format!("{the} {} {}\n", ANIMALS[n % 4][side], VERBS[n / 4 % 3][side]);
        (0..count).map(line).collect()
    })
}

/// A folder `d` of parallel files.
fn parallel() -> Folder {
    let folder = Folder::new();
    for (name, count) in [("train", 120), ("val", 12), ("test_a", 12)] {
        let [source, target] = sentences(count);
        folder.write(&format!("d/{name}.en"), source);
        folder.write(&format!("d/{name}.de"), target);
    }
    folder
}

const LANGUAGES: &str = "--source-lang en --target-lang de";
const TRAINED: &str = "--hidden 24 --embedding 16 --dropout 0 --batch-size 8 --lr 0.01 --tokenizer word";

fn lines(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn fed(folder: &Folder, line: &str, input: &str) -> String {
    let output = folder.rnn(line).write_stdin(input).output().unwrap();
    super::written(&output, line)
}

#[test]
fn parallel_files_train_a_translator_that_translates_lines() {
    let folder = parallel();
    folder.done(&format!("train gru --data d {LANGUAGES} --out m {TRAINED} --epochs 30"));
    let config = folder.json("m/config.json");
    assert_eq!((&config["task"], &config["network"]["network"]), (&json!("translate"), &json!("translator")));
    assert_eq!(config["network"]["rnn"]["bidirectional"], json!("concat"));

    let scores: Value = serde_json::from_str(&folder.done("eval m --data d --json")).unwrap();
    assert_eq!((&scores["task"], &scores["split"]), (&json!("translate"), &json!("test")));
    assert_eq!((&scores["exact"], scores["bleu"].as_f64().unwrap().round()), (&json!(1.0), 100.));
    assert_eq!(scores["chrf"].as_f64().unwrap().round(), 100.);
    assert_eq!(scores["tokens"], json!(12 * 6), "five words and <eos>");
    let scores: Value = serde_json::from_str(&folder.done("eval m --data d --beams 3 --json")).unwrap();
    assert_eq!(scores["exact"], json!(1.0));

    let expected = "das Tier namens Hund frisst\n";
    for line in ["predict m --text", "predict m --beam 4 --length-penalty 0.6 --text"] {
        let output = folder.rnn(line).arg("the dog eats").output().unwrap();
        assert_eq!(super::written(&output, line), expected);
    }
    // A file, standard input and a table answer the same; empty lines stay empty.
    let input = "the dog eats\n\n  \nthe bird sleeps";
    let expected = format!("{expected}\n\ndas Tier namens Vogel schläft\n");
    folder.write("in.txt", input);
    folder.write("in.csv", "id,q\n1,the dog eats\n2,\n3,\n4,the bird sleeps\n");
    assert_eq!(folder.done("predict m --data in.txt"), expected);
    assert_eq!(fed(&folder, "predict m --data -", input), expected);
    assert_eq!(folder.done("predict m --data in.csv --source-column q"), expected);
    let answers = lines(&fed(&folder, "predict m --data - --json", input));
    assert_eq!((answers.len(), &answers[0]["source"]), (4, &json!("the dog eats")));
    assert_eq!(answers[3]["text"], json!("das Tier namens Vogel schläft"));
    assert_eq!(answers[1], json!({ "source": "", "text": "", "score": 0.0 }));
    assert!(answers[0]["score"].as_f64().is_some_and(|score| (-0.5..0.).contains(&score)), "{answers:?}");
    assert_eq!(folder.done("predict m --data d --json").lines().count(), 12, "the sources of the test split");
}

#[test]
fn pairs_are_printed_with_a_tab() {
    let folder = parallel();
    let printed = folder.done(&format!("data d {LANGUAGES} --split valid"));
    assert_eq!(printed.lines().next(), Some("the cat sleeps\tdas Tier namens Katze schläft"));
    assert_eq!(printed.lines().count(), 12);
}

#[test]
fn unknown_words_are_those_that_are_attended_to() {
    let folder = parallel();
    // The names occur once, so that both vocabularies lack them.
    let names: Vec<String> = (0..60).map(|n| format!("Name{n}")).collect();
    let lines = |line: fn(&String) -> String| names.iter().map(line).collect::<String>();
    folder.write("d/train.en", lines(|name| format!("the animal {name} runs\n")));
    folder.write("d/train.de", lines(|name| format!("das Tier {name} läuft\n")));
    folder.done(&format!("train gru --data d {LANGUAGES} --out m {TRAINED} --min-count 2 --epochs 40"));
    let output = folder.rnn("predict m --text").arg("the animal Okapi runs").output().unwrap();
    let text = super::written(&output, "predict");
    assert!(text.starts_with("das Tier ") && text.ends_with(" läuft\n") && !text.contains("<unk>"), "{text}");
}

#[test]
fn each_side_has_a_tokenizer_of_its_own() {
    let folder = parallel();
    let run = format!("train gru --data d {LANGUAGES} {TRAINED} --target-tokenizer char --seed 5");
    folder.done(&format!("{run} --epochs 40 --out m"));
    let config = folder.json("m/config.json");
    let sizes =
        ["source_vocabulary", "target_vocabulary"].map(|name| config["network"][name].as_u64().unwrap());
    // The, four animals, three verbs, <unk> and <eos>; the letters of the German sentences.
    let letters = sentences(120)[1].chars().filter(|letter| *letter != '\n').collect::<BTreeSet<_>>().len();
    assert_eq!(sizes, [10, letters as u64 + 2]);
    let target: Value = serde_json::from_str(config["schema"]["target_tokenizer"].as_str().unwrap()).unwrap();
    assert!(target["model"]["vocab"].get("ä").is_some(), "{target}");

    let output = folder.rnn("predict m --text").arg("the dog eats").output().unwrap();
    assert!(super::written(&output, "predict").starts_with("das Tier namens "));
    let scores: Value = serde_json::from_str(&folder.done("eval m --data d --json")).unwrap();
    assert!(scores["chrf"].as_f64().unwrap() > 70., "{scores}");
    let recipe = String::from_utf8(folder.bytes("m/recipe.toml")).unwrap();
    assert!(recipe.contains("\ntarget-tokenizer = \"char\"\n"), "{recipe}");

    folder.done(&format!("{run} --epochs 2 --schedule constant --out whole"));
    folder.done(&format!("{run} --epochs 1 --schedule constant --out halves"));
    folder.done("train --resume halves --epochs 2");
    let last = "training/last.safetensors";
    assert!(folder.bytes(&format!("halves/{last}")) == folder.bytes(&format!("whole/{last}")));
    folder.done("train --recipe whole/recipe.toml --out again");
    assert!(folder.bytes("again/model.safetensors") == folder.bytes("whole/model.safetensors"));
    folder.done(&format!("train --from whole --data d {LANGUAGES} --max-steps 2 --out tuned"));
    assert_eq!(folder.json("tuned/config.json")["schema"], folder.json("whole/config.json")["schema"]);
}

#[test]
fn target_tokenizers_without_effect_are_refused() {
    let folder = parallel();
    let train = format!("train gru --data d {LANGUAGES} {TINY_SEQUENCES} --out m --target-tokenizer");
    for (flags, mentions) in [
        ("char --shared-vocabulary", &["--target-tokenizer", "--shared-vocabulary"][..]),
        ("bpe:300 --max-vocab 9", &["--max-vocab: --target-tokenizer bpe:300", "leave one of the two out"]),
        ("letters", &["--target-tokenizer"]),
    ] {
        folder.refused(&format!("{train} {flags}"), 2, mentions);
    }
    let problem = "--target-tokenizer: only a translator reads two texts";
    folder.refused("train gru --data text.txt --target-tokenizer char --out m", 2, &[problem]);
    folder.done(&format!("{train} char"));
    folder.refused("train --from m --data d --target-tokenizer word", 2, &["--target-tokenizer", "--from"]);
    folder.write("r.toml", "shared-vocabulary = true\ntarget-tokenizer = \"char\"\n");
    folder.refused(
        &format!("train gru --recipe r.toml --data d {LANGUAGES} --out n"),
        2,
        &["target-tokenizer"],
    );
}

#[test]
fn tables_of_questions_and_answers_are_read_by_column() {
    let folder = Folder::new();
    let record = |n: usize| format!("{n},색 {}?,{}\n", n % 4, ["빨강", "파랑", "노랑", "하양"][n % 4]);
    folder.write("qa.csv", format!("id,질문,답\n{}", (0..80).map(record).collect::<String>()));
    let flags = "--hidden 32 --embedding 32 --batch-size 8 --epochs 80 --lr 0.01 --dropout 0";
    let columns = "--source-column 질문 --target-column 답";
    folder.done(&format!("train lstm --data qa.csv {columns} --out m --tied --shared-vocabulary {flags}"));
    let config = folder.json("m/config.json");
    assert_eq!((&config["network"]["shared"], &config["network"]["tied"]), (&json!(true), &json!(true)));
    assert_eq!(config["schema"]["target_tokenizer"], Value::Null);
    // The bundle keeps the columns, and its own split is scored.
    let scores: Value = serde_json::from_str(&folder.done("eval m --data qa.csv --json")).unwrap();
    assert_eq!((&scores["split"], &scores["exact"]), (&json!("test"), &json!(1.0)));
    let output = folder.rnn("predict m --text").arg("색 1?").output().unwrap();
    assert_eq!(super::written(&output, "predict"), "파랑\n");
    folder.write("new.csv", "질문\n색 2?\n");
    assert_eq!(folder.done("predict m --data new.csv"), "노랑\n", "no answers are needed");
}

#[test]
fn attention_is_drawn() {
    let folder = parallel();
    folder.done(&format!("train gru --data d {LANGUAGES} --out m {TRAINED} --epochs 2"));
    let draw = |text: &str, out: &str| {
        let output = folder.rnn("plot m --attention").arg(text).args(["--out", out]).output().unwrap();
        super::written(&output, text)
    };
    draw("the dog eats", "a.svg");
    let svg = String::from_utf8(folder.bytes("a.svg")).unwrap();
    for text in ["dog", "eats", "&lt;eos&gt;", "source", "translation"] {
        assert!(svg.contains(text), "{text}");
    }
    draw("the cat", "a.png");
    assert!(folder.bytes("a.png").starts_with(b"\x89PNG"));
    folder.done(&format!("train gru --data text.txt --out lm {TINY_SEQUENCES}"));
    folder.refused("plot lm --attention x", 2, &["lm", "does not translate"]);
    folder.refused("plot m lm --attention x", 2, &["RUN", "expected one with --attention"]);
}

#[test]
fn dates_are_the_data_of_a_translator_without_data() {
    let folder = Folder::new();
    folder.done(&format!("train gru --task translate {TINY_SEQUENCES} --eval-every 3"));
    let config = folder.json("gru-dates/config.json");
    assert_eq!(config["created_with"].as_str().map(|line| line.contains("--task translate")), Some(true));
    let answers = lines(&folder.done("predict gru-dates --data builtin:dates --json"));
    assert_eq!(answers.len(), 1000);
    let pairs = folder.done("data builtin:dates");
    let (source, target) = pairs.lines().next().and_then(|line| line.split_once('\t')).unwrap();
    assert_eq!(
        (pairs.lines().count(), answers[0]["source"].as_str(), target.len()),
        (1000, Some(source), 10)
    );
    folder.done(&format!("train gru --data builtin:dates {TINY_SEQUENCES} --out m"));
    assert!(folder.bytes("m/model.safetensors") == folder.bytes("gru-dates/model.safetensors"));
}

#[test]
fn resumed_run_ends_with_the_bytes_of_one_left_alone() {
    let folder = parallel();
    let flags =
        "--hidden 8 --embedding 8 --batch-size 8 --schedule constant --eval-every 5 --tokenizer bpe:270";
    let run =
        format!("train lstm --data d {LANGUAGES} --dropout 0.2 --label-smoothing 0.1 --metric bleu {flags}");
    folder.done(&format!("{run} --max-steps 20 --out whole"));
    folder.done(&format!("{run} --max-steps 8 --out parts"));
    folder.done("train --resume parts --max-steps 20");
    assert!(folder.bytes("parts/model.safetensors") == folder.bytes("whole/model.safetensors"));
    folder.done("train --recipe whole/recipe.toml --out again");
    assert!(folder.bytes("again/model.safetensors") == folder.bytes("whole/model.safetensors"));
    // Another run starts from the bundle, with its languages and tokenizers.
    folder.done("train --from whole --data d --max-steps 2 --out tuned");
    folder.done("export whole --out shipped --dtype f16");
    for bundle in ["tuned", "shipped"] {
        let expected = folder.done(&format!("eval {bundle} --data d --json"));
        assert!(expected.contains("\"bleu\""), "{expected}");
    }
}

#[test]
fn long_texts_are_left_out_of_training_and_cut_in_use() {
    let folder = parallel();
    let [source, target] = sentences(40);
    folder.write("d/train.en", format!("{source}{}\n", "cat ".repeat(10_000)));
    folder.write("d/train.de", format!("{target}Katze\n"));
    let run = format!("train gru --data d {LANGUAGES} --tokenizer word --out m {TINY_SEQUENCES}");
    let output = folder.rnn(&run).output().unwrap();
    super::written(&output, &run);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("1 pair with a text of more than 1,000 tokens: left out"), "{stderr}");
    let output = folder.rnn("predict m --data -").write_stdin("cat ".repeat(10_000)).output().unwrap();
    assert_eq!(super::written(&output, "predict").lines().count(), 1);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("more than 1,000 tokens: cut there"), "{stderr}");
}

#[test]
fn incomplete_pairs_are_named_or_counted() {
    let folder = parallel();
    let run = |flags: &str| format!("train gru --out m {TINY_SEQUENCES} {flags}");
    folder.write("d/test_a.de", "nur eine Zeile\n");
    folder.done(&run(&format!("--data d {LANGUAGES}")));
    folder.refused("eval m --data d", 1, &["test_a.en", "has 12 lines, test_a.de has 1"]);
    let run = |flags: &str| format!("train gru --out n {TINY_SEQUENCES} {flags}");
    for (flags, code, mentions) in [
        ("--data d --task translate", 1, ["its sides are not named", "--source-lang A and --target-lang B"]),
        ("--data d --source-lang en", 2, ["--target-lang", "name both languages"]),
        ("--data d --source-lang en --target-lang fr", 1, ["train.fr", "does not exist"]),
        ("--data text.txt --task translate", 1, ["text.txt", "--source-column A and --target-column B"]),
        ("--data builtin:story --task translate", 2, ["--data", "parallel files, a table or builtin:dates"]),
        ("--data builtin:dates --source-lang en", 2, ["--target-lang", "name both"]),
        ("--data text.txt --shared-vocabulary", 2, ["--shared-vocabulary", "only a translator"]),
        ("--data builtin:dates --readout max", 2, ["--readout", "only a classifier"]),
        ("--data builtin:dates --ar 1", 2, ["--ar", "only a language model"]),
        ("--data text.txt --attention-score concat", 2, ["--attention-score", "only a translator"]),
        ("--data builtin:dates --metric f1", 2, ["--metric", "loss, bleu, chrf, exact"]),
    ] {
        folder.refused(&run(flags), code, &mentions);
    }
    folder.write("t.csv", "q,a\nx,y\nu,v\n,w\n");
    let columns = |target: &str| run(&format!("--data t.csv --source-column q --target-column {target}"));
    folder.refused(&columns("b"), 1, &["t.csv", "has no `b`", "--target-column"]);
    let output = folder.rnn(&columns("a")).output().unwrap();
    super::written(&output, "columns");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(stderr.contains("of 3 pairs 1 have an empty source; these are skipped"), "{stderr}");
    folder.refused("predict n --data text.txt --split test", 2, &["--split", "all lines of text.txt"]);
    folder.refused("predict n --text x --beams 0", 2, &["--beams"]);
    folder.done(&format!("train lstm --data text.txt --out lm {TINY_SEQUENCES}"));
    folder.refused("eval lm --data text.txt --beams 2", 2, &["--beams", "does not translate"]);
}
