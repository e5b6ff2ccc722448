//! Help, completions, manual pages, and output that nobody reads to its end.

use super::{Folder, assert_one_line};

const COMMANDS: [&str; 12] = [
    "list",
    "data",
    "train",
    "eval",
    "generate",
    "predict",
    "score",
    "plot",
    "export",
    "bench",
    "completions",
    "man",
];

#[test]
fn the_help_of_every_command_has_an_example() {
    let folder = Folder::new();
    for command in [""].iter().chain(&COMMANDS) {
        for flag in ["--help", "-h"] {
            let help = folder.done(&format!("{command} {flag}"));
            assert!(
                help.contains("Example") && help.contains(&format!("rnn {command}")),
                "{command}: {help}"
            );
        }
    }
    assert_eq!(folder.done("--version"), format!("rnn {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn help_fits_a_screen_and_groups_the_commands() {
    let folder = Folder::new();
    let help = folder.done("--help");
    assert!(help.lines().count() <= 40, "{help}");
    assert!(help.lines().all(|line| line.chars().count() <= 80), "{help}");
    let place = |text: &str| help.find(text).unwrap_or_else(|| panic!("no {text} in {help}"));
    let places =
        ["Train:", "train ", "Use:", "generate ", "Measure:", "eval ", "Ship:", "export "].map(place);
    assert!(places.is_sorted(), "{help}");
    assert_eq!(help, folder.done("-h"));
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let folder = Folder::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = folder.done(&format!("completions {shell}"));
        assert!(COMMANDS.iter().all(|command| script.contains(command)), "{shell}");
    }
    let main = folder.done("man");
    assert!(main.starts_with(".ie") || main.contains(".TH rnn"), "{main}");
    folder.done("man --out man1");
    for command in COMMANDS {
        let page = String::from_utf8(folder.bytes(&format!("man1/rnn-{command}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{page}");
    }
    folder.refused("man --out text.txt", 1, &["text.txt"]);
}

#[test]
fn commands_that_do_not_exist_are_usage_errors() {
    let folder = Folder::new();
    for (line, mention) in [("trian lstm", "train"), ("list --jsno", "--json"), ("completions tcsh", "zsh")] {
        folder.refused(line, 2, &[mention]);
    }
    folder.rnn("").assert().code(2);
}

#[test]
fn bench_times_what_users_get() {
    let folder = Folder::new();
    for (line, keys) in [
        (
            "layer --model lstm --batch 2 --time 3",
            vec!["forward_ms", "train_ms", "forward_gflops", "train_gflops"],
        ),
        ("step --model gru", vec!["step_us"]),
        ("lm --model simple-rnn --vocab 11 --batch 2 --time 3", vec!["step_ms", "tokens_per_second"]),
    ] {
        let found = folder.done(&format!("bench {line} --hidden 4 --repeat 1 --json"));
        let found: serde_json::Value = serde_json::from_str(&found).unwrap();
        assert!(keys.iter().all(|key| found[key].as_f64().unwrap() > 0.), "{line}: {found}");
    }
    for flag in ["--batch", "--time", "--hidden", "--layers", "--vocab", "--repeat"] {
        folder.refused(&format!("bench lm --model lstm {flag} 0"), 2, &[flag]);
    }
    folder.refused("bench step --model lstm --repeat 2000000000000000000", 2, &["--repeat", "100000"]);
    folder.refused("bench layer --model lstm --layers 5000", 2, &["--layers", "1 to 1000"]);
    for (quantity, flag) in
        [("step", "--batch"), ("step", "--vocab"), ("layer", "--embedding"), ("lm", "--input")]
    {
        folder.refused(&format!("bench {quantity} --model lstm {flag} 3"), 2, &[flag]);
    }
}

/// A shell's `PROGRAM | true` and `PROGRAM > /dev/full`.
#[cfg(target_os = "linux")]
#[test]
fn a_reader_that_goes_away_is_no_error_and_a_full_device_is_one() {
    let folder = Folder::with_model();
    let program = assert_cmd::cargo::cargo_bin!("rnn").display().to_string();
    let shell = |script: String| {
        let mut shell = std::process::Command::new("sh");
        shell.current_dir(folder.path(".")).args(["-c", &script]).output().unwrap()
    };
    for line in [
        "list",
        "list --json",
        "man",
        "completions bash",
        "eval m --data text.txt --split all",
        "eval m --data text.txt --split all --json",
        "generate m --length 2000",
        "score m text.txt",
        "score m text.txt --json --tokens",
        "bench step --model gru --hidden 4 --repeat 1",
    ] {
        // The reader is gone before the first byte.
        let gone = shell(format!("{{ sleep 0.2; '{program}' {line}; echo \"code $?\" >&2; }} | true"));
        assert_eq!(String::from_utf8_lossy(&gone.stderr), "code 0\n", "{line}");
        let full = shell(format!("exec '{program}' {line} > /dev/full"));
        assert_one_line(&full, 1, &["standard output: cannot be written: no space is left"], line);
    }
}
