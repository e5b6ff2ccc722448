//! `rnn generate`.

use std::collections::HashSet;
use std::io::BufRead;

use rnn_zoo::tokenizer::character;
use serde_json::Value;

use super::{Folder, TINY, text, written};

#[test]
fn seed_decides_the_text() {
    let folder = Folder::with_model();
    let write = |more: &str| folder.done(&format!("generate m --length 60 {more}"));
    assert_eq!(write("--seed 5"), write("--seed 5"));
    assert_ne!(write("--seed 5"), write("--seed 6"));
    assert_eq!(write("--seed 1"), write(""));
}

#[test]
fn greedy_text_needs_no_seed() {
    let folder = Folder::with_model();
    let write = |more: &str| folder.done(&format!("generate m --length 60 {more}"));
    let greedy = write("--greedy");
    for same in ["--top-k 1 --seed 2", "--temperature 0 --seed 3", "--top-p 1e-9 --seed 4"] {
        assert_eq!(write(same), greedy, "{same}");
    }
    assert_ne!(write("--temperature 2"), greedy);
}

#[test]
fn several_texts_are_separated_by_newlines() {
    let folder = Folder::with_model();
    let one = folder.done("generate m --ignore-eos --length 30 --prompt the");
    let three = folder.done("generate m --ignore-eos --length 30 --prompt the --count 3");
    assert_eq!(three.chars().count(), 3 * (3 + 30 + 1));
    assert!(three.starts_with(&one) && !three.ends_with(&one));
    assert_eq!(folder.done("generate m --length 0 --prompt the"), "the\n");
}

