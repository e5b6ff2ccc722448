use std::path::PathBuf;

use proptest::prelude::*;

use super::character::tests::tricky_text;
use super::*;
use crate::data::{Corpus, ReadOptions, Source, Split};
use crate::{Error, Result};

fn trained(kind: &Kind, text: &str) -> Tokenizer {
    Tokenizer::train(kind, [Ok(text.to_string())].into_iter(), None, false).unwrap()
}

fn encode(tokenizer: &Tokenizer, text: &str) -> Vec<u32> {
    tokenizer.encode(text).unwrap()
}

/// The tokenizer as another program would read it: saved, loaded, without the fast path.
fn reread(tokenizer: &Tokenizer) -> tokenizers::Tokenizer {
    tokenizers::Tokenizer::from_bytes(tokenizer.to_json().unwrap()).unwrap()
}

const MIXED: &str = "Hello, Wörld!\r\n안녕하세요 \u{1112}\u{1161}\u{11AB}글 e\u{301} 👩‍👩‍👧 ❤️ 🇰🇷\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn characters_of_the_training_text_round_trip(text in tricky_text()) {
        prop_assume!(!text.is_empty());
        let tokenizer = trained(&Kind::Char, &text);
        prop_assert_eq!(tokenizer.decode(&encode(&tokenizer, &text)), tokenizer.normalize(&text));
    }

    #[test]
    fn fast_characters_equal_the_saved_file(known in tricky_text(), text in tricky_text(), lower: bool) {
        let pieces = [Ok(known.clone()), Ok("a".to_string())].into_iter();
        let tokenizer = Tokenizer::train(&Kind::Char, pieces, None, lower).unwrap();
        let expected = reread(&tokenizer).encode(text.as_str(), false).unwrap();
        prop_assert_eq!(encode(&tokenizer, &text), expected.get_ids());
        let expected = reread(&tokenizer).encode(known.as_str(), false).unwrap();
        prop_assert_eq!(encode(&tokenizer, &known), expected.get_ids());
    }

    #[test]
    fn fast_words_equal_the_saved_file(known in tricky_text(), text in tricky_text(), lower: bool) {
        let pieces = [Ok(known.clone()), Ok("a <unk>".to_string())].into_iter();
        let tokenizer = Tokenizer::train(&Kind::Word, pieces, None, lower).unwrap();
        for text in [known, text] {
            let expected = reread(&tokenizer).encode(text.as_str(), false).unwrap();
            prop_assert_eq!(encode(&tokenizer, &text), expected.get_ids());
        }
    }

    #[test]
    fn words_round_trip_up_to_white_space(text in tricky_text()) {
        prop_assume!(text.split_whitespace().next().is_some());
        let tokenizer = trained(&Kind::Word, &text);
        let text = tokenizer.normalize(&text);
        let words: Vec<&str> = text.split_whitespace().collect();
        prop_assert_eq!(tokenizer.decode(&encode(&tokenizer, &text)), words.join(" "));
    }

    #[test]
    fn byte_pairs_round_trip_any_text(text in tricky_text()) {
        let tokenizer = trained(&Kind::Bpe(300), MIXED);
        let ids = encode(&tokenizer, &text);
        let normal = fold_line_ends(&text);
        prop_assert_eq!(tokenizer.decode(&ids), normal.clone());
        let library = reread(&tokenizer);
        let expected = library.encode(text.as_str(), false).unwrap();
        prop_assert_eq!(expected.get_ids(), &ids);
        prop_assert_eq!(library.decode(&ids, false).unwrap(), normal);
    }

    #[test]
    fn byte_tokens_stream_as_they_decode(ids in prop::collection::vec(2u32..300, 0..64)) {
        let tokenizer = trained(&Kind::Bpe(300), MIXED);
        prop_assert_eq!(tokenizer.decode(&ids), reread(&tokenizer).decode(&ids, false).unwrap());
    }
}

