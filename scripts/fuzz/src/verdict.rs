//! The failures of a run.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::Result;
use crate::case::{Case, files};
use crate::process::{MEMORY, Run};
use crate::seeds::Seeds;

/// Longest error message, in bytes. Messages cut their lists.
const LONGEST_ERROR: usize = 1500;

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// A panic, whether or not it ended the run.
    Panic,
    /// A signal, but for those of the limits.
    Signal,
    /// More processor time or output than allowed, or no end.
    Hang,
    /// More memory than allowed.
    Memory,
    /// An exit code other than 0, 1 and 2.
    ExitCode,
    /// An error that is not one short line.
    Message,
    /// NaN or infinity as a result, or invalid JSON, with exit code 0.
    Answer,
    /// A temporary file that stays or is named in a message.
    Leak,
    /// A bundle that a failed command has damaged.
    Damage,
}

impl Kind {
    /// All kinds, and their names in the summary.
    pub const ALL: [(Self, &'static str); 9] = [
        (Self::Panic, "panics"),
        (Self::Signal, "signals"),
        (Self::Hang, "hangs"),
        (Self::Memory, "over 2 GB"),
        (Self::ExitCode, "exit codes"),
        (Self::Message, "messages"),
        (Self::Answer, "answers"),
        (Self::Leak, "leaks"),
        (Self::Damage, "damaged bundles"),
    ];
}

/// A failure and its description, from which numbers and names of files are removed to tell failures apart.
pub type Failure = (Kind, String);

/// Return the failures of a run. `place` is the folder it ran in, `kept` a copy from before.
pub fn judge(case: &Case, run: &Run, place: &Path, kept: &Path, seeds: &Seeds) -> Result<Vec<Failure>> {
    let mut failures = vec![];
    let panic = run.stderr.lines().position(|line| line.contains("panicked at"));
    if let Some(line) = panic {
        failures.push((Kind::Panic, run.stderr.lines().skip(line).take(2).collect::<Vec<_>>().join(" ")));
    }
    let allocation = run.stderr.lines().find(|line| line.contains("memory allocation of"));
    if run.memory > MEMORY || allocation.is_some() {
        let what = allocation.map_or_else(|| "resident memory beyond 2 GB".to_string(), str::to_string);
        failures.push((Kind::Memory, what));
    } else if run.is_hang() {
        if !case.asks_for_much && !trains(&run.stderr) {
            failures.push((Kind::Hang, "no end within the limits of time and output".to_string()));
        }
    } else if let Some(signal) = run.status.signal() {
        failures.push((Kind::Signal, format!("signal {signal}: {}", last_line(&run.stderr))));
    } else {
        failures.extend(ended(case, run, panic.is_some()));
        failures.extend(leak(run, place)?);
        failures.extend(damage(case, run, place, kept, seeds)?);
    }
    Ok(failures)
}

/// Whether a run was taking training steps: a mutated recipe without a length trains a whole default model.
fn trains(stderr: &str) -> bool {
    last_line(stderr).starts_with("step ")
}

/// Failures of a run that ended by itself.
fn ended(case: &Case, run: &Run, panicked: bool) -> Option<Failure> {
    match run.status.code() {
        Some(0) => answer(case, &run.stdout).map(|problem| (Kind::Answer, problem)),
        Some(1 | 2) if panicked => None,
        Some(1 | 2) => message(&run.stderr).map(|problem| (Kind::Message, problem)),
        code => Some((Kind::ExitCode, format!("exit code {code:?}: {}", last_line(&run.stderr)))),
    }
}

/// Return the fault of the error message of a failed run, if it has one.
fn message(stderr: &str) -> Option<String> {
    let error = stderr.lines().position(|line| line.starts_with("rnn: "));
    let Some(error) = error else { return Some(format!("no error message: {}", last_line(stderr))) };
    let lines: Vec<_> = stderr.lines().skip(error).collect();
    if lines.len() > 1 {
        return Some(format!("error of {} lines: {}", lines.len(), lines[0]));
    }
    // Long because of what the user has typed.
    let quoted = lines[0].contains("long long long");
    (lines[0].len() > LONGEST_ERROR && !quoted).then(|| format!("long error: {}", cut(lines[0], 300)))
}

/// Return the fault of the answer of a run that succeeded, if it has one.
fn answer(case: &Case, stdout: &str) -> Option<String> {
    let number = |word: &str| {
        let word = word.trim_matches(|c: char| !c.is_ascii_alphabetic()).to_ascii_lowercase();
        ["nan", "inf", "infinity"].contains(&word.as_str())
    };
    let has = |flag: &str| case.arguments.iter().any(|argument| argument == flag);
    let command = case.command.as_str();
    if has("--json") && !has("--help") && !["train", "data"].contains(&command) {
        return stdout.lines().find_map(|line| {
            let Ok(object) = serde_json::from_str::<Value>(line) else {
                // `list` prints one document over many lines.
                let whole = serde_json::from_str::<Value>(stdout).is_ok();
                return (!whole).then(|| format!("invalid JSON: {}", cut(line, 200)));
            };
            let names = ["loss", "perplexity", "bits", "accuracy", "logprob", "probability", "mean"];
            let lost = |name: &&str| object.get(name).is_some_and(Value::is_null);
            names.iter().find(|name| lost(name)).map(|name| format!("{name} is null"))
        });
    }
    let results = match command {
        "eval" => stdout.to_string(),
        "predict" => String::new(),
        "score" => stdout.lines().filter_map(|line| line.split('\t').next()).collect::<Vec<_>>().join(" "),
        _ => return None,
    };
    results.split_whitespace().find(|word| number(word)).map(|word| format!("prints {word}"))
}

/// Temporary files that stay, or that a message names.
fn leak(run: &Run, place: &Path) -> Result<Option<Failure>> {
    let named = |text: &str| text.contains(".partial") || text.contains("/.tmp");
    if let Some(line) = run.stderr.lines().find(|line| named(line)) {
        return Ok(Some((Kind::Leak, format!("a message names a temporary file: {line}"))));
    }
    if !place.exists() {
        return Ok(None);
    }
    let left = files(place, Path::new(""))?.into_iter().find(|file| {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        name.ends_with(".partial") || name.starts_with(".tmp") || name.ends_with(".lock")
    });
    Ok(left.map(|file| (Kind::Leak, format!("{} stays", file.display()))))
}

/// A whole bundle must be unchanged after a failed command, or load at least.
fn damage(case: &Case, run: &Run, place: &Path, kept: &Path, seeds: &Seeds) -> Result<Option<Failure>> {
    let Some(bundle) = case.whole_bundle else { return Ok(None) };
    if run.status.success() || contents(&place.join(bundle))? == contents(&kept.join(bundle))? {
        return Ok(None);
    }
    match seeds.loads(&place.join(bundle))? {
        true => Ok(None),
        false => Ok(Some((Kind::Damage, format!("after: {}", last_line(&run.stderr))))),
    }
}

fn contents(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    if !folder.is_dir() {
        return Ok(BTreeMap::new());
    }
    let read = |file: PathBuf| Ok((file.clone(), fs::read(folder.join(file))?));
    files(folder, Path::new(""))?.into_iter().map(read).collect()
}

/// The first bytes of a text.
pub fn cut(text: &str, length: usize) -> &str {
    &text[..text.floor_char_boundary(length)]
}

fn last_line(text: &str) -> &str {
    text.lines().last().unwrap_or_default()
}