#[test]
fn prompt_may_be_long_and_come_from_standard_input() {
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
fn prompt_is_read_before_anything_is_written() {
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
fn records_end_at_the_end_token() {
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
fn unknown_token_is_reported_and_never_written() {
    let folder = Folder::with_model();
    let output = folder.rnn("generate m --length 40 --prompt").arg("the Q").output().unwrap();
    let said = written(&output, "");
    let notes = String::from_utf8(output.stderr).unwrap();
    assert!(notes.contains('Q') && notes.lines().count() == 1, "{notes}");
    assert!(!said.contains("<unk>") && said.starts_with("the "), "{said}");
}

#[test]
fn unknown_characters_are_one_warning() {
    let folder = Folder::with_model();
    folder.write("prompts.txt", "the Q\nZ and Q\nthe X\n");
    let output = folder.rnn("generate m --length 4 --prompts prompts.txt").output().unwrap();
    let warned = String::from_utf8(output.stderr).unwrap();
    assert_eq!(warned, "`Q`, `Z`, `X` are not in the vocabulary; they are <unk> here\n");
}

#[test]
fn prompt_is_read_in_the_unicode_form_of_the_model() {
    let folder = Folder::new();
    folder.write("korean.txt", "한국어는 그리고 été\n".repeat(80));
    folder.done(&format!("train lstm --data korean.txt --out m {TINY}"));
    let (composed, decomposed) = ("한국 é", "\u{1112}\u{1161}\u{11ab}\u{1100}\u{116e}\u{11a8} e\u{301}");
    let line = "generate m --ignore-eos --length 20 --json --prompt";
    let mut expected = objects(&done_with(&folder, line, &[composed]));
    let output = folder.rnn(line).arg(decomposed).output().unwrap();
    let warned = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(warned, "the prompt is read in Unicode form NFC, which the model knows\n");
    expected[0]["prompt"] = decomposed.into();
    assert_eq!(objects(&written(&output, line)), expected);
}

#[test]
fn running_text_has_no_end_token() {
    let folder = Folder::new();
    let lines = "over cat red dog.\nand then house on dog then.\nhouse tree there.\n\
                 the and red mat over dog big the the.\nwas the house.\non tree the it mat and then was.\n";
    folder.write("plain.txt", lines.repeat(40));
    folder.done(&format!("train lstm --data plain.txt --out char {TINY}"));
    folder.done(&format!("train gru --data plain.txt --tokenizer bpe:260 --out bytes {TINY}"));
    for (model, flags) in [("char", ""), ("char", "--ignore-eos"), ("bytes", ""), ("char", "--beams 2")] {
        for seed in (1..=6).map(|seed| format!("--seed {seed}")) {
            let seed = if flags.contains("beams") { "" } else { &seed };
            let line = format!("generate {model} --length 300 --json {flags} {seed}");
            let object = &objects(&folder.done(&line))[0];
            assert_eq!(object["finish_reason"], "length", "{line}");
            let tokens = object["token_ids"].as_array().unwrap();
            assert!(tokens.len() == 300 && !tokens.contains(&1.into()), "{line}: <eos> in {tokens:?}");
        }
    }
}

/// One JSON object a line.
fn objects(output: &str) -> Vec<Value> {
    output.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Run `rnn` with further arguments, which may contain spaces.
pub(super) fn done_with(folder: &Folder, line: &str, more: &[&str]) -> String {
    written(&folder.rnn(line).args(more).output().unwrap(), line)
}

#[test]
fn stop_string_is_never_written() {
    let folder = Folder::with_model();
    let whole = folder.done("generate m --length 80 --ignore-eos");
    let at = |from: usize| whole.chars().skip(from).take(3).collect::<String>();
    let (early, late) = (at(20), at(50));
    let cut = |stop: &str| &whole[..whole.find(stop).unwrap()];
    let write = |more: &[&str]| done_with(&folder, "generate m --length 80 --ignore-eos", more);
    assert_eq!(write(&["--stop", &late]), format!("{}\n", cut(&late)));
    assert_eq!(write(&["--stop", &late, "--stop", &early, "--stop", "never"]), format!("{}\n", cut(&early)));
    assert_eq!(write(&["--stop", "never"]), whole);
    let object = &objects(&write(&["--stop", &early, "--json"]))[0];
    assert_eq!(
        (object["text"].as_str(), object["finish_reason"].as_str()),
        (Some(cut(&early)), Some("stop"))
    );
    let beams = done_with(&folder, "generate m --length 80 --beams 3 --json", &["--stop", "a"]);
    assert!(objects(&beams).iter().all(|object| !object["text"].as_str().unwrap().contains('a')));
}

#[test]
fn prompts_side_by_side_give_the_texts_that_they_give_alone() {
    let folder = Folder::with_model();
    // More than are written at once, of several lengths, one of them empty.
    let lines = ["the cat", "", "t", "horse by the road saw", "of us"];
    let prompts: Vec<&str> = lines.iter().copied().cycle().take(68).collect();
    folder.write("prompts.txt", prompts.join("\n"));
    let flags = "--length 40 --top-p 0.95 --repetition-penalty 1.1 --count 2 --seed 4";
    let line = format!("generate m {flags}");
    let alone = lines.map(|prompt| done_with(&folder, &line, &["--prompt", prompt]));
    let texts: Vec<&str> = (0..68).map(|at| alone[at % lines.len()].as_str()).collect();
    let expected = texts.join("\n"); // an empty line between prompts
    let together = folder.done(&format!("{line} --prompts prompts.txt"));
    assert_eq!(together, expected);
    let behind = |at: usize| alone[at].lines().next().unwrap().strip_prefix(lines[at]).unwrap().to_string();
    assert_ne!(behind(2), behind(4), "prompts have their own random numbers");
    let piped =
        folder.rnn(&format!("{line} --prompts -")).write_stdin(prompts.join("\r\n")).output().unwrap();
    assert_eq!(written(&piped, ""), expected);
    let objects = objects(&folder.done(&format!("{line} --prompts prompts.txt --json")));
    assert_eq!(objects.len(), 2 * 68);
    let shown: String = objects
        .iter()
        .map(|object| format!("{}{}\n", object["prompt"].as_str().unwrap(), object["text"].as_str().unwrap()))
        .collect();
    assert_eq!(shown, texts.concat());
    for object in &objects {
        assert_eq!(object["token_ids"].as_array().unwrap().len() as u64, object["tokens"].as_u64().unwrap());
        assert!(object["logprob"].as_f64().unwrap() < 0.);
        let whole = object["tokens"] == 40;
        assert_eq!(object["finish_reason"], if whole { "length" } else { "eos" });
    }
    // Beams too, one prompt after another.
    let line = "generate m --length 12 --beams 3 --count 2";
    let alone = lines.map(|prompt| done_with(&folder, line, &["--prompt", prompt]));
    folder.write("prompts.txt", lines.join("\n") + "\n");
    assert_eq!(folder.done(&format!("{line} --prompts prompts.txt")), alone.join("\n"));
}

#[test]
fn unreadable_prompts_are_an_error() {
    let folder = Folder::with_model();
    folder.write("empty.txt", "");
    folder.write("binary.txt", [0xff, 0xfe, 0x00]);
    folder.refused("generate m --prompts empty.txt", 2, &["--prompts", "empty.txt", "a prompt a line"]);
    folder.refused("generate m --prompts binary.txt", 1, &["binary.txt", "name the encoding"]);
    folder.refused("generate m --prompts nowhere.txt", 1, &["nowhere.txt", "no such file"]);
}

#[test]
fn numbers_that_cannot_be_read_say_what_is_expected() {
    let folder = Folder::new();
    for (flag, value, expected) in [
        ("--length", "ten", "expected a whole number of at least 0"),
        ("--length", "-3", "expected a whole number of at least 0"),
        ("--top-k", "1.5", "expected a whole number of at least 0"),
        ("--top-p", "half", "expected a finite number"),
        ("--temperature", "nan", "expected a finite number"),
        ("--seed", "one", "expected a whole number from 0 to"),
        ("--beams", "two", "expected a whole number of at least 0"),
    ] {
        let output = folder.rnn(&format!("generate m {flag}={value}")).output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(2) && told.contains(expected), "{flag} {value}: {told}");
        assert!(!told.contains("invalid digit") && !told.contains("invalid float"), "{told}");
    }
}

#[test]
fn empty_standard_input_is_named() {
    let folder = Folder::with_model();
    let output = folder.rnn("generate m --prompts -").write_stdin("").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(told.contains("--prompts: standard input is empty; expected a prompt a line"), "{told}");
}

#[cfg(unix)]
#[test]
fn endless_prompts_are_refused() {
    let folder = Folder::with_model();
    let output = folder.rnn("generate m --prompts /dev/zero").output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(told.contains("/dev/zero: cannot be read as text: it has more than"), "{told}");
}

#[test]
fn line_ends_of_a_prompt_change_no_text() {
    let folder = Folder::with_model();
    folder.done(&format!("train rnnlm --data text.txt --out words {TINY}"));
    for model in ["m", "words"] {
        let line = format!("generate {model} --length 20 --prompt");
        let expected = done_with(&folder, &line, &["the cat\nus"]);
        for prompt in ["the cat\r\nus", "the cat\rus"] {
            let output = folder.rnn(&line).arg(prompt).output().unwrap();
            assert!(output.stderr.is_empty(), "{model}: every character is known");
            assert_eq!(written(&output, &line), expected, "{model}: {prompt:?}");
        }
    }
}

#[test]
fn finish_reason_says_how_a_text_ended() {
    let folder = Folder::new();
    folder.write("a.jsonl", "{\"text\": \"abc\"}\n".repeat(300));
    folder.done(
        "train lstm --data a.jsonl --hidden 12 --embedding 4 --batch-size 4 --bptt 8 --lr 0.03 --epochs 4 --out m",
    );
    for flags in ["--greedy", "--beams 1", "--beams 4"] {
        let object = &objects(&folder.done(&format!("generate m {flags} --length 50 --json")))[0];
        assert_eq!((&object["text"], &object["finish_reason"]), (&"abc".into(), &"eos".into()), "{flags}");
        assert_eq!((&object["tokens"], &object["prompt"]), (&3.into(), &"".into()), "{flags}");
        let cut = &objects(&folder.done(&format!("generate m {flags} --length 2 --json")))[0];
        assert_eq!((&cut["text"], &cut["finish_reason"]), (&"ab".into(), &"length".into()), "{flags}");
        assert!(cut["logprob"].as_f64().unwrap() > object["logprob"].as_f64().unwrap(), "{flags}");
    }
}

#[test]
fn beams_are_sorted_and_reproducible() {
    let folder = Folder::with_model();
    let greedy = folder.done("generate m --greedy --length 30 --prompt the");
    assert_eq!(folder.done("generate m --beams 1 --length 30 --prompt the"), greedy);
    let line = "generate m --beams 6 --count 4 --length 30 --prompt the";
    let texts = folder.done(line);
    assert_eq!(folder.done(line), texts);
    let objects = objects(&folder.done(&format!("{line} --json")));
    assert_eq!(objects.len(), 4);
    let scores: Vec<f64> = objects.iter().map(|object| object["score"].as_f64().unwrap()).collect();
    assert!(scores.is_sorted_by(|a, b| a >= b), "{scores:?}");
    let shown: String =
        objects.iter().map(|object| format!("the{}\n", object["text"].as_str().unwrap())).collect();
    assert_eq!(shown, texts);
    // Beams far beyond the vocabulary.
    let line = "generate m --beams 300 --count 300 --length 3 --ignore-eos --json";
    let found: HashSet<String> = folder.done(line).lines().map(str::to_string).collect();
    assert_eq!(found.len(), 300);
}

#[test]
fn repetition_penalty_changes_the_text() {
    let folder = Folder::with_model();
    let greedy = folder.done("generate m --greedy --length 60");
    assert_eq!(folder.done("generate m --greedy --length 60 --repetition-penalty 1"), greedy);
    let penalised = folder.done("generate m --greedy --length 60 --repetition-penalty 3");
    assert_ne!(penalised, greedy);
    let distinct = |text: &str| text.chars().collect::<HashSet<_>>().len();
    assert!(distinct(&penalised) > distinct(&greedy), "{penalised}\n{greedy}");
    let windowed =
        folder.done("generate m --greedy --length 60 --repetition-penalty 3 --repetition-window 2");
    assert!(windowed != penalised && windowed != greedy);
    assert_eq!(
        folder.done("generate m --greedy --length 60 --repetition-penalty 3 --repetition-window 60"),
        penalised
    );
}

#[test]
fn nan_scores_are_an_error() {
    let folder = Folder::with_model();
    let mut weights = folder.bytes("m/model.safetensors");
    let header = u64::from_le_bytes(weights[..8].try_into().unwrap()) as usize;
    // Finite parameters, or they would be refused at load; their products are not.
    weights[8 + header..]
        .chunks_exact_mut(4)
        .for_each(|number| number.copy_from_slice(&f32::MAX.to_le_bytes()));
    folder.write("m/model.safetensors", weights);
    folder.write("prompts.txt", "the\ncat\n");
    for line in ["generate m --beams 3", "generate m --beams 3 --prompts prompts.txt --json"] {
        folder.refused(line, 1, &["the model leaves no token to write", "train it anew"]);
    }
}

#[test]
fn any_number_of_texts_is_written_in_constant_memory() {
    let folder = Folder::with_model();
    let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("rnn"));
    let line = "generate m --count 100000000000 --length 3 --ignore-eos --json";
    command.current_dir(folder.path(".")).args(line.split(' ')).stdout(std::process::Stdio::piped());
    let mut program = command.spawn().unwrap();
    let mut lines = std::io::BufReader::new(program.stdout.take().unwrap()).lines();
    // A text after the first 64, and no failed allocation.
    assert!(lines.nth(64).unwrap().unwrap().starts_with('{'));
    program.kill().unwrap();
    program.wait().unwrap();
}

#[test]
fn last_line_end_of_standard_input_is_no_part_of_the_prompt() {
    let folder = Folder::with_model();
    let line = "generate m --ignore-eos --length 7 --json --prompt -";
    let said = |prompt: &str| written(&folder.rnn(line).write_stdin(prompt).output().unwrap(), line);
    for end in ["\n", "\r\n", "\r"] {
        assert_eq!(said(&format!("the cat{end}")), said("the cat"), "{end:?}");
        assert_eq!(said(&format!("the cat{end}saw{end}{end}")), said("the cat\nsaw\n\n"), "{end:?}");
    }
    assert!(said("the\n\n").contains("\"prompt\":\"the\\n\""), "{}", said("the\n\n"));
}

#[test]
fn encoding_of_prompts_is_detected() {
    let folder = Folder::new();
    let prompts = "한국어는 아름다운 언어이다\n그리고 오늘은 날씨가 좋다\n";
    folder.write("korean.txt", prompts.repeat(60));
    folder.done(&format!("train lstm --data korean.txt --out m {TINY}"));
    let prompts = prompts.repeat(8);
    folder.write("utf8.txt", &prompts);
    folder.write("euckr.txt", encoding_rs::EUC_KR.encode(&prompts).0);
    let run = |name: &str| folder.rnn(&format!("generate m --length 5 --prompts {name}")).output().unwrap();
    assert_eq!(written(&run("euckr.txt"), "euckr"), written(&run("utf8.txt"), "utf8"));
    let notes = String::from_utf8(run("euckr.txt").stderr).unwrap();
    assert!(notes.contains("euckr.txt: is not UTF-8; read as EUC-KR"), "{notes}");
}
