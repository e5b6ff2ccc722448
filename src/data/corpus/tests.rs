use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::data::piece::Piece;
use crate::tokenizer::End;

/// A folder with these files in it.
fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    folder
}

fn columns(text: &str, label: &str) -> Columns {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_string());
    Columns { text: name(text), label: name(label) }
}

fn open_file(folder: &TempDir, name: &str, columns: &Columns) -> Result<Corpus> {
    Corpus::open(&Source::File(folder.path().join(name)), columns, 0)
}

/// The corpus of one file.
fn single(name: &str, content: &[u8]) -> (TempDir, Result<Corpus>) {
    let folder = folder(&[(name, content)]);
    let corpus = open_file(&folder, name, &Columns::default());
    (folder, corpus)
}

fn pieces(corpus: &Corpus, split: Split) -> Vec<Piece> {
    corpus.pieces(split).unwrap().collect::<Result<_>>().unwrap()
}

fn texts(corpus: &Corpus, split: Split) -> Vec<String> {
    pieces(corpus, split).into_iter().map(|piece| piece.text).collect()
}

/// The first error, in opening or in reading everything.
fn problem(name: &str, content: &[u8]) -> String {
    let (folder, corpus) = single(name, content);
    let result = corpus.and_then(|corpus| corpus.pieces(Split::All)?.collect::<Result<Vec<_>>>());
    let error = result.unwrap_err().to_string();
    assert!(error.starts_with(&folder.path().join(name).display().to_string()), "{error}");
    assert!(!error.contains('\n'), "{error}");
    error
}

#[test]
fn text_is_read_line_by_line_and_kept_as_it_is() {
    let (_folder, corpus) = single("a.txt", "\u{FEFF}one\r\n\ntwo é\nlast".as_bytes());
    let corpus = corpus.unwrap();
    assert_eq!(texts(&corpus, Split::All), ["one\r\n", "\n", "two é\n", "last"]);
    assert!(pieces(&corpus, Split::All).iter().all(|piece| piece.end == End::Line));
    assert!(!corpus.is_records());
    assert_eq!(corpus.default_split(), Split::All);
}

#[test]
fn a_file_is_split_in_order_at_line_ends() {
    let lines: Vec<String> = (0..1000).map(|number| format!("line {number:04}\n")).collect();
    let (_folder, corpus) = single("a.txt", lines.concat().as_bytes());
    let corpus = corpus.unwrap();
    let split = [Split::Train, Split::Valid, Split::Test].map(|split| texts(&corpus, split));
    assert_eq!(split.concat(), lines);
    assert_eq!(split.map(|texts| texts.len()), [900, 50, 50]);
    let corpus = corpus.with_fractions(Fractions { valid: 0.1, test: 0.0 }).unwrap();
    assert_eq!(texts(&corpus, Split::Valid).len(), 100);
    assert!(!corpus.has(Split::Test).unwrap());
    assert!(corpus.pieces(Split::Test).err().unwrap().to_string().contains("its fraction is 0"));
    assert!(corpus.with_fractions(Fractions { valid: 0.6, test: 0.4 }).is_err());
}

#[test]
fn a_file_of_one_line_is_split_between_characters() {
    let syllables = "\u{1112}\u{1161}\u{11AB}".repeat(1000);
    let words = "안녕 ".repeat(1000);
    for line in [syllables, words] {
        let (_folder, corpus) = single("a.txt", line.as_bytes());
        let corpus = corpus.unwrap();
        let [train, valid, test] =
            [Split::Train, Split::Valid, Split::Test].map(|split| pieces(&corpus, split));
        assert_eq!((train[0].end, valid[0].end, test[0].end), (End::None, End::None, End::Line));
        let parts = [train, valid, test]
            .map(|split| split.iter().map(|piece| piece.text.clone()).collect::<String>());
        assert_eq!(parts.concat(), line);
        assert!((0.89..0.92).contains(&(parts[0].len() as f64 / line.len() as f64)));
        assert!(parts[1].len() > line.len() / 25 && parts[2].len() > line.len() / 25);
        assert!(parts[1].starts_with([' ', '\u{1112}']) && parts[2].starts_with([' ', '\u{1112}']));
    }
}

#[test]
fn a_line_of_ten_megabytes_comes_in_pieces_of_whole_words() {
    let line = "seventeen letters ".repeat(600_000);
    let (_folder, corpus) = single("a.txt", line.as_bytes());
    let pieces = pieces(&corpus.unwrap(), Split::All);
    assert!(pieces.len() > 150 && pieces.iter().all(|piece| piece.text.len() <= 64 * 1024));
    assert!(pieces.iter().skip(1).all(|piece| piece.text.starts_with(' ')));
    let (last, others) = pieces.split_last().unwrap();
    assert!(others.iter().all(|piece| piece.end == End::None) && last.end == End::Line);
    assert_eq!(pieces.iter().map(|piece| piece.text.as_str()).collect::<String>(), line);
}

