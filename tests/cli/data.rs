//! Every kind of data and tokenizer.

use serde_json::{Value, json};

use super::{Folder, TINY, TINY_SEQUENCES, text};

/// Train on `data`, then return the evaluation of all of a file, or of the test split of other data.
fn train_and_eval(folder: &Folder, model: &str, data: &str, columns: &str, tokenizer: &str) -> Value {
    let windows = !columns.contains("--label-column") && !["builtin:adding", "builtin:copy"].contains(&data);
    let sizes = if windows { TINY } else { TINY_SEQUENCES };
    folder.done(&format!("train {model} --data {data} {columns} {tokenizer} --out m --force {sizes}"));
    let split = if data.contains('.') { "--split all" } else { "" };
    serde_json::from_str(&folder.done(&format!("eval m --data {data} {columns} {split} --json"))).unwrap()
}

#[test]
fn records_are_read_from_csv_and_jsonl() {
    let folder = Folder::new();
    let records: Vec<String> = text().lines().map(String::from).collect();
    let csv: String = records.iter().enumerate().map(|(id, text)| format!("{id},\"{text}\"\n")).collect();
    folder.write("a.csv", format!("id,title\n{csv}"));
    let jsonl: String =
        records.iter().map(|text| format!("{}\n", json!({ "title": text, "n": 1 }))).collect();
    folder.write("a.jsonl", jsonl);
    // Every record ends with <eos>, which is a target.
    let targets: usize = records.iter().map(|text| text.chars().count() + 1).sum();
    for (data, columns) in [("a.csv", "--text-column title"), ("a.jsonl", "")] {
        let found = train_and_eval(&folder, "lstm", data, columns, "");
        assert_eq!((&found["tokens"], &found["split"]), (&json!(targets), &json!("all")), "{data}");
        // Whoever forgot what makes a classifier is told.
        let line = format!("train lstm --data {data} {columns} --out m --force {TINY}");
        let said = String::from_utf8(folder.rnn(&line).output().unwrap().stderr).unwrap();
        assert!(said.contains("the text is `title`; a classifier needs --label-column"), "{said}");
    }
}

#[test]
fn a_folder_brings_its_own_splits() {
    let folder = Folder::new();
    folder.write("corpus/train.txt", text());
    folder.write("corpus/valid.txt", "the cat saw us\n");
    folder.write("corpus/test.txt", "the horse by the barn\nsaw\n");
    let found = train_and_eval(&folder, "rnnlm", "corpus", "", "");
    assert_eq!((&found["tokens"], &found["split"]), (&json!(5 + 1 + 1 + 1), &json!("test")));
    for (split, tokens) in
        [("valid", 5), ("test", 8), ("all", 5 + 8 + text().split_whitespace().count() + 200)]
    {
        let found = folder.done(&format!("eval m --data corpus --split {split} --json"));
        let found: Value = serde_json::from_str(&found).unwrap();
        assert_eq!((&found["tokens"], &found["split"]), (&json!(tokens), &json!(split)));
    }
}

#[test]
fn a_tokenizer_is_learned_or_taken_from_a_file() {
    let folder = Folder::new();
    let found = train_and_eval(&folder, "lstm", "text.txt", "", "--tokenizer bpe:300");
    let tokens = found["tokens"].as_u64().unwrap() as usize;
    assert!(tokens > 200 && tokens < text().len() / 2, "{tokens} tokens");
    let config = folder.json("m/config.json");
    assert_eq!(config["network"]["vocabulary_size"], 300);

    std::fs::rename(folder.path("m/tokenizer.json"), folder.path("mine.json")).unwrap();
    let again = train_and_eval(&folder, "gru", "text.txt", "", "--tokenizer mine.json");
    assert_eq!(again["tokens"], tokens);
    let prompt = "the cat by";
    let said = folder.rnn("generate m --length 5 --prompt").arg(prompt).output().unwrap();
    assert!(String::from_utf8(said.stdout).unwrap().starts_with(prompt));
}

#[test]
fn the_vocabulary_comes_from_the_training_split_alone() {
    let folder = Folder::new();
    folder.write("corpus/train.txt", text());
    folder.write("corpus/valid.txt", "the zebra saw us\n");
    folder.done(&format!("train rnnlm --data corpus --out m {TINY}"));
    let tokenizer = String::from_utf8(folder.bytes("m/tokenizer.json")).unwrap();
    assert!(tokenizer.contains("horse") && !tokenizer.contains("zebra"));
}

