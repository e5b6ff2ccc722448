//! Tables and JSONL files as corpora.

use super::*;

#[test]
fn csv_records_are_pieces_with_labels() {
    let csv = "\u{FEFF}label,text\nA,\"one, two\"\nB,\"three\nfour\"\n\nA,five\n";
    let folder = folder(&[("a.csv", csv.as_bytes())]);
    let corpus = open_file(&folder, "a.csv", &columns("", "label")).unwrap();
    let found = pieces(&corpus, Split::All);
    let pairs: Vec<_> =
        found.iter().map(|piece| (piece.label.as_deref().unwrap(), piece.text.as_str())).collect();
    assert_eq!(pairs, [("A", "one, two"), ("B", "three\nfour"), ("A", "five")]);
    assert!(found.iter().all(|piece| piece.end == End::Record) && corpus.is_records());
    let corpus = open_file(&folder, "a.csv", &columns("label", "")).unwrap();
    assert_eq!(texts(&corpus, Split::All), ["A", "B", "A"]);
    assert_eq!(pieces(&corpus, Split::All)[0].label, None);
}

#[test]
fn jsonl_records_are_pieces_with_labels() {
    let lines = "{\"text\": \"one\\n한\", \"label\": 3}\n\n{\"label\": \"b\", \"text\": \"two\"}";
    let folder = folder(&[("a.jsonl", lines.as_bytes())]);
    let corpus = open_file(&folder, "a.jsonl", &columns("", "label")).unwrap();
    let found = pieces(&corpus, Split::All);
    assert_eq!(found[0].text, "one\n한");
    let labels: Vec<_> = found.iter().map(|piece| piece.label.as_deref().unwrap()).collect();
    assert_eq!(labels, ["3", "b"]);
}

/// Corpora of the same 5000 records as a table and as JSONL, with and without a byte-order mark.
fn five_thousand_records(check: impl Fn(Corpus, &[String], &str)) {
    let numbers: Vec<String> = (0..5000).map(|number| format!("{number}, half\nway")).collect();
    let csv: String = numbers.iter().map(|text| format!("\"{text}\"\n")).collect();
    let jsonl: String =
        numbers.iter().map(|text| format!("{{\"text\": {}}}\n\n", serde_json::json!(text))).collect();
    let files: [(&str, &str); 2] = [("a.csv", &format!("anything\n{csv}")), ("a.jsonl", &jsonl)];
    for (name, content) in files {
        for mark in ["", "\u{FEFF}"] {
            let (_folder, corpus) = single(name, format!("{mark}{content}").as_bytes());
            check(corpus.unwrap(), &numbers, name);
        }
    }
}

#[test]
fn records_are_drawn_from_the_whole_file() {
    five_thousand_records(|corpus, numbers, name| {
        let split = [Split::Train, Split::Valid, Split::Test].map(|split| texts(&corpus, split));
        assert_eq!(split.clone().map(|texts| texts.len()), [4500, 250, 250], "{name}");
        assert_eq!(texts(&corpus, Split::All), numbers, "{name}");
        let mut joined = split.concat();
        joined.sort_by_key(|text| numbers.iter().position(|number| number == text));
        assert_eq!(joined, numbers, "{name}");
        for held_out in &split[1..] {
            let place = |text: &String| text.split(',').next().unwrap().parse::<f64>().unwrap();
            let mean = held_out.iter().map(place).sum::<f64>() / 250.;
            assert!((2000. ..3000.).contains(&mean), "{name}: {mean}");
        }
    });
}

#[test]
fn tails_of_records_are_held_out_by_the_old_rule() {
    five_thousand_records(|corpus, numbers, name| {
        let corpus = corpus.with_rule(SplitRule::Tail);
        let split = [Split::Train, Split::Valid, Split::Test].map(|split| texts(&corpus, split));
        assert_eq!(split.concat(), numbers, "{name}");
        assert_eq!(split.map(|texts| texts.len()), [4500, 250, 250], "{name}");
    });
}