#[test]
fn user_perceived_characters_are_single_tokens() {
    let tokenizer = trained(&Kind::Char, MIXED);
    for whole in ["\n", "녕", "\u{1112}\u{1161}\u{11AB}", "e\u{301}", "👩‍👩‍👧", "❤️", "🇰🇷"]
    {
        let id = tokenizer.id(whole).unwrap_or_else(|| panic!("{whole:?}"));
        assert_eq!(encode(&tokenizer, whole), [id]);
    }
    assert_eq!((tokenizer.id("<unk>"), tokenizer.id("<eos>")), (Some(0), Some(1)));
    assert_eq!(tokenizer.decode(&encode(&tokenizer, "H中o")), "H\u{FFFD}o");
}

#[test]
fn spelling_of_a_special_token_is_text_except_as_a_word() {
    for kind in [Kind::Char, Kind::Bpe(300)] {
        let tokenizer = trained(&kind, "<unk> <eos> <unk><eos>\n");
        let ids = encode(&tokenizer, "<unk> <eos>");
        assert!(ids.iter().all(|&id| id > 1), "{kind}: {ids:?}");
        assert_eq!(tokenizer.decode(&ids), "<unk> <eos>");
    }
    let words = trained(&Kind::Word, "a <unk> b<unk>\n");
    assert_eq!(words.vocabulary_size(), 4);
    assert_eq!(encode(&words, "a <unk> zebra b<unk>"), [2, 0, 0, 3]);
}

#[test]
fn end_token_follows_lines_of_words_and_records() {
    let ids = |kind: &Kind, end| {
        let tokenizer = trained(kind, "a b\n");
        let mut ids = Vec::new();
        tokenizer.append_ended("a\n", end, &mut ids).unwrap();
        (ids.iter().filter(|&&id| id == 1).count(), tokenizer.decode(&ids))
    };
    assert_eq!(ids(&Kind::Word, End::Line), (1, "a\n".into()));
    assert_eq!(ids(&Kind::Word, End::Record), (1, "a\n".into()));
    assert_eq!(ids(&Kind::Word, End::None), (0, "a".into()));
    for kind in [Kind::Char, Kind::Bpe(258)] {
        assert_eq!(ids(&kind, End::Line), (0, "a\n".into()));
        assert_eq!(ids(&kind, End::Record), (1, "a\n\n".into()));
    }
}

#[test]
fn training_is_deterministic_and_its_file_round_trips() {
    let text = "the cat saw the dog and the dog saw a cat ; a bird sang to the cat\n안녕 안녕\n".repeat(3);
    for kind in [Kind::Char, Kind::Word, Kind::Bpe(280)] {
        let first = trained(&kind, &text).to_json().unwrap();
        for _ in 0..3 {
            assert_eq!(trained(&kind, &text).to_json().unwrap(), first, "{kind}");
        }
        let again = Tokenizer::from_json(first.as_bytes()).unwrap();
        assert_eq!(again.to_json().unwrap(), first, "{kind}");
        assert_eq!(encode(&again, &text), encode(&trained(&kind, &text), &text));
        assert_eq!(again.scheme(), trained(&kind, &text).scheme());
    }
    assert_eq!(trained(&Kind::Bpe(280), &text).vocabulary_size(), 280);
}

#[test]
fn limited_vocabulary_keeps_the_most_frequent() {
    let pieces = || [Ok("c b b a a d".to_string())].into_iter();
    let tokenizer = Tokenizer::train(&Kind::Word, pieces(), Some(4), false).unwrap();
    assert_eq!([2, 3].map(|id| tokenizer.token(id).unwrap()), ["a", "b"]);
    assert_eq!(encode(&tokenizer, "a b c d"), [2, 3, 0, 0]);
    let error = Tokenizer::train(&Kind::Word, pieces(), Some(2), false).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
}

