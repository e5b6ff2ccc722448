//! `rnn train` of classifiers: readouts, class weights, tokenizers, word vectors, numeric series.

use serde_json::Value;

use super::{Folder, assert_one_line, records, written};

/// The rate is constant, so that a longer run begins like a shorter one.
const TEXT: &str = "--label-column label --hidden 8 --batch-size 8 --schedule constant --max-steps 3";

const SERIES: &str = "--hidden 8 --batch-size 4 --max-steps 3";

/// A `.ts` file of `count` series of two dimensions and two classes, the last value missing.
fn ts(count: usize) -> String {
    let line = |n: usize| format!("{n},1,2:0,{},?:{}\n", n % 2, ["a", "b"][n % 2]);
    let lines = (0..count).map(line).collect::<String>();
    format!("# made up\n@problemName x\n@dimensions 2\n@classLabel true a b\n@data\n{lines}")
}

/// A long table of `count` series with two rows each.
fn table(count: usize) -> String {
    let rows = |n: usize| {
        let class = ["up", "down"][n % 2];
        format!("s{n},1,mon,{n},{class}\ns{n},,tue,{},{class}\n", n + 1)
    };
    format!("id,x,day,y,class\n{}", (0..count).map(rows).collect::<String>())
}

/// The lines on standard error of a command that succeeds.
fn said(folder: &Folder, line: &str) -> String {
    let output = folder.rnn(line).output().unwrap();
    written(&output, line);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn readout_of_a_bundle_is_its_own() {
    let folder = Folder::new();
    folder.write("a.csv", records("label,text"));
    for readout in ["last", "mean", "max", "attention"] {
        folder.done(&format!(
            "train gru --data a.csv {TEXT} --readout {readout} --embedding-dropout 0.1 --out {readout}"
        ));
        assert_eq!(folder.json(&format!("{readout}/config.json"))["network"]["readout"], readout);
        assert!(folder.done(&format!("predict {readout} --text ab")).contains("\t0."));
    }
    folder.done("train --from attention --data a.csv --label-column label --max-steps 1 --out again");
    folder.refused(
        "train gru --data a.csv --label-column label --readout every",
        2,
        &["--readout", "there is no `every`", "expected last"],
    );
    folder.refused("train gru --data text.txt --readout mean", 2, &["--readout", "only a classifier"]);
    folder.refused("train gru --readout median", 2, &["--readout", "there is no `median`"]);
}

#[test]
fn class_weights_change_training_and_resume() {
    let folder = Folder::new();
    folder.write("a.csv", records("label,text"));
    let train = |weights: &str, name: &str| {
        folder.done(&format!("train gru --data a.csv {TEXT} {weights} --out {name}"));
        folder.bytes(&format!("{name}/model.safetensors"))
    };
    let plain = train("", "plain");
    assert!(plain == train("--class-weights none", "none"));
    assert!(plain != train("--class-weights odd=5", "given"));
    folder.done("train --resume given --max-steps 6");
    folder.done(
        &format!("train gru --data a.csv {TEXT} --class-weights odd=5 --max-steps 6 --out whole")
            .replace("--max-steps 3 ", ""),
    );
    assert!(folder.bytes("given/model.safetensors") == folder.bytes("whole/model.safetensors"));
    for (flags, mentions) in [
        ("--class-weights odd=x", "expected a number of at least 0"),
        ("--class-weights heavy", "expected balanced, none or LABEL=WEIGHT"),
        ("--class-weights strange=2", "the classes are even, odd"),
    ] {
        folder.refused(
            &format!("train gru --data a.csv {TEXT} {flags} --out m"),
            2,
            &["--class-weights", mentions],
        );
    }
    folder.refused(
        "train gru --data text.txt --class-weights balanced",
        2,
        &["--class-weights", "only a classifier"],
    );
}

#[test]
fn vectors_start_the_embeddings() {
    let folder = Folder::new();
    folder.write("a.csv", "label,text\n".to_string() + &"a,It's fine.\nb,\"Fine, not.\"\n".repeat(20));
    folder.write("v.txt", "3 4\nfine 1 2 3 4\n. 5 6 7 8\nabsent 0 0 0 0\n");
    let flags = format!("--data a.csv {TEXT} --tokenizer treebank --vectors v.txt");
    let found = said(&folder, &format!("train gru {flags} --lr 0 --out m"));
    assert!(
        found.contains("v.txt: vectors for 3 of 9 tokens, 1 of them by their lower-case form"),
        "{found}"
    );
    let embedding =
        |name: &str| folder.json(&format!("{name}/config.json"))["network"]["rnn"]["input_size"].clone();
    assert_eq!(embedding("m"), 4);
    let rare = said(&folder, &format!("train gru {flags} --min-count 21 --out rare"));
    assert!(rare.contains("a vocabulary of 3 tokens"), "{rare}");
    let none = format!("train gru {flags} --min-count 1000 --out none");
    folder.refused(&none, 2, &["--min-count", "nothing occurs 1000 times"]);
    folder.refused(
        &format!("train gru {flags} --embedding 8 --out n"),
        2,
        &["--embedding", "not the width of v.txt, 4"],
    );
    folder.write("bad.txt", "fine 1 2\nnot 1\n");
    let bad = format!("train gru --data a.csv {TEXT} --vectors bad.txt --out n");
    let output = folder.rnn(&bad).output().unwrap();
    assert_one_line(&output, 1, &["bad.txt: line 2: 1 numbers after the word, expected 2"], &bad);
    folder.refused("train gru --vectors absent.txt", 1, &["absent.txt"]);
    folder.refused("train gru --tokenizer bpe:300 --min-count 2", 2, &["--min-count", "only vocabularies"]);
}

#[test]
fn ts_files_are_classified() {
    let folder = Folder::new();
    folder.write("d/x_TRAIN.ts", ts(30));
    folder.write("d/x_TEST.ts", ts(6));
    let found = said(&folder, &format!("train gru --data d {SERIES} --out m"));
    assert!(found.contains("x_TRAIN.ts: 30 missing values are interpolated"), "{found}");
    let config = folder.json("m/config.json");
    assert_eq!(config["schema"]["dimensions"], serde_json::json!(["1", "2"]));
    assert_eq!(config["labels"], serde_json::json!(["a", "b"]));
    let line = format!("train gru --data d {SERIES} --embedding-dropout 0.1");
    folder.refused(&line, 2, &["--embedding-dropout: numeric series have no embedding"]);
    let line = format!("train gru --data d {SERIES} --label-column label");
    folder.refused(&line, 2, &["--label-column: d is a .ts file, which has no columns"]);
    let eval = |data: &str| -> Value {
        serde_json::from_str(&folder.done(&format!("eval m --data {data} --json"))).unwrap()
    };
    assert_eq!(eval("d")["loss"], eval("d/x_TRAIN.ts")["loss"]);
    let scores = eval("d/x_TEST.ts");
    let support: u64 = scores["confusion"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|row| row.as_array().unwrap())
        .map(|n| n.as_u64().unwrap())
        .sum();
    assert_eq!(support, 6);
    assert_eq!(folder.done("predict m --data d/x_TEST.ts --json").lines().count(), 6);
    folder.done("train --resume m --max-steps 6");
    folder.done("train --from m --data d --max-steps 1 --out again");
    folder.done("plot m --confusion --data d --out c.svg");
    assert!(String::from_utf8(folder.bytes("c.svg")).unwrap().contains("\npredicted\n"));
    folder.write("three.ts", "@classLabel true a b\n@data\n1:2:3:a\n");
    folder.refused("eval m --data three.ts", 1, &["three.ts", "3 dimensions, but the model reads 2"]);
    folder.write("c.ts", "@classLabel true c\n@data\n1:2:c\n");
    folder.refused("eval m --data c.ts", 1, &["c.ts", "the class \"c\", but the model knows only a, b"]);
    folder.refused("eval m --data text.txt", 2, &["--data", "text.txt has no columns"]);
    folder.refused("predict m --text x", 2, &["--text: m reads no text"]);
    folder.refused("plot m --confusion", 2, &["--data"]);
    folder.write("bad.ts", "@classLabel true a b\n@data\n1,2:3:a\n");
    folder.refused(
        "train gru --data bad.ts --out n",
        1,
        &["bad.ts: line 3: dimension 2 has 1 values, expected 2"],
    );
}

#[test]
fn long_tables_are_classified() {
    let folder = Folder::new();
    folder.write("a.csv", table(40));
    let columns = "--series-column id --label-column class";
    let found = said(&folder, &format!("train lstm --data a.csv {columns} {SERIES} --out m"));
    assert!(found.contains("40 missing values are interpolated"), "{found}");
    assert!(found.contains("columns without numbers are left out (day)"), "{found}");
    folder.done("eval m --data a.csv");
    folder.write("new.csv", "y,id,x\n1,p,2\n2,p,3\n1,q,1\n");
    let answers = folder.done("predict m --data new.csv --json");
    let series = answers.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["series"].clone());
    assert_eq!(series.collect::<Vec<_>>(), ["p", "q"]);
    let lines = folder.done("predict m --data new.csv");
    assert_eq!(lines.lines().map(|line| line.split('\t').count()).collect::<Vec<_>>(), [3, 3], "{lines}");
    folder.write("without.csv", "id,y\np,1\n");
    folder.refused("predict m --data without.csv", 1, &["without.csv", "has no `x`"]);
    folder.refused("train gru --data a.csv --series-column id --out n", 2, &["--label-column"]);
    folder.refused(
        "train gru --data a.csv --series-column no --label-column class --out n",
        1,
        &["has no `no`", "--series-column"],
    );
    for (rows, mentions) in [
        ("s,1\n", "line 2: 2 fields where the header has 3"),
        ("s,1,a\ns,2,b\n", "line 3: series \"s\" has the class \"b\""),
        ("s,1,a\nt,x,b\n", "line 3: `x`: \"x\" is not a number"),
        ("s,1,a\nt,inf,b\n", "line 3: `x`: \"inf\" is infinite"),
        ("s,1,a\nt,2,a\n", "bad.csv: the training split has one class (a); expected at least two"),
    ] {
        folder.write("bad.csv", format!("id,x,class\n{rows}"));
        let line = format!("train gru --data bad.csv {columns} --out n");
        let output = folder.rnn(&line).output().unwrap();
        assert_one_line(&output, 1, &[mentions], &line);
    }
}

#[test]
fn classes_that_spoil_a_run_are_said_before_it() {
    let folder = Folder::new();
    folder.write("d/train.csv", records("label,text"));
    folder.write("d/test.csv", "label,text\nodd,ab\nprime,ab ab\n");
    let said = |line: &str| {
        let output = folder.rnn(line).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stderr).unwrap()
    };
    let run = "train gru --hidden 8 --max-steps 1 --label-column label --force --out m";
    let warned = said(&format!("{run} --data d"));
    let warning =
        "the test split of d has classes that the training split lacks (\"prime\"); `rnn eval` refuses it";
    assert!(warned.contains(warning) && !warned.contains("a classifier needs several"), "{warned}");
    folder.refused("eval m --data d", 1, &["\"prime\""]);
    folder.write(
        "ids.csv",
        (0..60).map(|n| format!("{n},ab ab\n")).fold("label,text\n".into(), |a: String, b| a + &b),
    );
    let warned = said(&format!("{run} --data ids.csv --valid-fraction 0 --test-fraction 0"));
    assert!(
        warned.contains("`label` has 60 classes in 60 records; a classifier needs several records of each"),
        "{warned}"
    );
}
