//! `rnn generate --save-state` and `--state`: saving and restoring the state of a text.

use super::generate::done_with;
use super::{Folder, TINY};

/// Assert that a run in pieces, with a pause at each of `pauses`, writes the text of one run.
fn assert_goes_on(folder: &Folder, line: &str, more: &[&str], (length, pauses): (usize, &[usize])) {
    let whole = done_with(folder, &format!("{line} --length {length} --prompt the --seed 3"), more);
    let (mut text, mut from) = (String::new(), 0);
    for &pause in pauses.iter().chain([&length]) {
        let (begun, prompt) = match from {
            0 => ("--seed 3", "--prompt the"),
            _ => ("--state s", ""),
        };
        let keep = if pause < length { "--save-state s" } else { "" };
        let piece = format!("{line} --length {} {begun} {prompt} {keep}", pause - from);
        let said = done_with(folder, &piece, more);
        text.push_str(said.strip_suffix('\n').unwrap());
        from = pause;
    }
    assert_eq!(text + "\n", whole, "{line} {more:?} with pauses at {pauses:?}");
}

#[test]
fn paused_text_continues_as_if_not_paused() {
    let folder = Folder::with_model();
    folder.done(&format!("train lstm --layer-norm --data text.txt --out normed {TINY}"));
    folder.done(&format!("train rnnlm --data text.txt --out words {TINY}"));
    let korean = "한국어는 👩‍👩‍👧 그리고 🇰🇷 글 e\u{301}te\u{301}\n";
    folder.write("korean.txt", korean.repeat(80));
    folder.done(&format!("train gru --data korean.txt --tokenizer bpe:270 --out bytes {TINY}"));
    let sampling = "--ignore-eos --temperature 1.1 --repetition-penalty 1.2 --repetition-window 30";
    for model in ["m", "normed", "words", "bytes"] {
        let line = format!("generate {model} {sampling}");
        assert_goes_on(&folder, &line, &[], (200, &[100]));
        assert_goes_on(&folder, &line, &[], (60, &[1, 2, 3, 17, 18, 40, 59]));
    }
    // A stop string that begins before the pause and ends after it.
    let line = format!("generate m {sampling}");
    let whole = folder.done(&format!("{line} --length 200 --prompt the --seed 3"));
    let stop: String = whole.chars().skip(3 + 120).take(6).collect();
    assert_eq!(
        whole.find(&stop),
        whole.char_indices().nth(3 + 120).map(|(at, _)| at),
        "comes once: {stop:?}"
    );
    for pause in [1, 100, 119, 120, 121, 122, 125] {
        assert_goes_on(&folder, &line, &["--stop", &stop, "--stop", "the cat sat"], (200, &[pause]));
    }
}

#[test]
fn saved_text_takes_a_prompt_and_a_seed() {
    let folder = Folder::with_model();
    let begun = folder.done("generate m --greedy --length 20 --prompt the --save-state s");
    let whole = format!("{}dog", begun.trim_end_matches('\n'));
    let expected = done_with(&folder, "generate m --greedy --length 20", &["--prompt", &whole]);
    let on = folder.done("generate m --greedy --length 20 --state s --prompt dog");
    assert_eq!(format!("{}{on}", begun.strip_suffix('\n').unwrap()), expected);
    // Text held back as the beginning of a stop string comes before the prompt.
    let last = begun.trim_end_matches('\n').chars().last().unwrap();
    let stop = format!("{last}~");
    let held =
        done_with(&folder, "generate m --greedy --length 20 --prompt the --save-state t", &["--stop", &stop]);
    assert_eq!(format!("{}{last}", held.strip_suffix('\n').unwrap()), begun.strip_suffix('\n').unwrap());
    assert_eq!(folder.done("generate m --greedy --length 20 --state t --prompt dog"), format!("{last}{on}"));
    // The random numbers of the file, or those of a seed.
    assert_eq!(
        folder.done("generate m --state s --length 9"),
        folder.done("generate m --state s --length 9")
    );
    let seeded = folder.done("generate m --state s --length 9 --ignore-eos --seed 2 --count 3");
    assert!(seeded.starts_with(&folder.done("generate m --state s --length 9 --ignore-eos --seed 2")));
    assert_eq!(seeded.chars().count(), 3 * 10);
    folder.refused("generate m --state s --count 3", 2, &["--count", "--seed"]);
    assert!(!folder.done("generate m --state s --beams 3 --length 5").is_empty());
}