#[test]
fn text_and_prompts_are_lower_cased() {
    for kind in [Kind::Char, Kind::Word, Kind::Bpe(300)] {
        let pieces = [Ok("The the ΟΔΟΣ İ\n".to_string())].into_iter();
        let tokenizer = Tokenizer::train(&kind, pieces, None, true).unwrap();
        let again = Tokenizer::from_json(tokenizer.to_json().unwrap().as_bytes()).unwrap();
        for tokenizer in [&tokenizer, &again] {
            assert_eq!(tokenizer.decode(&encode(tokenizer, "THE ΟΔΟΣ İ")), "the οδοσ i\u{307}", "{kind}");
            assert!(tokenizer.encode_prompt("THE ΟΔΟΣ").unwrap().notes.is_empty());
        }
    }
}

#[test]
fn empty_and_failing_texts_are_errors() {
    for kind in [Kind::Char, Kind::Word, Kind::Bpe(300)] {
        let none = std::iter::empty::<Result<String>>();
        assert!(Tokenizer::train(&kind, none, None, false).unwrap_err().to_string().contains("no text"));
        let failing = [Ok("a".to_string()), Err(Error::Message("broken line".into()))].into_iter();
        assert_eq!(Tokenizer::train(&kind, failing, None, false).unwrap_err().to_string(), "broken line");
    }
}

#[test]
fn unknown_words_of_a_prompt_are_replaced() {
    let tokenizer = trained(&Kind::Word, "How now NASA cow\n");
    let prompt = tokenizer.encode_prompt("how NOW nasa\nzebra zebra cow").unwrap();
    let word = |word| tokenizer.id(word).unwrap();
    assert_eq!(prompt.ids, [word("How"), word("now"), word("NASA"), 1, 0, 0, word("cow")]);
    assert_eq!(prompt.notes.len(), 4);
    assert_eq!(prompt.notes[0].to_string(), "`how` is not in the vocabulary; `How` stands for it");
    assert_eq!(prompt.notes[3].to_string(), "`zebra` is not in the vocabulary; it is <unk> here");
    let characters = trained(&Kind::Char, "abc\n");
    let prompt = characters.encode_prompt("a中b中").unwrap();
    assert_eq!((prompt.ids.len(), prompt.notes.len()), (4, 1));
}

#[test]
fn streaming_returns_whole_characters_and_loses_none() {
    let tokenizer = trained(&Kind::Bpe(258), "plain\n");
    let ids = encode(&tokenizer, "한글 👍🏽!");
    let mut decoder = tokenizer.decoder();
    let parts: Vec<String> = ids.iter().map(|&id| decoder.push(id)).collect();
    assert_eq!(parts[..3], ["", "", "한"]);
    assert_eq!(parts.concat() + &decoder.finish(), "한글 👍🏽!");
    assert_eq!(decoder.push(ids[0]), "");
    assert_eq!(decoder.push(1), "\u{FFFD}\n");
}

