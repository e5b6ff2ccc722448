//! The flags of every command, read from its help, and values for them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

use crate::Result;

/// Commands whose flags are drawn at random.
pub const COMMANDS: &[&str] = &[
    "list",
    "data",
    "train",
    "eval",
    "generate",
    "predict",
    "score",
    "plot",
    "export",
    "completions",
    "man",
    "bench layer",
    "bench step",
    "bench lm",
];

/// Flags whose value is the amount of work that is asked for. A run with a huge one may take its time.
const AMOUNTS: &[&str] = &[
    "--hidden",
    "--layers",
    "--embedding",
    "--projection",
    "--length",
    "--count",
    "--beams",
    "--batch-size",
    "--batch",
    "--time",
    "--input",
    "--vocab",
    "--repeat",
    "--bptt",
    "--epochs",
    "--max-steps",
    "--accumulate",
    "--dynamic-segment",
    "--top-k",
    "--cache",
    "--threads",
    "--horizon",
    "--window",
    "--segment",
    "--season",
];

/// Flags that name something to write. Devices and parent folders are no values for them: the fuzzer may run as root.
const OUTPUTS: &[&str] = &["--out", "--tensorboard", "--save-state"];

const INTEGERS: &[&str] =
    &["0", "-1", "1.5", "NaN", "", "x", "\u{661}", " 3", "+3", "0x10", "1e3", "99999999999999999999999"];
const HUGE: &[&str] = &["65536", "2147483648", "4294967296", "9223372036854775807", "18446744073709551615"];
const REALS: &[&str] = &[
    "0", "1", "0.5", "0.999", "-0.5", "-0", "NaN", "inf", "-inf", "1e308", "1e-320", "1e309", "1e30", "",
    "x", "0,5", "0.9,0.99",
];
const TEXTS: &[&str] = &[
    "",
    " ",
    "the cat",
    "한국어",
    "\u{1f980}",
    "%s%n",
    "-",
    "--",
    "nope",
    "a:b",
    "a=b",
    "/dev/null",
    ".",
    "/nonexistent/x",
    "\u{202e}x",
    "\t\n",
    "bpe:0",
    "bpe:99999999999",
    "ema:1",
    "hf://x/y",
    "builtin:",
    "builtin:copy",
    "story.txt",
    "table.csv",
    "swa:0.5",
    "nt-asgd:0",
    "text",
    "label",
    "chars",
    "epoch",
    "1-2",
    "\u{feff}",
    "cosine",
    "step",
    "all",
    "test",
    "date",
    "sales",
    "shop",
    "a,b",
    "0.1,0.9",
    "en",
    "de",
    "question",
    "parallel",
    "signals.ts",
];
const PLACES: &[&str] = &[
    "out",
    "new/folder/out",
    "",
    ".",
    "chars",
    "story.txt",
    "story.txt/x",
    "한국어",
    "-dash",
    "out.png",
    "out/",
];

/// A flag of a command.
#[derive(Clone, Debug)]
struct Flag {
    name: String,
    /// Name of its value in the help. `None` for a switch.
    value: Option<String>,
    /// Values that the help lists.
    choices: Vec<String>,
}

