use super::*;

/// Read a file of that name and content.
fn read(name: &str, content: &str, options: &ColumnOptions) -> Result<Vec<Sentence>> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, content).unwrap();
    ColumnFile::open(&path, options)?.sentences().collect()
}

fn options(word: &str, tag: &str, features: &[&str]) -> ColumnOptions {
    let column = |text: &str| text.parse().unwrap();
    let features = features.iter().map(|text| column(text)).collect();
    ColumnOptions {
        word: Some(column(word)),
        tag: Some(column(tag)),
        features,
        untagged: false,
        encoding: None,
    }
}

fn shown(sentences: &[Sentence]) -> Vec<String> {
    let pairs = |sentence: &Sentence| {
        let pairs = sentence.words.iter().zip(&sentence.tags);
        let pairs: Vec<String> = pairs.map(|(word, tag)| format!("{word}|{tag}")).collect();
        format!("{} {}", sentence.line, pairs.join(" "))
    };
    sentences.iter().map(pairs).collect()
}

const CONLLU: &str = "\
# sent_id = 1
# text = vámonos al mar
1-2\tvámonos\t_\t_\t_\t_\t_\t_\t_\t_
1\tvamos\tir\tVERB\tv\t_\t0\troot\t_\t_
2\tnos\tnosotros\tPRON\tp\t_\t1\tobj\t_\t_
2.1\tfue\tir\tVERB\t_\t_\t_\t_\t_\t_

# sent_id = 2
1\t#\t#\tSYM\t_\t_\t0\troot\t_\t_
2\tNew York\tNew York\tPROPN\t_\t_\t1\tflat\t_\t_
";

#[test]
fn first_and_last_columns_are_words_and_tags() {
    let text = "-DOCSTART- -X- O\n\nThe DT B-NP\n# # I-NP\r\n \t\n\n한국 NNP  B-NP \n-DOCSTART-\n.\u{a0} . O";
    let found = read("a.txt", text, &ColumnOptions::default()).unwrap();
    assert_eq!(shown(&found), ["3 The|B-NP #|I-NP", "7 한국|B-NP", "9 .\u{a0}|O"]);
    assert!(found.iter().all(|sentence| sentence.features.is_empty()));
}

#[test]
fn columns_are_chosen_by_number() {
    let found = read("a.txt", "a b c d\n", &options("-2", "1", &["0", "3"])).unwrap();
    assert_eq!(shown(&found), ["1 c|b"]);
    assert_eq!(found[0].features, [["a"], ["d"]]);
}

#[test]
fn comments_multiword_tokens_and_empty_nodes_are_skipped_in_conllu() {
    for name in ["a.conllu", "a.CoNLLU", "a.txt", "a.conll"] {
        let found = read(name, CONLLU, &ColumnOptions::default()).unwrap();
        assert_eq!(shown(&found), ["4 vamos|VERB nos|PRON", "9 #|SYM New York|PROPN"], "{name}");
    }
    let found = read("a.conllu", CONLLU, &options("lemma", "deprel", &["upos"])).unwrap();
    assert_eq!(shown(&found), ["4 ir|root nosotros|obj", "9 #|root New York|flat"]);
    assert_eq!(found[0].features, [["VERB", "PRON"]]);
}

#[test]
fn comments_between_documents_and_sentences_are_no_rows() {
    let text = "#begin document (a);\n# id 1 domain=train\n# _ O\nx _ B\n#end document\n# id 2 domain=train\ny _ O\n";
    let found = read("a.conll", text, &ColumnOptions::default()).unwrap();
    assert_eq!(shown(&found), ["3 #|O x|B", "7 y|O"]);
}

#[test]
fn other_encodings_are_decoded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.col");
    std::fs::write(&path, b"caf\xe9 N\n").unwrap();
    let encoding = Some("latin-1".parse().unwrap());
    let file = ColumnFile::open(&path, &ColumnOptions { encoding, ..ColumnOptions::default() }).unwrap();
    assert_eq!(file.sentences().next().unwrap().unwrap().words, ["café"]);
}

#[test]
fn bad_rows_are_errors_with_their_line() {
    let default = ColumnOptions::default();
    let long = "a b\n".repeat(LONGEST_SENTENCE + 1);
    for (name, text, options, words) in [
        ("a.txt", "\n\n \n", &default, "has no rows; expected a word and its tag"),
        ("a.txt", "-DOCSTART- -X- O\n", &default, "has no rows"),
        ("a.txt", "word\n", &default, "line 1: 1 column; column 0 cannot be the word and the tag at once"),
        ("a.txt", "a b c\n\nd e\n", &default, "line 3: 2 columns where line 1 has 3; expected blanks"),
        ("a.txt", "a\tb\nc d\n", &default, "line 2: 1 column where line 1 has 2; expected tabs"),
        ("a.txt", "a\tb\nc\t\n", &default, "line 2: column 1 is empty; expected a tag"),
        ("a.txt", "\n\tb\n", &default, "line 2: column 0 is empty; expected a word"),
        (
            "a.txt",
            "a b\n",
            &options("0", "2", &[]),
            "no tag column `2`; expected a number from 0 to 1, or from -2 to -1",
        ),
        ("a.txt", "a b\n", &options("form", "1", &[]), "no word column `form`; expected a number, because"),
        ("a.txt", "a b\n", &options("0", "1", &["-3"]), "no feature column `-3`"),
        ("a.txt", "a b\n", &options("0", "1", &["-1"]), "column 1 is the tag; expected other columns"),
        ("a.txt", "a b\n", &options("-2", "0", &[]), "column 0 cannot be the word and the tag at once"),
        ("a.conllu", "a b\n", &default, "line 1: 2 columns; expected the 10 of CoNLL-U"),
        ("a.conllu", &CONLLU.replace("\n2\t", "\nx\t"), &default, "line 5: `x` is not the number of a word"),
        ("a.txt", &long, &default, "line 100001: the sentence from line 1 on has more than 100,000 words"),
    ] {
        let message = read(name, text, options).unwrap_err().to_string();
        assert!(message.contains(name) && message.contains(words), "{message}");
    }
}