#[test]
fn decoder_continues_from_saved_state() {
    let tokenizers = [
        (trained(&Kind::Char, "abc\n"), "abcab"),
        (trained(&Kind::Word, "a b\n"), "a b a"),
        (trained(&Kind::Bpe(258), "plain\n"), "한글 👍🏽!"),
        (Tokenizer::from_json(FOREIGN.as_bytes()).unwrap(), "to be or to be"),
    ];
    for (tokenizer, text) in &tokenizers {
        let ids = encode(tokenizer, text);
        for pause in 0..=ids.len() {
            let mut decoder = tokenizer.decoder();
            let mut parts: String = ids[..pause].iter().map(|&id| decoder.push(id)).collect();
            let saved = serde_json::to_string(&decoder.state()).unwrap();
            let mut decoder = tokenizer.resume_decoder(serde_json::from_str(&saved).unwrap()).unwrap();
            parts.extend(ids[pause..].iter().map(|&id| decoder.push(id)));
            assert_eq!(parts + &decoder.finish(), tokenizer.decode(&ids), "{text} after {pause} tokens");
        }
        for (other, _) in tokenizers.iter().filter(|(other, _)| !std::ptr::eq(other, tokenizer)) {
            assert!(tokenizer.resume_decoder(other.decoder().state()).is_none());
        }
    }
    let beyond = serde_json::from_str(r#"{"window":{"ids":[2],"settled":2}}"#).unwrap();
    assert!(tokenizers[3].0.resume_decoder(beyond).is_none());
}

#[test]
fn words_stream_with_spaces_and_line_ends() {
    let tokenizer = trained(&Kind::Word, "a b\n");
    let (a, b) = (tokenizer.id("a").unwrap(), tokenizer.id("b").unwrap());
    let mut decoder = tokenizer.decoder();
    assert_eq!([a, b, 1, b, a, 99].map(|id| decoder.push(id)), ["a", " b", "\n", "b", " a", ""]);
}

/// A sentencepiece-like file, as other projects ship them: special tokens around a sentence, truncation,
/// a decoder that looks at neighbours.
const FOREIGN: &str = r#"{"version":"1.0","truncation":{"direction":"Right","max_length":3,"strategy":"LongestFirst","stride":0},
"padding":{"strategy":{"Fixed":8},"direction":"Right","pad_to_multiple_of":null,"pad_id":0,"pad_type_id":0,"pad_token":"<unk>"},
"added_tokens":[{"id":1,"content":"</s>","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}],
"normalizer":null,"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
"post_processor":{"type":"TemplateProcessing","single":[{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"</s>","type_id":0}}],
"pair":[{"Sequence":{"id":"A","type_id":0}}],"special_tokens":{"</s>":{"id":"</s>","ids":[1],"tokens":["</s>"]}}},
"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},
"model":{"type":"WordLevel","vocab":{"<unk>":0,"</s>":1,"▁to":2,"▁be":3,"▁or":4},"unk_token":"<unk>"}}"#;

#[test]
fn foreign_file_encodes_text_alone() {
    let tokenizer = Tokenizer::from_json(FOREIGN.as_bytes()).unwrap();
    assert_eq!((tokenizer.unknown(), tokenizer.end(), tokenizer.vocabulary_size()), (Some(0), Some(1), 5));
    assert_eq!(tokenizer.scheme(), Scheme::Subword);
    let ids = encode(&tokenizer, "to be or to be");
    assert_eq!(ids, [2, 3, 4, 2, 3]);
    assert_eq!(tokenizer.decode(&[2, 3, 4, 2, 3, 1, 2, 3]), "to be or to be\nto be");
    let mut decoder = tokenizer.decoder();
    assert_eq!(
        ids.iter().map(|&id| decoder.push(id)).collect::<Vec<_>>(),
        ["to", " be", " or", " to", " be"]
    );
    assert_eq!(tokenizer.encode_prompt("to err").unwrap().notes.len(), 1);
}

#[test]
fn broken_file_is_one_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let huge = FOREIGN.replace("\"▁or\":4", "\"▁or\":4000000000");
    let empty =
        r#"{"version":"1.0","added_tokens":[],"model":{"type":"WordLevel","vocab":{},"unk_token":"<unk>"}}"#;
    for (name, content) in [("text", "hello"), ("other", "{\"a\": 1}"), ("huge", &huge), ("empty", empty)] {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        let error = Tokenizer::from_file(&path).unwrap_err().to_string();
        assert!(error.starts_with(&path.display().to_string()) && !error.contains('\n'), "{error}");
    }
    let missing = Tokenizer::from_file(folder.path().join("missing")).unwrap_err().to_string();
    assert!(missing.contains("missing"), "{missing}");
    let file = Kind::File(folder.path().join("text"));
    let error = Tokenizer::train(&file, std::iter::empty(), None, true).unwrap_err();
    assert!(matches!(error, Error::Invalid { .. }));
}