/// The flags of all commands.
pub struct Manual(BTreeMap<&'static str, Vec<Flag>>);

impl Manual {
    /// Reads the help of all commands.
    pub fn read(rnn: &Path) -> Result<Self> {
        let mut manual = BTreeMap::new();
        for &command in COMMANDS {
            let help = Command::new(rnn).args(command.split(' ')).arg("--help").output()?.stdout;
            manual.insert(command, flags(&String::from_utf8_lossy(&help)));
        }
        match manual["train"].len() {
            0..30 => Err("the help of `rnn train` lists fewer than 30 flags".into()),
            _ => Ok(Self(manual)),
        }
    }

    /// Draws a flag of `command`, with a value where it takes one.
    pub fn draw(&self, command: &str, rng: &mut ChaCha8Rng) -> Vec<String> {
        let Some(flags) = self.0.get(command).filter(|flags| !flags.is_empty()) else { return vec![] };
        let flag = &flags[rng.random_range(0..flags.len())];
        match &flag.value {
            None if rng.random_bool(0.1) => vec![format!("{}={}", flag.name, text(rng))],
            None => vec![flag.name.clone()],
            Some(_) if rng.random_bool(0.03) => vec![flag.name.clone()],
            Some(kind) => {
                let value = value(flag, kind, rng);
                match rng.random_bool(0.5) {
                    true => vec![format!("{}={value}", flag.name)],
                    false => vec![flag.name.clone(), value],
                }
            }
        }
    }

    /// The name of a flag of `train`, without its dashes.
    pub fn setting(&self, rng: &mut ChaCha8Rng) -> &str {
        let flags = &self.0["train"];
        flags[rng.random_range(0..flags.len())].name.trim_start_matches('-')
    }
}

/// Whether the arguments ask for more work than the limits allow.
pub fn asks_for_much(arguments: &[String]) -> bool {
    let values = arguments.windows(2).map(|pair| (pair[0].as_str(), pair[1].as_str()));
    let joined = arguments.iter().filter_map(|argument| argument.split_once('='));
    let much =
        |value: &str| value.parse::<f64>().is_ok_and(|value| value > 1000.) || value.starts_with("bpe:");
    values
        .chain(joined)
        .any(|(flag, value)| (AMOUNTS.contains(&flag) || flag == "--tokenizer") && much(value))
}

/// A string that few programs expect.
pub fn text(rng: &mut ChaCha8Rng) -> String {
    match rng.random_bool(0.03) {
        true => "long ".repeat(4000),
        false => pick(TEXTS, rng).to_string(),
    }
}

/// An element of `all`.
pub fn pick<'a, T: ?Sized>(all: &[&'a T], rng: &mut ChaCha8Rng) -> &'a T {
    all[rng.random_range(0..all.len())]
}

fn value(flag: &Flag, kind: &str, rng: &mut ChaCha8Rng) -> String {
    if OUTPUTS.contains(&flag.name.as_str()) {
        return pick(PLACES, rng).to_string();
    }
    if !flag.choices.is_empty() && rng.random_bool(0.8) {
        return flag.choices[rng.random_range(0..flag.choices.len())].clone();
    }
    let integer = |rng: &mut ChaCha8Rng| match rng.random_range(0..20) {
        0..16 => rng.random_range(1..9).to_string(),
        16..19 => pick(INTEGERS, rng).to_string(),
        _ => pick(HUGE, rng).to_string(),
    };
    match kind {
        _ if rng.random_bool(0.05) => text(rng),
        "N" => integer(rng),
        "X" | "P" | "X,Y" if rng.random_bool(0.7) => format!("0.{}", rng.random_range(1..10)),
        "X" | "P" | "X,Y" => pick(REALS, rng).to_string(),
        "N|epoch" if rng.random_bool(0.7) => integer(rng),
        _ => text(rng),
    }
}

/// Reads the flags in a help text.
fn flags(help: &str) -> Vec<Flag> {
    let mut flags: Vec<Flag> = vec![];
    for line in help.lines() {
        let line = line.trim_start();
        if let Some(start) = line.find("--").filter(|&start| start == 0 || line.starts_with("-")) {
            let words = line[start..].split("  ").next().unwrap_or_default();
            let end = words.find(['=', ' ', '[', '<']).unwrap_or(words.len());
            let (name, rest) = words.split_at(end);
            let value = rest.trim_start().strip_prefix('<').and_then(|rest| rest.split_once('>'));
            let known = ["--help", "--version", "--"].contains(&name);
            if !known {
                let value = value.map(|(value, _)| value.to_string());
                flags.push(Flag { name: name.to_string(), value, choices: vec![] });
            }
        } else if let (Some(item), Some(flag)) = (line.strip_prefix("- "), flags.last_mut()) {
            flag.choices.extend(item.split_once(':').map(|(choice, _)| choice.to_string()));
        }
    }
    flags
}