#[test]
fn other_files_are_refused_as_saved_texts() {
    let folder = Folder::with_model();
    folder.done(&format!("train lstm --data text.txt --seed 8 --out other {TINY}"));
    folder.done("generate m --length 30 --save-state s");
    folder.refused("generate other --state s", 1, &["s: was saved by another model, a lstm", "bundle"]);
    folder.refused("generate m --state nowhere", 1, &["nowhere", "no such file"]);
    folder.refused("generate m --state text.txt", 1, &["text.txt", "is not a saved text"]);
    folder.refused("generate m --state m/model.safetensors", 1, &["m/model.safetensors", "--save-state"]);
    let bytes = folder.bytes("s");
    for length in (0..bytes.len()).step_by(bytes.len() / 12) {
        folder.write("cut", &bytes[..length]);
        folder.refused(
            "generate m --state text.txt",
            1,
            &["text.txt: is not a saved text", "generate --save-state FILE"],
        );
        folder.refused("generate m --state cut", 1, &["cut: is cut short or not a safetensors file"]);
    }
    // A file of another version, and one of a model with other sizes.
    let place = |name: &str| bytes.windows(name.len()).position(|part| part == name.as_bytes()).unwrap();
    let mut other = bytes.clone();
    let format = r#"{\"format\":"#;
    other[place(format) + format.len()] = b'7';
    folder.write("newer", &other);
    folder.refused("generate m --state newer", 1, &["newer: has format 7, but this program reads 1"]);
    let mut other = bytes.clone();
    other[place("\"shape\":[1,1,8]") + 13] = b'4'; // half the numbers, in the same place
    folder.write("odd", &other);
    folder.refused("generate m --state odd", 1, &["odd: is not a safetensors file"]);
    // A hidden state of NaN.
    let mut other = bytes.clone();
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let header: serde_json::Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let at = 8 + length + header["h"]["data_offsets"][0].as_u64().unwrap() as usize;
    other[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
    folder.write("nan", &other);
    folder.refused("generate m --state nan", 1, &["nan: tensor h has values that are NaN"]);
    // A moved model is the same model.
    std::fs::rename(folder.path("m"), folder.path("moved")).unwrap();
    assert!(!folder.done("generate moved --state s --length 5").is_empty());
}

#[test]
fn saving_overwrites_no_other_file() {
    let folder = Folder::with_model();
    folder.refused("generate m --save-state text.txt", 1, &["text.txt", "left alone"]);
    folder.refused("generate m --save-state m/model.safetensors", 1, &["model.safetensors", "left alone"]);
    folder.refused("generate m --save-state m", 1, &["m: is a folder"]);
    folder.refused("generate m --save-state no/such/s", 1, &["no/such/s", "folder does not exist"]);
    folder.done("generate m --save-state s --length 5");
    let before = folder.bytes("s");
    folder.done("generate m --save-state s --length 5");
    assert_eq!(folder.bytes("s"), before, "the same text, the same bytes");
    folder.done("generate m --state s --save-state s --length 5");
    assert_ne!(folder.bytes("s"), before);
    let names: Vec<_> =
        folder.snapshot().into_keys().filter(|path| path.to_string_lossy().contains(".rnn-")).collect();
    assert!(names.is_empty(), "{names:?}");
}

#[cfg(unix)]
#[test]
fn pipes_devices_and_huge_files_are_no_saved_texts() {
    let folder = Folder::with_model();
    let made = std::process::Command::new("mkfifo").arg(folder.path("pipe")).status().unwrap();
    assert!(made.success());
    let huge = std::fs::File::create(folder.path("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    // Not `refused`, which reads all files.
    let problem = |line: &str| {
        let output = folder.rnn(line).timeout(std::time::Duration::from_secs(30)).output().unwrap();
        assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{line}");
        String::from_utf8(output.stderr).unwrap()
    };
    for name in ["pipe", "/dev/zero", "huge"] {
        let saved = problem(&format!("generate m --length 5 --save-state {name}"));
        assert!(saved.contains(&format!("{name}: is a file of another kind and is left alone")), "{saved}");
        let expected = if name == "huge" { "has 1099511627776 bytes" } else { "is not a regular file" };
        let read = problem(&format!("generate m --length 5 --state {name}"));
        assert!(read.contains(&format!("{name}: {expected}")), "{read}");
    }
}
