//! `rnn generate`.

use std::collections::HashSet;

use rnn_zoo::tokenizer::character;

use super::{Folder, TINY, text, written};

#[test]
fn the_seed_decides_the_text() {
    let folder = Folder::with_model();
    let write = |more: &str| folder.done(&format!("generate m --length 60 {more}"));
    assert_eq!(write("--seed 5"), write("--seed 5"));
    assert_ne!(write("--seed 5"), write("--seed 6"));
    assert_eq!(write("--seed 1"), write(""));
}

#[test]
fn the_likeliest_token_needs_no_seed() {
    let folder = Folder::with_model();
    let write = |more: &str| folder.done(&format!("generate m --length 60 {more}"));
    let greedy = write("--greedy");
    for same in
        ["--greedy --seed 9", "--top-k 1 --seed 2", "--temperature 0 --seed 3", "--top-p 1e-9 --seed 4"]
    {
        assert_eq!(write(same), greedy, "{same}");
    }
    assert_ne!(write("--temperature 2"), greedy);
}

#[test]
fn several_texts_are_written_one_below_the_other() {
    let folder = Folder::with_model();
    let one = folder.done("generate m --ignore-eos --length 30 --prompt the");
    let three = folder.done("generate m --ignore-eos --length 30 --prompt the --count 3");
    assert_eq!(three.chars().count(), 3 * (3 + 30 + 1));
    assert!(three.starts_with(&one) && !three.ends_with(&one));
    assert_eq!(folder.done("generate m --length 0 --prompt the"), "the\n");
}

#[test]
fn a_prompt_may_be_long_and_come_from_standard_input() {
    let folder = Folder::with_model();
    let prompt: String = text().chars().cycle().take(10_000).collect();
    let said = written(
        &folder.rnn("generate m --ignore-eos --length 7 --prompt").arg(&prompt).output().unwrap(),
        "",
    );
    assert!(said.starts_with(&prompt));
    assert_eq!(said.chars().count(), 10_000 + 7 + 1);
    let piped =
        folder.rnn("generate m --ignore-eos --length 7 --prompt -").write_stdin(prompt).output().unwrap();
    assert_eq!(written(&piped, ""), said);
}

#[test]
fn a_prompt_is_read_before_anything_is_written() {
    let folder = Folder::new();
    folder.write("ab.txt", "ab".repeat(600) + "\n");
    folder.done(
        "train gru --data ab.txt --hidden 12 --embedding 4 --batch-size 4 --bptt 16 --lr 0.03 --epochs 6 --out m",
    );
    for (prompt, expected) in [("a", "abababa\n"), ("b", "bababab\n"), ("abab", "ababababab\n")] {
        assert_eq!(folder.done(&format!("generate m --greedy --length 6 --prompt {prompt}")), expected);
    }
}

#[test]
fn a_text_ends_where_the_model_says_so() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"text\": \"abc\"}\n".repeat(300));
    folder.done(
        "train lstm --data a.jsonl --hidden 12 --embedding 4 --batch-size 4 --bptt 8 --lr 0.03 --epochs 4 --out m",
    );
    assert_eq!(folder.done("generate m --greedy --length 50"), "abc\n");
    assert_eq!(folder.done("generate m --greedy --length 2"), "ab\n");
    assert!(folder.done("generate m --greedy --length 50 --ignore-eos").len() > 30);
}

#[test]
fn words_and_characters_of_every_script_come_back_whole() {
    let folder = Folder::new();
    // Korean syllables and the same in conjoining jamo, a family of emoji, a flag, combining marks.
    let line = "한국어는 \u{1112}\u{1161}\u{11ab}글 👩‍👩‍👧 그리고 🇰🇷 e\u{301}te\u{301} n\u{303}\n";
    folder.write("korean.txt", line.repeat(80));
    folder.done(&format!("train lstm --data korean.txt --tokenizer char --out m {TINY}"));
    let known: HashSet<&str> = character::split(line).collect();
    let prompt = "한국어는 👩‍👩‍👧 🇰🇷 e\u{301}";
    let output = folder.rnn("generate m --ignore-eos --length 100 --prompt").arg(prompt).output().unwrap();
    assert!(output.stderr.is_empty(), "every character is known");
    let said = written(&output, "");
    assert!(said.starts_with(prompt), "{said}");
    let strange = character::split(&said).find(|character| !known.contains(character));
    assert_eq!(strange, None, "{said}");
    assert_eq!(character::split(&said).count(), character::split(prompt).count() + 100 + 1);

    folder.done(&format!("train rnnlm --data korean.txt --out words {TINY}"));
    let output = folder.rnn("generate words --length 5 --prompt").arg("한국어는 그리고").output().unwrap();
    assert!(written(&output, "").starts_with("한국어는 그리고 "));
}

#[test]
fn what_a_model_does_not_know_is_said_and_never_written() {
    let folder = Folder::with_model();
    let output = folder.rnn("generate m --length 40 --prompt").arg("the Q").output().unwrap();
    let said = written(&output, "");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains('Q') && notes.lines().count() == 1, "{notes}");
    assert!(!said.contains("<unk>") && said.starts_with("the "), "{said}");
}
