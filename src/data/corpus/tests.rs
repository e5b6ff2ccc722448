mod records;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::data::columns::Columns;
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

fn columns(text: &str, label: &str) -> ReadOptions {
    let name = |name: &str| (!name.is_empty()).then(|| name.to_string());
    Columns { text: name(text), label: name(label) }.into()
}

fn open_file(folder: &TempDir, name: &str, options: &ReadOptions) -> Result<Corpus> {
    Corpus::open(&Source::File(folder.path().join(name)), options, 0)
}

/// The corpus of one file.
fn single(name: &str, content: &[u8]) -> (TempDir, Result<Corpus>) {
    let folder = folder(&[(name, content)]);
    let corpus = open_file(&folder, name, &ReadOptions::default());
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
fn files_that_are_not_text_are_refused_with_the_place() {
    assert!(problem("a.txt", b"").contains("is empty"));
    assert!(problem("a.txt", b" \n\t\r\n  ").contains("nothing but white space"));
    // Damaged UTF-8 is no other encoding.
    let damaged = |bytes: &[u8]| problem("a.txt", &["한글 한글 한글 한글 한글\n".as_bytes(), bytes].concat());
    assert!(damaged(b"bad \xC3\x28 byte\n").contains("byte 39 is not UTF-8"));
    assert!(damaged(b"cut \xE2\x82").contains("byte 39 is not UTF-8"));
    assert!(damaged(&[b"x".repeat(70_000), vec![0xFF]].concat()).contains("byte 70035 is not UTF-8"));
    assert!(problem("a.txt", b"fine\n\x00 fine\n").contains("byte 5 is NUL"));
    for name in ["a.txt", "a.csv", "a.jsonl"] {
        assert!(problem(name, &[0; 100]).contains("is binary"), "{name}");
    }
}

#[test]
fn other_encodings_are_read_as_utf8_and_noted() {
    let korean = "label,text\n가,나는 오늘 학교에 갔다\n나,\"날씨가 매우\n좋았다\"\n";
    let utf16: Vec<u8> = korean.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let cp949 = encoding_rs::EUC_KR.encode(korean).0.into_owned();
    for (bytes, assumed) in [
        (korean.as_bytes().to_vec(), None),
        ([&b"\xFF\xFE"[..], &utf16].concat(), Some("UTF-16LE")),
        (utf16, Some("UTF-16LE")),
        (cp949.clone(), Some("EUC-KR")),
    ] {
        let folder = folder(&[("a.csv", &bytes)]);
        let corpus = open_file(&folder, "a.csv", &columns("", "label")).unwrap();
        let found = pieces(&corpus, Split::All);
        assert_eq!(found[0].text, "나는 오늘 학교에 갔다");
        assert_eq!((found[1].label.as_deref(), found[1].text.as_str()), (Some("나"), "날씨가 매우\n좋았다"));
        let notes = corpus.notes(None).unwrap();
        assert_eq!(notes.len(), assumed.iter().len(), "{notes:?}");
        assert!(assumed.iter().all(|name| notes[0].contains(&format!("read as {name}"))), "{notes:?}");
    }
    // An encoding that is named is neither guessed nor noted; a wrong one is refused.
    let folder = folder(&[("a.txt", &cp949), ("b.txt", b"a\xFF b\xFF c\n")]);
    let open = |name: &str, encoding: &str| {
        let options = ReadOptions { encoding: Some(encoding.parse().unwrap()), ..ReadOptions::default() };
        open_file(&folder, name, &options)
    };
    let corpus = open("a.txt", "cp949").unwrap();
    assert_eq!(
        (texts(&corpus, Split::All).concat().as_str(), corpus.notes(None).unwrap().len()),
        (korean, 0)
    );
    assert!(open("a.txt", "gb18030").is_ok());
    assert!(open("b.txt", "euc-kr").unwrap_err().to_string().contains("is not EUC-KR"));
}

#[test]
fn unreadable_files_are_errors() {
    let folder = folder(&[]);
    std::fs::create_dir(folder.path().join("a.csv")).unwrap();
    for name in ["a.csv", "missing.txt", "missing.csv", "missing.jsonl"] {
        assert!(open_file(&folder, name, &ReadOptions::default()).unwrap_err().to_string().contains(name));
    }
}

#[test]
fn a_folder_needs_a_train_file_and_says_which_split_it_lacks() {
    let open =
        |folder: &TempDir| Corpus::open(&Source::Directory(folder.path().into()), &ReadOptions::default(), 0);
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
    assert!(
        error(&[("test.txt", b"a\n")])
            .contains("has no train.txt, train.csv, train.tsv, train.jsonl or train.json")
    );
    assert!(error(&[("train.txt", b"a\n"), ("train.csv", b"text\na\n")]).contains("exists beside"));
    assert!(error(&[("train.txt", b"a\n"), ("test.csv", b"text\na\n")]).contains("another kind"));
    assert!(error(&[("train.txt", b"a\n"), ("valid.txt", b"")]).contains("is empty"));
}

#[test]
fn a_folder_without_validation_gives_up_a_tenth() {
    let rows: String = (0..100).map(|n| format!("text {n},{}\n", ["a", "b"][n / 50])).collect();
    let lines: String = (0..100).map(|n| format!("line {n:02}\n")).collect();
    let table = format!("text,label\n{rows}");
    let records = folder(&[("train.csv", table.as_bytes()), ("test.csv", b"text,label\nx,a\n")]);
    let text = folder(&[("train.txt", lines.as_bytes())]);
    let open = |folder: &TempDir, options: &ReadOptions| {
        Corpus::open(&Source::Directory(folder.path().into()), options, 0).unwrap()
    };
    let corpus = open(&records, &columns("", "label"));
    let valid = pieces(&corpus, Split::Valid);
    let of = |class: &str| valid.iter().filter(|piece| piece.label.as_deref() == Some(class)).count();
    assert_eq!((of("a"), of("b"), pieces(&corpus, Split::Train).len()), (5, 5, 90));
    assert_eq!((texts(&corpus, Split::Test), texts(&corpus, Split::All).len()), (vec!["x".to_string()], 101));
    let note = corpus.notes(None).unwrap().concat();
    assert!(note.contains("10 % of train.csv (drawn at random within each class) is held out"), "{note}");
    assert!(corpus.notes(Some(Split::Test)).unwrap().is_empty());

    let corpus = open(&text, &ReadOptions::default());
    assert_eq!(texts(&corpus, Split::Valid).concat(), lines[lines.len() - 80..]);
    assert_eq!((texts(&corpus, Split::Train).len(), corpus.held_out().unwrap()), (90, Split::Valid));
    let none = Fractions { valid: 0., test: 0.05 };
    for corpus in [
        corpus.with_rule(SplitRule::Tail),
        open(&text, &ReadOptions::default()).with_fractions(none).unwrap(),
    ] {
        assert_eq!((texts(&corpus, Split::Train).len(), corpus.has(Split::Valid).unwrap()), (100, false));
        assert!(corpus.notes(None).unwrap().is_empty());
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["pipe.txt", "pipe.csv", "pipe.jsonl"] {
        let path = folder.path().join(name);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        let problem = open_file(&folder, name, &ReadOptions::default()).unwrap_err().to_string();
        assert!(problem.contains("is a pipe or device; expected a regular file"), "{problem}");
    }
}

#[test]
fn built_in_text_is_seeded_and_its_splits_differ() {
    for (builtin, train, aside) in [(Builtin::Story, 16_000, 800), (Builtin::Reber, 20_000, 1_000)] {
        let open = |seed| Corpus::open(&Source::Builtin(builtin), &ReadOptions::default(), seed).unwrap();
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