#[test]
fn builtin_data_needs_no_file() {
    let folder = Folder::new();
    for (data, task, unit, answer) in
        [("adding", "forecast", 1000, 1), ("copy", "tag", 61_000, 61), ("reber", "lm", 12_968, 0)]
    {
        let found = train_and_eval(&folder, "gru", &format!("builtin:{data}"), "", "");
        assert_eq!(
            (&found["task"], &found["split"], &found["tokens"]),
            (&json!(task), &json!("test"), &json!(unit))
        );
        assert_eq!(found["perplexity"].is_number(), task == "lm", "{found}");
        if task == "lm" {
            let floor = found["floor"].as_f64().unwrap();
            assert!(floor > 0.1 && floor < found["loss"].as_f64().unwrap(), "{found}");
            assert_eq!(found["grammar"]["strings"], 1000);
            continue;
        }
        let answers = folder.done(&format!("predict m --data builtin:{data}"));
        assert_eq!(answers.lines().count(), 1000);
        let first = answers.lines().next().unwrap();
        assert_eq!(first.split(' ').map(|n| n.parse::<f64>().unwrap()).collect::<Vec<_>>().len(), answer);
    }
}

#[test]
fn a_class_is_never_the_text() {
    let folder = Folder::new();
    folder.write("a.csv", "sentence,text\ngood,yes\nbad,no\n");
    assert_eq!(folder.done("data a.csv --label-column text"), "good\nbad\n");
    let both = "data a.csv --label-column text --text-column text";
    folder.refused(both, 1, &["`text`", "text and the class at once"]);
}

#[test]
fn a_reber_model_over_words_is_scored_without_the_grammar() {
    let folder = Folder::new();
    let found = train_and_eval(&folder, "rnnlm", "builtin:reber", "", "");
    assert!(found["loss"].as_f64().unwrap() > 0. && found["grammar"].is_null(), "{found}");
}

#[test]
fn the_stories_are_what_is_learned_without_data() {
    let folder = Folder::new();
    let output = folder.rnn(&format!("train lstm {TINY}")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("floor") && said.contains("rnn eval lstm-story --data builtin:story"), "{said}");
    assert_eq!(folder.json("lstm-story/config.json")["model"], "lstm");
}

#[test]
fn one_long_line_is_enough() {
    let folder = Folder::new();
    folder.write("line.txt", text().replace('\n', " ").repeat(1500));
    assert!(folder.bytes("line.txt").len() > 10_000_000);
    folder.done(&format!("train lstm --data line.txt --out m --valid-fraction 0.0001 {TINY}"));
    let said = folder.done("generate m --length 10 --ignore-eos");
    assert_eq!(said.chars().count(), 11);
}

#[test]
fn data_prints_what_a_model_reads() {
    let folder = Folder::new();
    assert_eq!(folder.done("data text.txt"), text());
    let [train, valid, test] = ["train", "valid", "test"]
        .map(|split| folder.done(&format!("data text.txt --split {split} --valid-fraction 0.2")));
    assert_eq!([train.as_str(), &valid, &test].concat(), text());
    assert!(train.len() > 3 * valid.len() && valid.len() > 3 * test.len());
    folder.write("a.csv", "id,title\n1,\"two words\"\n2,one\n");
    for other in ["--text-column title", "--label-column id"] {
        assert_eq!(folder.done(&format!("data a.csv {other}")), "two words\none\n");
    }
    let stories = folder.done("data builtin:story");
    assert_eq!(stories, folder.done("data builtin:story --split test --seed 1"));
    assert_ne!(stories, folder.done("data builtin:story --split valid"));
    assert_eq!(stories.lines().count(), 800);
    folder.refused("data a.csv --text-column name", 1, &["--text-column", "title"]);
    folder.refused("data builtin:adding", 2, &["DATA: ", "not text"]);
    folder.refused("data missing.txt", 1, &["missing.txt"]);
}

#[test]
fn line_ends_are_printed_as_models_read_them() {
    let folder = Folder::new();
    // Longer than the pieces that files are read in.
    let long = "x".repeat(70_000);
    let lines = ["the cat", long.as_str(), "", "saw us"];
    let expected: String = lines.map(|line| format!("{line}\n")).concat();
    for (name, end) in [("lf.txt", "\n"), ("crlf.txt", "\r\n"), ("cr.txt", "\r"), ("crlf.log", "\r\n")] {
        folder.write(name, lines.map(|line| format!("{line}{end}")).concat());
        assert!(folder.done(&format!("data {name}")) == expected, "{name}");
    }
    let words = ["the DT", "cat NN", "", "saw VB"];
    let printed = ["\n", "\r\n", "\r"].map(|end| {
        folder.write("a.conll", words.map(|line| format!("{line}{end}")).concat());
        folder.done("data a.conll")
    });
    assert!(
        printed[0].contains("cat") && printed[1] == printed[0] && printed[2] == printed[0],
        "{printed:?}"
    );
    let objects = ["{\"text\": \"the cat\"}", "{\"text\": \"saw us\"}"];
    for end in ["\n", "\r\n", "\r"] {
        let table = ["sep=;", "text;stars", "the cat;1", "saw us;2"].map(|line| format!("{line}{end}"));
        folder.write("separator.csv", table.concat());
        assert_eq!(folder.done("data separator.csv --text-column text"), "the cat\nsaw us\n", "{end:?}");
        folder.write("a.jsonl", objects.map(|object| format!("{object}{end}")).concat());
        assert_eq!(folder.done("data a.jsonl"), "the cat\nsaw us\n");
    }
    folder.write("a.csv", "text\n\"the\r\ncat\"\nsaw\n");
    assert_eq!(folder.done("data a.csv"), "the\\ncat\nsaw\n");
}