#[test]
fn classes_are_in_every_split() {
    // Sorted by class, and one class rare.
    let rows: String =
        (0..400).map(|n| format!("text {n},{}\n", if n < 392 { "common" } else { "rare" })).collect();
    let folder = folder(&[("a.csv", format!("text,label\n{rows}").as_bytes())]);
    let corpus = open_file(&folder, "a.csv", &columns("", "label")).unwrap();
    for (split, rare) in [(Split::Train, 6), (Split::Valid, 1), (Split::Test, 1)] {
        let found = pieces(&corpus, split);
        let count = found.iter().filter(|piece| piece.label.as_deref() == Some("rare")).count();
        assert_eq!((count, found.len()), (rare, if split == Split::Train { 360 } else { 20 }), "{split}");
    }
}

#[test]
fn incomplete_records_are_skipped_and_counted() {
    let csv = "text,label\na,x\n ,x\nb,\nc,y\n,\nd, \ne,z\nf,x\ng,y\n";
    let jsonl = "{\"text\": \"a\", \"label\": null}\n{\"text\": \"b\"}\n{\"text\": null, \"label\": 1}\n\
                 {\"text\": \"c\", \"label\": 1}\n{\"text\": \"d\", \"label\": \"x\"}\n{\"text\": \"e\", \"label\": true}\n";
    let half = "text,label\na,x\nb,\nc,\n";
    let files = [("a.csv", csv.as_bytes()), ("a.jsonl", jsonl.as_bytes()), ("half.csv", half.as_bytes())];
    let folder = folder(&files);
    for (name, complete, note) in [
        (
            "a.csv",
            "acefg",
            "of 9 records 2 have no text in `text` and 2 have no label in `label`; these are skipped",
        ),
        (
            "a.jsonl",
            "cde",
            "of 6 records 1 has no text in `text` and 2 have no label in `label`; these are skipped",
        ),
    ] {
        let corpus = open_file(&folder, name, &columns("", "label")).unwrap();
        assert_eq!(texts(&corpus, Split::All).concat(), complete, "{name}");
        let parts = [Split::Train, Split::Valid, Split::Test].into_iter();
        let parts =
            parts.filter(|split| corpus.has(*split).unwrap()).map(|split| texts(&corpus, split).concat());
        assert_eq!(parts.collect::<String>().len(), complete.len(), "{name}");
        assert!(corpus.notes(None).unwrap()[0].ends_with(note), "{:?}", corpus.notes(None));
        let all = corpus.with_incomplete();
        assert!(pieces(&all, Split::All).len() > complete.len() && all.notes(None).unwrap().is_empty());
    }
    // Without a label column, a label is not missing.
    let corpus = open_file(&folder, "half.csv", &columns("text", "")).unwrap();
    assert_eq!(texts(&corpus, Split::All).concat(), "abc");
    let corpus = open_file(&folder, "half.csv", &columns("", "label")).unwrap();
    for problem in [corpus.notes(None).unwrap_err(), corpus.pieces(Split::Train).err().unwrap()] {
        let problem = problem.to_string();
        assert!(problem.contains("of 3 records 2 have no label in `label`; at most half may"), "{problem}");
    }
}

#[test]
fn a_few_records_leave_one_for_each_split() {
    let (_folder, corpus) = single("a.csv", b"text\na\nb\nc\n");
    let corpus = corpus.unwrap();
    let parts = [Split::Train, Split::Valid, Split::Test].map(|split| texts(&corpus, split));
    assert!(parts.iter().all(|part| part.len() == 1), "{parts:?}");
    let mut joined = parts.concat();
    joined.sort();
    assert_eq!(joined, ["a", "b", "c"]);
}

