//! Forecasting: tables in JSONL, and folders of files that continue each other.

use serde_json::json;

use super::forecast::{TINY, answers, date, scores, shops};
use super::{Folder, TINY_SEQUENCES};

/// The rows of `shops` in JSONL: numbers as numbers, the weekend as a truth value.
fn objects(table: &str) -> String {
    let object = |row: &str| {
        let [date, shop, sales, weekend] = row.split(',').collect::<Vec<_>>()[..] else {
            panic!("four columns");
        };
        let sales: Option<f64> = sales.parse().ok();
        format!("{}\n", json!({ "date": date, "shop": shop, "sales": sales, "weekend": weekend == "1" }))
    };
    table.lines().skip(1).map(object).collect()
}

/// The rows of some days of `shops`, with the header.
fn part(days: std::ops::Range<usize>) -> String {
    let table = shops(days.end);
    let rows = table.split_inclusive('\n').skip(1 + 2 * days.start);
    format!("date,shop,sales,weekend\n{}", rows.collect::<String>())
}

const COLUMNS: &str = "--task forecast --series-column shop --target sales";

#[test]
fn jsonl_is_a_long_table() {
    let folder = Folder::new();
    let table = shops(100).replace(&format!("{},north,13,", date(9)), &format!("{},north,,", date(9)));
    folder.write("shops.jsonl", objects(&table));
    folder.write("shops.csv", table);
    let flags = format!("{COLUMNS} --known-features weekend {TINY} {TINY_SEQUENCES}");
    for kind in ["csv", "jsonl"] {
        folder.done(&format!("train gru --data shops.{kind} --out {kind} {flags}"));
    }
    assert_eq!(folder.json("csv/config.json")["schema"], folder.json("jsonl/config.json")["schema"]);
    assert!(folder.bytes("csv/model.safetensors") == folder.bytes("jsonl/model.safetensors"));
    let at = |kind: &str| folder.done(&format!("predict csv --data shops.{kind} --at 2023-03-01 --json"));
    assert_eq!(at("jsonl"), at("csv"));
    let eval = |kind: &str| {
        scores(&folder, &format!("eval csv --data shops.{kind} --split test --json"))["mae"].clone()
    };
    assert_eq!(eval("jsonl"), eval("csv"));
    // Rows of the future lack the values.
    let future =
        |day: usize| ["north", "south"].map(|shop| json!({ "weekend": 0, "date": date(day), "shop": shop }));
    let rows: String = (100..104).flat_map(future).map(|row| format!("{row}\n")).collect();
    folder.write("more.jsonl", objects(&shops(100)) + &rows);
    let found = answers(&folder.done("predict csv --data more.jsonl --json"));
    assert_eq!((found.len(), &found[0]["start"]), (2, &json!(date(100))));
}