#[test]
fn ascii_is_read_as_utf_8() {
    let folder = Folder::new();
    folder.write("korean.txt", "한국어는 그리고\n");
    assert_eq!(folder.done("data korean.txt --encoding ascii"), "한국어는 그리고\n");
    folder.write("latin.txt", encoding_rs::WINDOWS_1252.encode("déjà vu\n").0);
    folder.refused("data latin.txt --encoding ascii", 1, &["latin.txt", "UTF-8"]);
}

#[test]
fn column_files_are_printed_by_column_and_series_refused() {
    let folder = Folder::new();
    folder.write("a.conll", "The DT O\ncat NN B\n\nIt PR O\n");
    assert_eq!(folder.done("data a.conll"), "The\tO\ncat\tB\n\nIt\tO\n\n");
    assert_eq!(folder.done("data a.conll --tag-column 1"), "The\tDT\ncat\tNN\n\nIt\tPR\n\n");
    assert_eq!(
        folder.done("data a.conll --feature-columns 1 --split all"),
        "The\tDT\tO\ncat\tNN\tB\n\nIt\tPR\tO\n\n"
    );
    folder.write("a.ts", "@classLabel true a b\n@data\n1,2:a\n");
    folder.refused("data a.ts", 2, &["DATA: a.ts holds numeric series"]);
}

#[test]
fn a_record_is_printed_on_one_line() {
    let folder = Folder::new();
    folder.write("a.csv", "sep=,\r\ntext,label\r\n\"a\r\nb\",x\r\nc,y\r\n");
    assert_eq!(folder.done("data a.csv --label-column label"), "a\\nb\nc\n");
}

#[test]
fn composed_and_decomposed_labels_are_one_class() {
    let folder = Folder::new();
    let [composed, decomposed] = ["긍정", "\u{1100}\u{1173}\u{11bc}\u{110c}\u{1165}\u{11bc}"];
    let row = |n: usize| format!("film {n},{}\n", [composed, decomposed, "부정"][n % 3]);
    let rows: String = (0..60).map(row).collect();
    folder.write("k.csv", format!("text,\u{1107}\u{116e}\u{11ab}류\n{rows}"));
    folder.done(&format!("train gru --data k.csv --label-column 분류 --out m {TINY_SEQUENCES}"));
    assert_eq!(folder.json("m/config.json")["labels"], json!([composed, "부정"]));
    let word = |n: usize| format!("w{n} {}\n{}", [composed, decomposed, "x"][n % 3], ["", "\n"][n % 2]);
    folder.write("k.conll", (0..120).map(word).collect::<String>());
    folder.done(&format!("train gru --data k.conll --out t {TINY_SEQUENCES}"));
    assert_eq!(folder.json("t/config.json")["labels"], json!(["x", composed]));
}

#[test]
fn classes_that_seem_to_be_mistakes_are_noted() {
    let folder = Folder::new();
    let rows: String = (0..60).map(|n| format!("film {n},{}\n", ["1", "1.0", "NA", "2"][n % 4])).collect();
    folder.write("c.csv", format!("text,label\n{rows}"));
    let line = format!("train gru --data c.csv --label-column label --out m {TINY_SEQUENCES}");
    let said = String::from_utf8(folder.rnn(&line).output().unwrap().stderr).unwrap();
    assert!(said.contains("15 labels in `label` (\"NA\") count as a class"), "{said}");
    assert!(said.contains("the same numbers (\"1\", \"1.0\")"), "{said}");
}

#[test]
fn data_that_cannot_be_read_says_what_to_do() {
    let folder = Folder::new();
    folder.write("book.txt", text());
    folder.write("x.xlsx", "PK");
    folder.refused("train gru --data - --out m", 2, &["--data: standard input is not data"]);
    folder.refused(
        "train gru --data x.xlsx --out m",
        1,
        &["x.xlsx: is a spreadsheet; save it as a .csv file"],
    );
    folder.refused("train gru book.txt --out m", 2, &["`book.txt`", "did you mean --data book.txt?"]);
    folder.refused(
        "score m --data book.txt",
        2,
        &["--data: is not a flag of `rnn score`", "rnn score BUNDLE FILE"],
    );
    folder.refused("generate m --do-sample", 2, &["--do-sample", "texts are drawn unless --greedy"]);
    folder.write("p.csv", "en,de\nx,y\n");
    let same = "train gru --task translate --data p.csv --source-column en --target-column en --out m";
    folder.refused(same, 1, &["`en` cannot be the source and the target at once"]);
    let files = "train gru --task translate --data p.csv --source-lang en --target-lang de --out m";
    folder.refused(files, 1, &["p.csv: parallel files (en and de) lie in a folder", "--source-column"]);
}