#[test]
fn a_long_line_without_space_is_never_cut_inside_a_character() {
    for character in ["👩‍👩‍👧‍👦", "\u{1112}\u{1161}\u{11AB}", "🇰🇷", "e\u{301}", "한", "x"]
    {
        let line = character.repeat(300_000 / character.len());
        let (_folder, corpus) = single("a.txt", line.as_bytes());
        let pieces = pieces(&corpus.unwrap(), Split::All);
        assert!(pieces.len() > 4);
        assert!(pieces.iter().all(|piece| piece.text.len() % character.len() == 0), "{character}");
    }
    let marks = format!("a{}b\n", "\u{301}".repeat(100_000));
    let (_folder, corpus) = single("a.txt", marks.as_bytes());
    let pieces = texts(&corpus.unwrap(), Split::All);
    assert_eq!(pieces.concat(), marks);
    assert!(pieces[0].len() > 200_000);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn splits_of_any_text_join_to_the_text(
        lines in prop::collection::vec("[a-z가-힣 \u{301}👍🏽\r]{0,40}\n?", 1..40),
        valid in 0.0..0.4, test in 0.0..0.4,
    ) {
        let text = "x".to_string() + &lines.concat();
        let (_folder, corpus) = single("a.txt", text.as_bytes());
        let corpus = corpus.unwrap().with_fractions(Fractions { valid, test }).unwrap();
        let mut joined = String::new();
        for split in [Split::Train, Split::Valid, Split::Test] {
            if corpus.has(split).unwrap() {
                joined += &texts(&corpus, split).concat();
            }
        }
        prop_assert_eq!(joined, text);
    }
}

#[test]
fn a_character_that_both_cuts_would_fall_into_stays_whole() {
    let (_folder, corpus) = single("a.txt", "x 🏽".as_bytes());
    let corpus = corpus.unwrap().with_fractions(Fractions { valid: 0.25, test: 0.32 }).unwrap();
    let splits = [Split::Train, Split::Valid, Split::Test].map(|split| corpus.has(split).unwrap());
    assert_eq!((splits, texts(&corpus, Split::All).concat()), ([true, false, false], "x 🏽".to_string()));
}

#[test]
fn what_is_not_text_is_refused_with_its_place() {
    assert!(problem("a.txt", b"").contains("is empty"));
    assert!(problem("a.txt", b" \n\t\r\n  ").contains("nothing but white space"));
    assert!(problem("a.txt", b"fine\nbad \xC3\x28 byte\n").contains("see byte 9"));
    assert!(problem("a.txt", b"fine\ncut \xE2\x82").contains("see byte 9"));
    assert!(problem("a.txt", b"fine\n\x00\x01\n").contains("see byte 5"));
    assert!(problem("a.txt", &[b"x".repeat(70_000), vec![0xFF]].concat()).contains("see byte 70000"));
    assert!(problem("a.txt", b"\xFF\xFEh\0i\0").contains("UTF-16"));
    assert!(problem("a.csv", b"\xFE\xFF\0h\0i").contains("UTF-16"));
}

#[test]
fn what_cannot_be_read_is_an_error_not_a_panic() {
    let folder = folder(&[]);
    std::fs::create_dir(folder.path().join("a.csv")).unwrap();
    for name in ["a.csv", "missing.txt", "missing.csv", "missing.jsonl"] {
        assert!(open_file(&folder, name, &Columns::default()).unwrap_err().to_string().contains(name));
    }
}

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

#[test]
fn records_are_split_by_count_in_order() {
    let numbers: Vec<String> = (0..5000).map(|number| format!("{number}, half\nway")).collect();
    let csv: String = numbers.iter().map(|text| format!("\"{text}\"\n")).collect();
    let jsonl: String =
        numbers.iter().map(|text| format!("{{\"text\": {}}}\n\n", serde_json::json!(text))).collect();
    let files: [(&str, &str); 2] = [("a.csv", &format!("anything\n{csv}")), ("a.jsonl", &jsonl)];
    for (name, content) in files {
        for mark in ["", "\u{FEFF}"] {
            let (_folder, corpus) = single(name, format!("{mark}{content}").as_bytes());
            let corpus = corpus.unwrap();
            let split = [Split::Train, Split::Valid, Split::Test].map(|split| texts(&corpus, split));
            assert_eq!(split.concat(), numbers, "{name}");
            assert_eq!(split.map(|texts| texts.len()), [4500, 250, 250], "{name}");
            assert_eq!(texts(&corpus, Split::All), numbers, "{name}");
        }
    }
}

#[test]
fn a_few_records_leave_one_for_each_split() {
    let (_folder, corpus) = single("a.csv", b"text\na\nb\nc\n");
    let corpus = corpus.unwrap();
    assert_eq!(
        [Split::Train, Split::Valid, Split::Test].map(|split| texts(&corpus, split).concat()),
        ["a", "b", "c"]
    );
}

