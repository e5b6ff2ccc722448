//! Mutation fuzzing of the `rnn` command.
//!
//! Trains tiny bundles with the binary itself, mutates copies of them, of tables, texts, tokenizers, recipes and
//! flags, runs a command on each copy under limits of time and memory, and reports every distinct failure once.
//! Run `n` of a seed has the same mutations on every machine. `docs/fuzzing.md` describes the failures.

mod case;
mod flags;
mod mutate;
mod options;
mod process;
mod report;
mod seeds;
mod verdict;

use std::error::Error;
use std::fs;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use case::Case;
use flags::Manual;
use options::Options;
use report::Report;
use seeds::Seeds;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let outcome = Options::read().and_then(|options| options.map_or(Ok(true), |options| fuzz(&options)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs all cases. Returns whether none of them failed.
fn fuzz(options: &Options) -> Result<bool> {
    if let Some(folder) = &options.seeds {
        return Seeds::build(&options.rnn, folder).map(|_| true);
    }
    let folder = tempfile::Builder::new().prefix("rnn-fuzz-").tempdir()?;
    let seeds = Seeds::build(&options.rnn, &folder.path().join("seeds"))?;
    let manual = Manual::read(&options.rnn)?;
    let start = Instant::now();
    let report = Mutex::new(Report::new(&options.keep, options.verbose));
    let (next, stop) = (AtomicU64::new(options.first), AtomicBool::new(false));
    let work = || -> Result<()> {
        while !stop.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let done = options.runs.is_some_and(|runs| number - options.first >= runs);
            if done || options.seconds.is_some_and(|limit| start.elapsed() >= Duration::from_secs(limit)) {
                return Ok(());
            }
            let place = folder.path().join(number.to_string());
            run_case(options.seed, number, &place, &seeds, &manual, &report)
                .inspect_err(|_| stop.store(true, Ordering::Relaxed))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..options.jobs).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().expect("workers return their errors"))
    })?;
    let report = report.into_inner()?;
    println!("{}", report.summary(options.seed, start.elapsed()));
    Ok(report.is_clean())
}

/// Runs one case in the folder `place`, which is removed afterwards.
fn run_case(
    seed: u64,
    number: u64,
    place: &std::path::Path,
    seeds: &Seeds,
    manual: &Manual,
    report: &Mutex<Report>,
) -> Result<()> {
    fs::create_dir(place)?;
    let case = Case::build(seed, number, place, seeds, manual)?;
    let kept = place.with_extension("kept");
    seeds::copy(place, &kept)?;
    let run = process::run(seeds.rnn(), &case, place)?;
    let failures = verdict::judge(&case, &run, place, &kept, seeds)?;
    let mut report = report.lock().map_err(|_| "a worker panicked")?;
    report.add(number, &case, &run, failures, &kept)?;
    drop(report);
    fs::remove_dir_all(kept)?;
    // A command that was asked to replace its folder may have taken it away.
    match fs::remove_dir_all(place) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}