#[test]
fn line_ends_are_alike_in_training_and_use() {
    let text = "over cat red dog.\nand then house on dog then.\n\nhouse tree there.\n";
    let twins = [text.to_string(), text.replace('\n', "\r\n"), text.replace('\n', "\r")];
    for kind in [Kind::Char, Kind::Word, Kind::Bpe(280)] {
        let expected = trained(&kind, text);
        let ids = |tokenizer: &Tokenizer, text: &str, end: End| {
            let mut ids = vec![];
            tokenizer.append_ended(text, end, &mut ids).unwrap();
            ids
        };
        for twin in &twins {
            let tokenizer = trained(&kind, twin);
            assert_eq!(tokenizer.to_json().unwrap(), expected.to_json().unwrap(), "{kind}: {twin:?}");
            for other in &twins {
                // Lines with `\n`; a text with `\r` is one piece.
                let lines = if other.contains('\n') {
                    other.split_inclusive('\n').collect()
                } else {
                    vec![other.as_str()]
                };
                let found: Vec<u32> =
                    lines.iter().flat_map(|line| ids(&tokenizer, line, End::Line)).collect();
                let lines: Vec<u32> =
                    text.split_inclusive('\n').flat_map(|line| ids(&expected, line, End::Line)).collect();
                assert_eq!(found, lines, "{kind}: {other:?}");
                let prompt = tokenizer.encode_prompt(other).unwrap();
                assert_eq!(prompt, expected.encode_prompt(text).unwrap(), "{kind}: {other:?}");
            }
        }
    }
}