#[test]
fn wrong_columns_list_the_right_ones() {
    let wide = (0..2000).map(|column| format!("c{column}")).collect::<Vec<_>>().join(",") + "\n1\n";
    let folder = folder(&[
        ("a.csv", b"id,headline,body\n1,x,y\n"),
        ("a.jsonl", b"{\"headline\": \"x\", \"body\": \"y\", \"n\": 1}\n"),
        ("a.txt", b"x\n"),
        ("dup.csv", b"text,text,label\na,b,x\n"),
        ("blank.csv", b"text, label\na,x\n"),
        ("wide.csv", wide.as_bytes()),
    ]);
    let error = |name: &str, text: &str, label: &str| {
        open_file(&folder, name, &columns(text, label)).err().unwrap().to_string()
    };
    assert!(
        error("a.csv", "", "").contains("(columns: id, headline, body); say option `columns.text = NAME`")
    );
    assert!(error("a.csv", "title", "").contains("has no `title` (columns: id, headline, body)"));
    assert!(error("a.csv", "body", "class").contains("option `columns.label`"));
    assert!(error("a.jsonl", "", "").contains("say option `columns.text = NAME`"));
    assert!(error("a.jsonl", "title", "").contains("has no `title`"));
    assert!(error("dup.csv", "", "label").contains("columns 1 and 2 are both called `text`"));
    assert!(
        error("blank.csv", "text", "label")
            .contains("option `columns.label`; did you mean \" label\"? Blanks count")
    );
    let wide = error("wide.csv", "text", "");
    assert!(wide.contains("(columns: c0, c1, c2, c3, c4, c5, c6, c7, ..., and 1,992 more)"), "{wide}");
    assert!(error("a.txt", "title", "").starts_with("columns.text: "));
    assert!(error("a.txt", "", "class").starts_with("columns.label: "));
}

#[test]
fn wrong_records_are_named_by_line() {
    assert!(problem("a.csv", b"a,text\n1,x\n\n1,x,y\n").contains("line 4: 3 fields where the header has 2"));
    assert!(problem("a.csv", b"a,text\n1,x\n1\n").contains("line 3: 1 field where the header has 2"));
    let utf8 = ["text\n한글\n".as_bytes(), b"\xFF\n"].concat();
    assert!(problem("a.csv", &utf8).contains("line 3: field 1 is not UTF-8"));
    assert!(problem("a.csv", b"text\nx\na\0b\n").contains("line 3 holds a NUL byte"));
    assert!(problem("a.csv", b"text\n").contains("no records"));
    let quote = "line 3: the quote that opens here";
    assert!(problem("a.csv", b"a,text\n1,x\n2,\"y\n3,z\n").contains(&format!("{quote} is not closed")));
    let swallowed = problem("a.csv", b"a,text\n1,x\n2,\"y\n3,\"z\"\n4,u\n");
    assert!(
        swallowed.contains(&format!("{quote} closes on line 4, in the middle of a field")),
        "{swallowed}"
    );
    let long = problem("a.csv", b"a,text\n1,x\n2,\"y\n3,z\",4\n");
    assert!(
        long.contains(
            "line 3: 3 fields where the header has 2; a quote opens on line 3 and closes on line 4"
        )
    );
    assert!(
        problem("a.jsonl", b"{\"text\": \"x\"}\n\n{\"text\": }\n")
            .contains("line 3, column 10: expected value")
    );
    assert!(
        problem("a.jsonl", b"{\"text\": \"x\"}\n{\"txt\": \"x\"}\n")
            .contains("line 2 has no string field `text` (it has: txt)")
    );
    let number = b"{\"text\": \"x\"}\n{\"text\": 5}\n";
    assert!(problem("a.jsonl", number).contains("line 2: field `text` is a number; expected a string"));
    assert!(problem("a.jsonl", b"5\n").contains("line 1, column"));
    for array in [&b"[1, 2]\n"[..], b"[\n{\"text\": \"a\"}\n]\n"] {
        assert!(["a.jsonl", "a.json"].iter().all(|name| problem(name, array).contains("is a JSON array")));
    }
    let twice = problem("a.jsonl", b"{\"text\": \"x\", \"text\": \"y\"}\n");
    assert!(twice.contains("line 1, column 26: two fields are called `text`"), "{twice}");
    assert!(problem("a.jsonl", b"\n \n").contains("holds no records"));
}

#[test]
fn an_error_ends_the_pieces() {
    for (name, content) in [("a.txt", "한글\n@\nfine\n"), ("a.csv", "text\n한글\n@\ny\n")] {
        let content: Vec<u8> = content.bytes().map(|byte| if byte == b'@' { 0xFF } else { byte }).collect();
        let (_folder, corpus) = single(name, &content);
        let kinds: Vec<bool> =
            corpus.unwrap().pieces(Split::All).unwrap().map(|piece| piece.is_ok()).collect();
        assert_eq!(kinds, [true, false], "{name}");
    }
}
