//! The fuzzer's own command line.

use std::path::PathBuf;
use std::thread;

use crate::Result;

const HELP: &str = "Runs `rnn` on mutated bundles, tables, texts, tokenizers, recipes and flags

Usage: scripts/fuzz/run [OPTIONS]

  --seconds N    Stop after N seconds [default: 60, unless --runs is given]
  --runs N       Stop after N runs
  --seed N       Seed of the mutations [default: 1]
  --first N      Number of the first run; with --runs 1, repeats a run of a report [default: 0]
  --jobs N       Runs at a time [default: one a core]
  --keep FOLDER  Folder for the inputs of failures [default: target/fuzz/failures]
  --rnn FILE     Binary to run [default: target/release/rnn]
  --seeds FOLDER Write the valid inputs into a new folder, and stop
  --verbose      Print every run: its number, exit code, command line and last line of standard error

Exit codes: 0 no failure, 1 failures, 2 the fuzzer itself could not run.";

/// Options of a fuzzing session.
pub struct Options {
    /// Seconds after which no run starts.
    pub seconds: Option<u64>,
    /// Number of runs.
    pub runs: Option<u64>,
    /// Seed of the mutations.
    pub seed: u64,
    /// Number of the first run.
    pub first: u64,
    /// Parallel runs.
    pub jobs: usize,
    /// Folder for the inputs of failures.
    pub keep: PathBuf,
    /// The binary under test.
    pub rnn: PathBuf,
    /// Folder for the valid inputs alone.
    pub seeds: Option<PathBuf>,
    /// Whether every run is printed.
    pub verbose: bool,
}

impl Options {
    /// Reads the program's arguments. Returns `None` if they ask for help, which is printed.
    pub fn read() -> Result<Option<Self>> {
        let mut options = Self {
            seconds: None,
            runs: None,
            seed: 1,
            first: 0,
            jobs: thread::available_parallelism().map_or(1, usize::from),
            keep: "target/fuzz/failures".into(),
            rnn: "target/release/rnn".into(),
            seeds: None,
            verbose: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            if ["-h", "--help"].contains(&flag.as_str()) {
                println!("{HELP}");
                return Ok(None);
            }
            if flag == "--verbose" {
                options.verbose = true;
                continue;
            }
            let value = arguments.next().ok_or_else(|| format!("{flag} needs a value; see --help"))?;
            let number =
                || value.parse::<u64>().map_err(|_| format!("{flag} {value}: expected a whole number"));
            match flag.as_str() {
                "--seconds" => options.seconds = Some(number()?),
                "--runs" => options.runs = Some(number()?),
                "--seed" => options.seed = number()?,
                "--first" => options.first = number()?,
                "--jobs" => options.jobs = usize::try_from(number()?)?.max(1),
                "--seeds" => options.seeds = Some(value.into()),
                "--keep" => options.keep = value.into(),
                "--rnn" => options.rnn = value.into(),
                _ => return Err(format!("{flag} is not an option; see --help").into()),
            }
        }
        if options.runs.is_none() && options.seconds.is_none() {
            options.seconds = Some(60);
        }
        options.rnn = std::path::absolute(&options.rnn)?;
        Ok(Some(options))
    }
}
