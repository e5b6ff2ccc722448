//! Tables as users have them: delimiters, encodings, gaps, stray quotes, classes in a row.

use serde_json::Value;

use super::{Folder, TINY, TINY_SEQUENCES, written};

/// Flags for a long table of series to forecast.
const FORECAST: &str =
    "--time-column 날짜 --series-column 가게 --target 판매 --horizon 2 --window 4 --hidden 8 --max-steps 3";

/// Flags for a long table of series with classes.
const SERIES: &str = "--series-column 번호 --label-column 종류 --hidden 8 --max-steps 3";

const CLASSIFY: &str = "--label-column label --hidden 8 --embedding 8 --batch-size 8 --max-steps 3";

/// Rows of a text and its class, `count` of them, between `delimiter`.
fn rows(count: usize, delimiter: &str) -> String {
    let row = |n: usize| {
        let (class, word) = [("neg", "dull"), ("pos", "superb")][n % 2];
        format!("the film was {word}, {n}{delimiter}{class}\n")
    };
    (0..count).map(row).collect()
}

/// The lines on standard error of a command that succeeds.
fn said(folder: &Folder, line: &str) -> String {
    let output = folder.rnn(line).output().unwrap();
    written(&output, line);
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn delimiters_are_found_and_said() {
    let folder = Folder::new();
    for (name, delimiter, note) in [
        ("a.csv", ";", "a.csv: its fields are separated by `;` (--delimiter overrides)"),
        ("b.csv", "\t", "b.csv: its fields are separated by `tab` (--delimiter overrides)"),
        ("c.tsv", "\t", ""),
        ("d.tsv", "|", "d.tsv: its fields are separated by `|` (--delimiter overrides)"),
    ] {
        folder.write(name, format!("text{delimiter}label\n{}", rows(60, delimiter)));
        let said = said(&folder, &format!("train gru --data {name} {CLASSIFY} --out m --force"));
        let notes: Vec<&str> = said.lines().filter(|line| line.contains("separated")).collect();
        assert_eq!(notes.join("\n"), note, "{said}");
        assert_eq!(folder.json("m/config.json")["labels"], serde_json::json!(["neg", "pos"]));
        let answers = folder.done(&format!("predict m --data {name}"));
        assert_eq!(answers.lines().count(), 60, "{name}");
    }
    folder.refused("data a.csv --delimiter ,", 1, &["a.csv: line 2: 2 fields where the header has 1"]);
    assert!(said(&folder, "data a.csv --delimiter ; --label-column label").is_empty());
    folder.refused("data a.csv --delimiter ab", 2, &["--delimiter", "`ab`", "tab"]);
    folder.refused("data text.txt --delimiter ;", 2, &["--delimiter: text.txt has no delimiter"]);
    // Text between tabs is no prose.
    folder.write("table.txt", format!("text\tlabel\n{}", rows(60, "\t")));
    assert!(said(&folder, "data table.txt").contains("table.txt: looks like a table of 2 columns"));
    folder.write("a.json", "[{\"text\": \"a\"}, {\"text\": \"b\"}]\n");
    folder.refused(&format!("train lstm --data a.json --out n {TINY}"), 1, &["a.json: is a JSON array"]);
}

#[test]
fn encodings_are_detected_and_said() {
    let folder = Folder::new();
    let korean = "나는 오늘 학교에 갔다. 날씨가 매우 좋았고 친구들과 점심을 먹었다.\n".repeat(60);
    let french = "Le café déjà vu était très agréable, même l'été à Orléans.\n".repeat(60);
    let utf16 = |text: &str| text.encode_utf16().flat_map(u16::to_le_bytes).collect::<Vec<_>>();
    let cp949 = |text: &str| encoding_rs::EUC_KR.encode(text).0.into_owned();
    let latin1 = |text: &str| encoding_rs::WINDOWS_1252.encode(text).0.into_owned();
    for (name, bytes, text, assumed) in [
        ("cp949.txt", cp949(&korean), &korean, "EUC-KR"),
        ("latin1.txt", latin1(&french), &french, "windows-1252"),
        ("utf16.txt", utf16(&korean), &korean, "UTF-16LE"),
        ("mark.txt", [&b"\xFF\xFE"[..], &utf16(&french)].concat(), &french, "UTF-16LE"),
    ] {
        folder.write(name, bytes);
        assert_eq!(&folder.done(&format!("data {name}")), text);
        let note = format!("{name}: is not UTF-8; read as {assumed} (--encoding names another)");
        for line in ["train lstm --out m --force --data", "eval m --split valid --data", "data", "score m"] {
            let line = match line.starts_with("train") {
                true => format!("{line} {name} {TINY}"),
                false => format!("{line} {name}"),
            };
            assert!(said(&folder, &line).contains(&note), "{line}");
        }
        assert!(said(&folder, &format!("data {name} --encoding {assumed}")).is_empty());
    }
    folder.write("a.csv", cp949(&format!("글,label\n{}", "좋은 영화,가\n나쁜 영화,나\n".repeat(30))));
    let said = said(&folder, &format!("train gru --data a.csv {CLASSIFY} --out n"));
    assert!(said.contains("a.csv: is not UTF-8; read as EUC-KR"), "{said}");
    assert_eq!(folder.json("n/config.json")["labels"], serde_json::json!(["가", "나"]));
    folder.refused("data a.csv --encoding klingon", 2, &["--encoding", "`klingon`", "cp949"]);
    folder.refused("data builtin:story --encoding cp949", 2, &["--encoding", "builtin:story"]);
}

#[test]
fn encodings_of_numbers_and_sentences_are_said() {
    let folder = Folder::new();
    let days = (0..40)
        .flat_map(|day| ["서울 가게", "부산 가게"].map(|shop| format!("{day},{shop},{}\n", 3 + day % 7)));
    let readings = (0..80).map(|at| format!("{},{},{}\n", at / 2, at % 5, ["오름", "내림"][at / 2 % 2]));
    for (name, text, flags) in [
        ("shops.csv", format!("날짜,가게,판매\n{}", days.collect::<String>()), FORECAST),
        ("series.csv", format!("번호,값,종류\n{}", readings.collect::<String>()), SERIES),
        ("words.conll", "나는 N\n학교에 N\n갔다 V\n\n".repeat(60), TINY_SEQUENCES),
    ] {
        folder.write(name, encoding_rs::EUC_KR.encode(&text).0);
        let note = format!("{name}: is not UTF-8; read as EUC-KR (--encoding names another)");
        for line in [
            format!("train gru --data {name} {flags} --force --out m"),
            format!("eval m --data {name}"),
            format!("predict m --data {name}"),
        ] {
            assert!(said(&folder, &line).contains(&note), "{line}");
        }
    }
}

#[test]
fn gaps_are_counted_and_skipped() {
    let folder = Folder::new();
    let gaps = "a text,\n,neg\n  ,pos\nanother,\n";
    folder.write("a.csv", format!("text,label\n{}{gaps}", rows(60, ",").replace(", ", " ")));
    let note =
        "a.csv: of 64 records 2 have no text in `text` and 2 have no label in `label`; these are skipped";
    assert!(said(&folder, &format!("train gru --data a.csv {CLASSIFY} --out m")).contains(note));
    assert_eq!(folder.json("m/config.json")["labels"], serde_json::json!(["neg", "pos"]));
    assert!(said(&folder, "eval m --data a.csv").contains(note));
    // Every record gets an answer and a score.
    assert_eq!(folder.done("predict m --data a.csv").lines().count(), 64);
    folder.done(&format!("train lstm --data a.csv --text-column text --out l {TINY}"));
    assert_eq!(folder.done("score l a.csv").lines().count(), 64);
    folder.write("half.csv", "text,label\na,x\nb,\nc,\nd,y\ne,\n");
    let mentions = ["half.csv: of 5 records 3 have no label in `label`; at most half may"];
    folder.refused(&format!("train gru --data half.csv {CLASSIFY} --out n"), 1, &mentions);
}

#[test]
fn stray_quotes_and_uneven_rows_are_named_by_line() {
    let folder = Folder::new();
    let table = |row: usize, stray: &str| {
        let mut lines: Vec<String> = rows(40, ",").replace(", ", " ").lines().map(String::from).collect();
        lines[row] = stray.to_string();
        format!("text,label\n{}\n", lines.join("\n"))
    };
    folder.write("open.csv", table(10, "\"the film,pos"));
    folder.write("short.csv", table(10, "the film"));
    folder.write("long.csv", table(10, "the film, really,pos"));
    for (name, mention) in [
        ("open.csv", "line 12: the quote that opens here is not closed"),
        ("short.csv", "line 12: 1 field where the header has 2; expected the delimiter `,`"),
        ("long.csv", "line 12: 3 fields where the header has 2; quote a field"),
    ] {
        let line = format!("train gru --data {name} {CLASSIFY} --out n");
        folder.refused(&line, 1, &[&format!("{name}: {mention}")]);
    }
}

#[test]
fn sorted_records_are_split_by_class() {
    let folder = Folder::new();
    let mut sorted: Vec<String> = rows(200, ",").replace(", ", " ").lines().map(String::from).collect();
    sorted.sort_by_key(|row| row.ends_with("pos"));
    folder.write("a.csv", format!("text,label\n{}\n", sorted.join("\n")));
    let texts = |split: &str| folder.done(&format!("data a.csv --label-column label --split {split}"));
    for split in ["valid", "test"] {
        let texts = texts(split);
        let of = |word: &str| texts.lines().filter(|line| line.contains(word)).count();
        assert_eq!((of("dull"), of("superb")), (5, 5), "{split}");
    }
    let said = said(&folder, &format!("train gru --data a.csv {CLASSIFY} --out m"));
    assert!(said.contains("rnn eval m --data a.csv --label-column label --split test"), "{said}");
}

#[test]
fn the_training_file_is_scored_on_its_test_split() {
    let folder = Folder::new();
    folder.write("a.csv", format!("text,label\n{}", rows(100, ",").replace(", ", " ")));
    let fractions = "--valid-fraction 0.1 --test-fraction 0.2";
    folder.done(&format!("train gru --data a.csv {CLASSIFY} {fractions} --out m"));
    folder.write("copy.csv", folder.bytes("a.csv"));
    folder.write("other.csv", format!("text,label\n{}", rows(30, ",").replace(", ", " ")));
    let eval = |line: &str| -> Value {
        serde_json::from_str(&folder.done(&format!("eval m --json --data {line}"))).unwrap()
    };
    for (data, split, records) in [
        ("a.csv", "test", 20),
        ("copy.csv", "test", 20),
        ("a.csv --split valid", "valid", 10),
        ("a.csv --split all", "all", 100),
        ("other.csv", "all", 30),
    ] {
        let scores = eval(data);
        assert_eq!((&scores["split"], &scores["tokens"]), (&split.into(), &records.into()), "{data}");
    }
    assert!(
        said(&folder, "eval m --data a.csv")
            .contains("a.csv is the training data of the model; its test split is scored")
    );
    // The printed commands can be typed.
    let printed = said(&folder, &format!("train lstm --data text.txt --out l {TINY}"));
    let command = printed.lines().last().unwrap().trim().strip_prefix("rnn ").unwrap();
    assert_eq!(command, "eval l --data text.txt --split test");
    folder.done(command);
}

#[test]
fn a_folder_without_validation_gives_up_a_tenth() {
    let folder = Folder::new();
    folder.write("q/train.csv", format!("text,label\n{}", rows(100, ",").replace(", ", " ")));
    folder.write("q/test.csv", format!("text,label\n{}", rows(20, ",").replace(", ", " ")));
    folder.write("t/train.txt", super::text());
    let train = |data: &str, more: &str| {
        said(
            &folder,
            &format!(
                "train gru --data {data} --hidden 8 --embedding 8 --max-steps 3 --batch-size 4 --out m --force {more}"
            ),
        )
    };
    let held_out = "q: has no valid file; 10 % of train.csv (drawn at random within each class) is held out for \
                    validation (--valid-fraction 0 turns this off)";
    let printed = train("q", "--label-column label");
    assert!(
        printed.contains(held_out) && printed.contains("90 training targets, 10 validation targets"),
        "{printed}"
    );
    assert!(printed.ends_with("rnn eval m --data q --label-column label\n"), "{printed}");
    let printed = train("q", "--label-column label --valid-fraction 0");
    assert!(
        !printed.contains("held out") && printed.contains("100 training targets, 0 validation targets"),
        "{printed}"
    );
    let printed = train("t", "");
    assert!(printed.contains("10 % of train.txt (its end) is held out"), "{printed}");
    let command = printed.lines().last().unwrap().trim().strip_prefix("rnn ").unwrap();
    assert_eq!(command, "eval m --data t --split valid");
    folder.done(command);
}

#[test]
fn columns_that_are_wrong_are_refused_by_every_command() {
    let folder = Folder::new();
    folder.write("a.csv", format!("text,label\n{}", rows(60, ",").replace(", ", " ")));
    folder.done(&format!("train gru --data a.csv {CLASSIFY} --out m"));
    folder.write("dup.csv", "text,text,label\na,b,x\n");
    folder.write("blank.csv", "text, label\na,x\n");
    for (line, code, mentions) in [
        ("predict m --data a.csv --text-column nope", 1, vec!["a.csv", "`nope`", "--text-column"]),
        ("predict m --data a.csv --label-column nope", 1, vec!["a.csv", "`nope`", "--label-column"]),
        ("predict m --data text.txt --label-column nope", 2, vec!["--label-column", "no columns"]),
        ("predict m --text a --label-column nope", 2, vec!["--label-column", "--text"]),
        ("eval m --data text.txt", 2, vec!["text.txt has no columns", "a .csv, .tsv or .jsonl file"]),
        ("data dup.csv --label-column label", 1, vec!["columns 1 and 2 are both called `text`"]),
        ("data blank.csv --label-column label", 1, vec!["did you mean \" label\"? Blanks count"]),
        ("score m text.txt --text-column text", 2, vec!["--text-column", "no columns"]),
    ] {
        folder.refused(line, code, &mentions);
    }
    let output = folder.rnn("eval m --data text.txt").output().unwrap();
    assert!(!String::from_utf8(output.stderr).unwrap().contains("--label-column"));
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting() {
    let folder = Folder::new();
    let pipe = folder.path("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
    // Not `refused`, which would read the pipe.
    let output = folder.rnn(&format!("train lstm --data pipe --out m {TINY}")).output().unwrap();
    super::assert_one_line(&output, 1, &["pipe: is a pipe or device", "write it to a file first"], "train");
}

#[test]
fn binary_files_and_wrong_encodings_are_said() {
    let folder = Folder::new();
    let utf32: Vec<u8> = super::text().chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
    folder.write("wide.txt", utf32);
    folder.write("nul.txt", "one line\ntwo\0 lines\n".repeat(20));
    folder.write("french.txt", "d\u{e9}j\u{e0} vu, tr\u{e8}s agr\u{e9}able\n".repeat(20));
    for (line, mentions) in [
        ("data wide.txt", ["wide.txt: is UTF-32", "iconv -f UTF-32 -t UTF-8"]),
        ("data nul.txt", ["nul.txt: byte 12 is NUL", "remove such bytes"]),
        ("data french.txt --encoding utf-16", ["french.txt: is UTF-8, not UTF-16LE", "leave --encoding out"]),
    ] {
        let output = folder.rnn(line).output().unwrap();
        super::assert_one_line(&output, 1, &mentions, line);
    }
    let output = folder.rnn("data french.txt --encoding latin-1").output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("french.txt: is UTF-8, but is read as windows-1252, as --encoding says"), "{said}");
    assert_eq!(folder.rnn("data french.txt --encoding utf-8").output().unwrap().stderr, b"");
}

#[test]
fn labels_that_differ_in_blanks_are_counted() {
    let folder = Folder::new();
    let rows = "pos,ab ab\nneg,cd\n".repeat(30) + &"pos ,ab\n".repeat(4) + "\" neg\",cd\n";
    folder.write("a.csv", format!("label,text\n{rows}"));
    let train = "train gru --data a.csv --label-column label --hidden 8 --max-steps 1";
    let output = folder.rnn(&format!("{train} --out m")).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    let note = r#"5 labels in `label` with blanks at the ends (" neg", "pos ") that other labels lack"#;
    assert!(said.contains(note), "{said}");
    assert_eq!(folder.json("m/config.json")["labels"], serde_json::json!([" neg", "neg", "pos", "pos "]));
}
