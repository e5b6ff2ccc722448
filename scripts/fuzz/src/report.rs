//! Counts of runs and failures, and the inputs of each distinct failure.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::Result;
use crate::case::Case;
use crate::process::Run;
use crate::seeds;
use crate::verdict::{Failure, Kind, cut};

/// The results of all runs.
pub struct Report {
    keep: PathBuf,
    verbose: bool,
    runs: u64,
    /// Runs by exit code; -1 for those that a signal ended.
    codes: BTreeMap<i32, u64>,
    failures: BTreeMap<Kind, u64>,
    distinct: BTreeSet<String>,
}

impl Report {
    /// A report without runs, which keeps inputs of failures in the folder `keep`. If `verbose`, it prints all runs.
    pub fn new(keep: &Path, verbose: bool) -> Self {
        let (codes, failures, distinct) = Default::default();
        Self { keep: keep.to_path_buf(), verbose, runs: 0, codes, failures, distinct }
    }

    /// Counts a run. The first of each distinct failure is printed, and its inputs, in `inputs`, are kept.
    pub fn add(
        &mut self,
        number: u64,
        case: &Case,
        run: &Run,
        failures: Vec<Failure>,
        inputs: &Path,
    ) -> Result<()> {
        self.runs += 1;
        if self.verbose {
            let (code, arguments) = (run.status.code().unwrap_or(-1), command_line(case));
            let last = run.stderr.lines().rfind(|line| !line.is_empty()).unwrap_or_default();
            eprintln!("run {number}: exit code {code}: rnn {}: {}", cut(&arguments, 400), cut(last, 300));
        }
        *self.codes.entry(run.status.code().unwrap_or(-1)).or_default() += 1;
        for (kind, what) in failures {
            *self.failures.entry(kind).or_default() += 1;
            let description = format!("{kind:?} in `rnn {}`: {}", case.command, cut(&what, 400));
            if self.distinct.insert(general(&description)) {
                let folder = self.keep.join(number.to_string());
                self.keep_inputs(case, run, inputs, &folder)?;
                eprintln!("run {number}: {description}\n    {}", folder.join("reproduce").display());
            }
        }
        Ok(())
    }

    /// Whether no run failed.
    pub fn is_clean(&self) -> bool {
        self.distinct.is_empty()
    }

    /// The summary, one line.
    pub fn summary(&self, seed: u64, time: Duration) -> String {
        let seconds = time.as_secs_f64();
        let count = |(kind, name): &(Kind, &str)| format!("{} {name}", self.failures.get(kind).unwrap_or(&0));
        let counts: Vec<_> = Kind::ALL.iter().map(count).collect();
        let codes: Vec<_> = self.codes.iter().map(|(code, runs)| format!("{code}: {runs}")).collect();
        format!(
            "fuzz: seed {seed}, {} runs in {seconds:.0} s ({:.1}/s), exit codes {{{}}}; {}; {} distinct failures",
            self.runs,
            self.runs as f64 / seconds,
            codes.join(", "),
            counts.join(", "),
            self.distinct.len(),
        )
    }

    fn keep_inputs(&self, case: &Case, run: &Run, inputs: &Path, folder: &Path) -> Result<()> {
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        fs::create_dir_all(&self.keep)?;
        seeds::copy(inputs, folder)?;
        let stdin = case.stdin.unwrap_or("/dev/null");
        let script = format!(
            "#!/bin/sh\n# Changes this folder: run it in a copy.\ncd \"$(dirname \"$0\")\"\nexec \"${{RNN:-rnn}}\" {} < {stdin}\n",
            command_line(case),
        );
        let path = folder.join("reproduce");
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
        Ok(fs::write(folder.join("stderr"), &run.stderr)?)
    }
}

/// The arguments of a case as a shell reads them.
fn command_line(case: &Case) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,".contains(c);
    let quote = |argument: &String| match !argument.is_empty() && argument.chars().all(plain) {
        true => argument.clone(),
        false => format!("'{}'", argument.replace('\'', r"'\''")),
    };
    case.arguments.iter().map(quote).collect::<Vec<_>>().join(" ")
}

/// A description without numbers and quoted text, the same for failures of one cause.
fn general(description: &str) -> String {
    let mut general = String::new();
    for (index, part) in description.split(['"', '\'']).enumerate() {
        general.push_str(if index % 2 == 0 { part } else { "_" });
    }
    general.chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).fold(String::new(), |mut text, c| {
        if !(c == '0' && text.ends_with('0')) {
            text.push(c);
        }
        text
    })
}