#[test]
fn bad_jsonl_is_an_error_with_its_line() {
    let folder = Folder::new();
    let good = objects(&shops(40));
    let train = format!("train gru --data bad.jsonl {COLUMNS} {TINY} {TINY_SEQUENCES} --out m");
    let with = |line: usize, text: &str| {
        good.lines()
            .enumerate()
            .map(|(at, own)| format!("{}\n", if at == line { text } else { own }))
            .collect()
    };
    let bad: [(String, &[&str]); 6] = [
        (with(4, r#"{"date": [1]}"#), &["line 5: `date` is a list; expected a number or a string"]),
        (with(4, r#"{"date": "2023-01-03", "#), &["line 5", "expected one JSON object a line"]),
        (
            with(4, r#"{"date":"2023-01-03","shop":"north","sales":"many"}"#),
            &["line 5", "\"many\" is not a number"],
        ),
        (with(4, r#"{"date":"2023-01-03","shop":"north","sales":1,"sales":2}"#), &["line 5", "two fields"]),
        (with(4, r#"{"shop":"north","sales":1}"#), &["line 5", "`date`"]),
        ("\n\n".into(), &["has no rows; expected an object for each time step"]),
    ];
    for (text, mentions) in bad {
        folder.write("bad.jsonl", text);
        folder.refused(&train, 1, mentions);
    }
    folder.write("bad.jsonl", &good);
    folder.refused(&format!("{train} --target z"), 1, &["has no `z` (columns: date, sales, shop, weekend)"]);
    folder.refused(&format!("{train} --delimiter ;"), 2, &["--delimiter", "bad.jsonl has no delimiter"]);
    let wide = format!("train gru --task forecast --data bad.jsonl --wide {TINY} {TINY_SEQUENCES} --out m");
    folder.refused(&wide, 2, &["--wide", "bad.jsonl has an object a time step"]);
}

/// A folder `d` of 80 days to train on, 10 of validation and 8 of test.
fn in_files() -> Folder {
    let folder = Folder::new();
    folder.write("d/train.csv", part(0..80));
    folder.write("d/val.jsonl", objects(&part(80..90)));
    folder.write("d/test.csv", part(90..98));
    folder
}

#[test]
fn validation_and_test_files_follow_the_training_file() {
    let folder = in_files();
    let flags = format!("{COLUMNS} {TINY} {TINY_SEQUENCES}");
    folder.done(&format!("train gru --data d --out m {flags}"));
    let count = |split: &str| {
        let found = scores(&folder, &format!("eval m --data d {split} --json"));
        (found["split"].clone(), found["tokens"].clone())
    };
    // Two series; windows of four steps begin at every step.
    assert_eq!(count(""), (json!("test"), json!(2 * 5)));
    assert_eq!(count("--split valid"), (json!("valid"), json!(2 * 7)));
    assert_eq!(count("--split train"), (json!("train"), json!(2 * (80 - 8 - 4 + 1))));
    // The splits are those of the whole table.
    folder.write("all.csv", part(0..98));
    let flags = format!("{flags} --valid-fraction {} --test-fraction {}", 10. / 98., 8. / 98.);
    folder.done(&format!("train gru --data all.csv --out all {flags}"));
    assert!(folder.bytes("all/model.safetensors") == folder.bytes("m/model.safetensors"));
    // Forecasts begin after the file that is named, of a folder after validation.
    for (data, day) in [("d", 90), ("d/train.csv", 80), ("d/val.jsonl", 90), ("d/test.csv", 98)] {
        let found = answers(&folder.done(&format!("predict m --data {data} --json")));
        assert_eq!((found.len(), &found[0]["start"]), (2, &json!(date(day))), "{data}");
    }
}

#[test]
fn a_folder_without_a_test_file_is_evaluated_on_validation() {
    let folder = in_files();
    std::fs::remove_file(folder.path("d/test.csv")).unwrap();
    folder.done(&format!("train gru --data d --out m {COLUMNS} {TINY} {TINY_SEQUENCES}"));
    let found = scores(&folder, "eval m --data d --json");
    assert_eq!((&found["split"], &found["tokens"]), (&json!("valid"), &json!(2 * 7)));
    for line in ["predict m --data d --split valid", "plot m --forecast --data d --split valid"] {
        folder.refused(line, 2, &["--split", "--at"]);
    }
}

#[test]
fn a_long_table_without_a_validation_file_gives_up_its_end() {
    let folder = in_files();
    std::fs::remove_file(folder.path("d/val.jsonl")).unwrap();
    folder.write("d/test.csv", part(80..98));
    let train = format!("train gru --data d {COLUMNS} {TINY} {TINY_SEQUENCES} --out");
    for (flags, steps) in [("", 8), ("--valid-fraction 0.25", 20)] {
        folder.done(&format!("train gru --data d {COLUMNS} {TINY} {TINY_SEQUENCES} {flags} --out m --force"));
        let found = scores(&folder, "eval m --data d --split valid --json");
        assert_eq!(found["tokens"], json!(2 * (steps - 4 + 1)), "{flags}");
    }
    let output = folder.rnn(&format!("{train} n")).output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("train.csv: has no valid file; the last 10 % of each series"), "{stderr}");
}

#[test]
fn files_that_do_not_follow_are_refused() {
    let folder = in_files();
    let train = format!("train gru --data d {COLUMNS} {TINY} {TINY_SEQUENCES} --out m");
    for (text, mentions) in [
        (
            part(79..90),
            &["val.jsonl", "series `north` does not begin after its steps in the files before"][..],
        ),
        (part(80..83), &["val.jsonl: no series has 4 steps in it", "--horizon"]),
        (
            part(80..90).replace("north", "east").replace("south", "west"),
            &["continues no series", "north, south"],
        ),
    ] {
        folder.write("d/val.jsonl", objects(&text));
        folder.refused(&train, 1, mentions);
    }
    let far = part(80..90).replace("2023-", "9023-");
    folder.write("d/val.jsonl", objects(&far));
    folder.refused(
        &train,
        1,
        &["val.jsonl: series `north` begins", "steps after the files before; check the time"],
    );
    folder.write("d/val.jsonl", objects(&part(80..90)));
    folder.refused(
        &format!("{train} --valid-fraction 0.2"),
        2,
        &["--valid-fraction", "d has its own valid split"],
    );
    folder.refused(&format!("{train} --rows 50"), 2, &["--rows", "a single file is divided"]);
    folder.write("d/valid.csv", part(80..90));
    folder.refused(&train, 1, &["valid.csv: exists beside", "val.jsonl", "keep one of them"]);
}