#[test]
fn wrong_columns_list_the_right_ones() {
    let folder = folder(&[
        ("a.csv", b"id,headline,body\n1,x,y\n"),
        ("a.jsonl", b"{\"headline\": \"x\", \"body\": \"y\", \"n\": 1}\n"),
        ("a.txt", b"x\n"),
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
    assert!(error("a.txt", "title", "").starts_with("columns.text: "));
    assert!(error("a.txt", "", "class").starts_with("columns.label: "));
}

#[test]
fn wrong_records_are_named_by_line() {
    assert!(problem("a.csv", b"a,text\n1,x\n\n1,x,y\n").contains("line 4: 3 fields where the header has 2"));
    assert!(problem("a.csv", b"text\nx\n\xFF\n").contains("line 3: field 1 is not UTF-8"));
    assert!(problem("a.csv", b"text\nx\na\0b\n").contains("line 3 holds a NUL byte"));
    assert!(problem("a.csv", b"text\n").contains("no records"));
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
    assert!(problem("a.jsonl", b"[1, 2]\n").contains("line 1, column"));
    assert!(problem("a.jsonl", b"\n \n").contains("holds no records"));
}

#[test]
fn an_error_ends_the_pieces() {
    for (name, content) in [("a.txt", &b"fine\n\xFF\nfine\n"[..]), ("a.csv", b"text\nx\n\xFF\ny\n")] {
        let (_folder, corpus) = single(name, content);
        let kinds: Vec<bool> =
            corpus.unwrap().pieces(Split::All).unwrap().map(|piece| piece.is_ok()).collect();
        assert_eq!(kinds, [true, false], "{name}");
    }
}

#[test]
fn a_folder_needs_a_train_file_and_says_which_split_it_lacks() {
    let open =
        |folder: &TempDir| Corpus::open(&Source::Directory(folder.path().into()), &Columns::default(), 0);
    let whole = folder(&[("train.txt", b"a\n"), ("dev.txt", b"b\n"), ("test.txt", b"c\n")]);
    let corpus = open(&whole).unwrap();
    assert_eq!(texts(&corpus, Split::Valid), ["b\n"]);
    assert_eq!(texts(&corpus, Split::All), ["a\n", "b\n", "c\n"]);
    assert_eq!(corpus.default_split(), Split::Test);

    let part = folder(&[("train.csv", b"text\na\n"), ("validation.csv", b"text\nb\n")]);
    let corpus = open(&part).unwrap();
    assert!(corpus.has(Split::Valid).unwrap() && !corpus.has(Split::Test).unwrap());
    assert_eq!(texts(&corpus, Split::All), ["a", "b"]);
    assert!(corpus.pieces(Split::Test).err().unwrap().to_string().contains("has no test file"));

    let error = |files: &[(&str, &[u8])]| open(&folder(files)).unwrap_err().to_string();
    assert!(error(&[("test.txt", b"a\n")]).contains("has no train.txt, train.csv or train.jsonl"));
    assert!(error(&[("train.txt", b"a\n"), ("train.csv", b"text\na\n")]).contains("stands beside"));
    assert!(error(&[("train.txt", b"a\n"), ("test.csv", b"text\na\n")]).contains("another kind"));
    assert!(error(&[("train.txt", b"a\n"), ("valid.txt", b"")]).contains("is empty"));
}

#[test]
fn built_in_text_is_seeded_and_its_splits_differ() {
    for (builtin, train, aside) in [(Builtin::Story, 16_000, 800), (Builtin::Reber, 20_000, 1_000)] {
        let open = |seed| Corpus::open(&Source::Builtin(builtin), &Columns::default(), seed).unwrap();
        let corpus = open(1);
        let count = |split| corpus.pieces(split).unwrap().count();
        assert!(
            count(Split::Train) >= train && count(Split::Test) >= aside && count(Split::Test) < train / 2
        );
        assert_eq!(texts(&corpus, Split::Valid), texts(&open(1), Split::Valid));
        assert_ne!(texts(&corpus, Split::Valid), texts(&open(2), Split::Valid));
        assert_ne!(texts(&corpus, Split::Valid), texts(&corpus, Split::Test));
        let all = corpus.pieces(Split::All).unwrap().count();
        assert_eq!(all, count(Split::Train) + count(Split::Valid) + count(Split::Test));
        assert!(
            pieces(&corpus, Split::Test)
                .iter()
                .all(|piece| piece.text.ends_with('\n') && piece.end == End::Line)
        );
    }
}

#[test]
fn built_in_tasks_that_are_not_text_are_refused() {
    let open =
        |builtin, text: &str| Corpus::open(&Source::Builtin(builtin), &columns(text, ""), 0).unwrap_err();
    assert!(open(Builtin::Adding, "").to_string().contains("not text"));
    assert!(matches!(open(Builtin::Copy, ""), Error::Invalid { field: "data", .. }));
    assert!(open(Builtin::Story, "x").to_string().starts_with("columns.text"));
}