#[test]
fn text_is_read_in_the_unicode_form_of_the_training_text() {
    let (composed, decomposed) =
        ("한글 été\n", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{1173}\u{11af} e\u{301}te\u{301}\n");
    for kind in [Kind::Char, Kind::Word, Kind::Bpe(280)] {
        for (known, other) in [(composed, decomposed), (decomposed, composed)] {
            let tokenizer = trained(&kind, known);
            let again = Tokenizer::from_json(tokenizer.to_json().unwrap().as_bytes()).unwrap();
            for tokenizer in [tokenizer, again] {
                assert_eq!(encode(&tokenizer, other), encode(&tokenizer, known), "{kind}");
            }
        }
        // Text in both forms, as ASCII is, or in neither is left alone.
        for text in ["plain", &format!("{composed}{decomposed}")] {
            let tokenizer = trained(&kind, text);
            assert_eq!(tokenizer.normalize(text), text, "{kind}");
        }
    }
}

/// Files that make the tokenizers library panic, at load or at use.
#[test]
fn panics_of_the_library_become_errors() {
    let bpe = |more: &str| {
        let model = r#""model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":[]}"#;
        format!(r#"{{"version":"1.0","added_tokens":[],{more}{model}}}"#)
    };
    let files = [
        bpe(r#""pre_tokenizer":{"type":"FixedLength","length":0},"#),
        bpe(r#""normalizer":{"type":"Precompiled","precompiled_charsmap":"AAAA"},"#),
        bpe(r#""normalizer":{"type":"Precompiled","precompiled_charsmap":""},"#),
        bpe(r#""normalizer":[],"#),
        bpe(r#""normalizer":{"type":"Lowercase","type":"Lowercase"},"#),
        bpe(r#""decoder":{"type":"ByteLevel""#),
        r#"{"added_tokens":[],"model":{"type":"BPE","vocab":{"a":0},"merges":[["a","b"]]}}"#.into(),
        r#"{"added_tokens":[],"model":{"type":"BPE","vocab":{"a":0,"b":1},"merges":["a b c"]}}"#.into(),
        r#"{"added_tokens":[],"model":{"type":"BPE","continuing_subword_prefix":"longer","vocab":{"a":0,"b":1,"ab":2},"merges":[["a","b"]]}}"#.into(),
        r#"{"added_tokens":[],"model":{"type":"Unigram","unk_id":9,"vocab":[["a",0.0]]}}"#.into(),
        r#"{"added_tokens":[],"model":{"type":"WordPiece","unk_token":"?","continuing_subword_prefix":"","max_input_chars_per_word":0,"vocab":{"a":0}}}"#.into(),
        "[".repeat(1 << 20),
        String::new(),
    ];
    for file in files {
        // An error, or a tokenizer whose use is an error at worst.
        if let Ok(tokenizer) = Tokenizer::from_json(file.as_bytes()) {
            tokenizer.encode_prompt("ab 한").ok();
            tokenizer.decode(&[0, 1, 2]);
        }
    }
}

#[test]
fn mutated_files_never_panic() {
    let bytes = Tokenizer::from_json(FOREIGN.as_bytes()).unwrap().to_json().unwrap().into_bytes();
    let mutants = (0..bytes.len()).step_by(7).flat_map(|at| {
        let with = |byte: u8| {
            let mut mutant = bytes.clone();
            mutant[at] = byte;
            mutant
        };
        let inserted = [&bytes[..at], b"0", &bytes[at..]].concat();
        [with(b'0'), with(b'"'), with(0xff), inserted, bytes[..at].to_vec()]
    });
    for mutant in mutants {
        if let Ok(tokenizer) = Tokenizer::from_json(&mutant) {
            tokenizer.encode("to be or not").ok();
            tokenizer.decode(&[0, 1, 2, 3, 4]);
        }
    }
}

#[test]
fn byte_level_tokens_have_readable_text() {
    let tokenizer = trained(&Kind::Bpe(258), "plain\n");
    let texts = |text: &str| -> Vec<String> {
        encode(&tokenizer, text).iter().map(|&id| tokenizer.token_text(id).unwrap().into_owned()).collect()
    };
    assert_eq!(texts("a \n"), ["a", " ", "\n"]);
    assert_eq!(texts("한"), [r"\xED", r"\x95", r"\x9C"]);
    let merged = trained(&Kind::Bpe(300), &"한국어 ".repeat(50));
    let ids = encode(&merged, "한국어");
    assert_eq!(merged.token_text(ids[0]).unwrap(), "한국어");
    assert_eq!(merged.token_text(1).unwrap(), "<eos>");
}

/// The folder with real corpora, if this machine has one.
fn data() -> Option<PathBuf> {
    let folder = std::env::var_os("RNN_ZOO_DATA").map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: RNN_ZOO_DATA does not name a folder with ptb/ and tinyshakespeare.txt");
    }
    folder
}

#[test]
fn penn_treebank_has_the_published_counts() {
    let Some(data) = data() else { return };
    let corpus = Corpus::open(&Source::Directory(data.join("ptb")), &ReadOptions::default(), 0).unwrap();
    let tokenizer = Tokenizer::train(&Kind::Word, corpus.texts(Split::Train).unwrap(), None, false).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 10_000);
    for (split, tokens) in [(Split::Train, 929_589), (Split::Valid, 73_760), (Split::Test, 82_430)] {
        let stream = crate::data::SplitTokens::encode(&corpus, split, &tokenizer).unwrap();
        assert_eq!(stream.len(), tokens, "{split}");
    }
}

#[test]
fn tiny_shakespeare_has_65_symbols() {
    let Some(data) = data() else { return };
    let source = Source::File(data.join("tinyshakespeare.txt"));
    let corpus = Corpus::open(&source, &ReadOptions::default(), 0).unwrap();
    let tokenizer = Tokenizer::train(&Kind::Char, corpus.texts(Split::All).unwrap(), None, false).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 65 + 2);
    let lengths = [Split::All, Split::Train, Split::Valid, Split::Test]
        .map(|split| crate::data::SplitTokens::encode(&corpus, split, &tokenizer).unwrap().len());
    assert_eq!(lengths[0], 1_115_394);
    assert_eq!(lengths[1..].iter().sum::<u64>(), 1_115_394);
}
