//! The command line: one file per command, from arguments to checked options to a call.

mod architecture;
mod bench;
mod data;
mod data_args;
mod eval;
mod export;
pub mod flags;
mod generate;
mod list;
mod number;
mod plot;
mod predict;
mod recipe;
mod score;
mod shell;
mod train;
mod training;

use clap::{Parser, Subcommand};
use rnn_zoo::device::{DeviceChoice, set_threads};
use rnn_zoo::inference::Model;
use rnn_zoo::models::kernels::{self, Isa};
use rnn_zoo::{Error, Result, data::hub};

/// Train, keep and use recurrent networks on your text.
#[derive(Debug, Parser)]
#[command(
    name = "rnn",
    version,
    propagate_version = true,
    after_help = "\
Examples:
  rnn train lstm                                  learn to write from the built-in stories
  rnn train rnnlm --data my.txt --out my-model    a word-level language model of your text
  rnn generate my-model --prompt 'Once upon'      let it write
  rnn eval my-model --data other.txt              score it
  rnn plot my-model                               see how it learnt

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 stopped by Ctrl-C (after saving)."
)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    List(list::Args),
    Data(data::Args),
    Train(Box<train::Args>),
    Eval(Box<eval::Args>),
    Generate(generate::Args),
    Predict(predict::Args),
    Score(score::Args),
    Plot(plot::Args),
    Export(export::Args),
    Bench(bench::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

/// How a command ended, where that was no error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is done.
    Done,
    /// The user pressed Ctrl-C and what there was is saved.
    Interrupted,
}

impl Cli {
    /// Runs the command.
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self.command {
            Command::List(args) => list::run(&args),
            Command::Data(args) => data::run(&args),
            Command::Train(args) => train::run(&args),
            Command::Eval(args) => eval::run(&args),
            Command::Generate(args) => generate::run(&args),
            Command::Predict(args) => predict::run(&args),
            Command::Score(args) => score::run(&args),
            Command::Plot(args) => plot::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::Completions(args) => shell::completions(&args),
            Command::Man(args) => shell::man(&args),
        }
    }
}

/// Where the numbers are crunched.
#[derive(Clone, Debug, clap::Args)]
struct Compute {
    /// cpu, cuda, cuda:N, metal or auto (the fastest that this build and machine have)
    #[arg(long, value_name = "DEVICE", default_value = "cpu", help_heading = "Compute")]
    device: String,

    /// Threads on the CPU [default: one a core]
    #[arg(long, value_name = "N", help_heading = "Compute")]
    threads: Option<usize>,
}

impl Compute {
    /// Opens the device, with as many threads as the user wants.
    fn open(&self) -> Result<candle_core::Device> {
        if let Some(threads) = self.threads {
            use_threads(threads)?;
            kernels::set_threads(threads);
        }
        Isa::current().map_err(|error| Error::Message(error.to_string()))?;
        self.device.parse::<DeviceChoice>()?.open()
    }
}

/// Where candle's own pool of threads, and then rayon, look for their size.
const THREADS: [&str; 2] = ["CANDLE_NUM_THREADS", "RAYON_NUM_THREADS"];

/// Holds the program to `threads` threads.
///
/// Candle's pool reads its size from the environment alone, and to change that of a running program is
/// unsound, so the program begins anew with it; nothing has been read or written yet.
fn use_threads(asked: usize) -> Result<()> {
    let most = std::thread::available_parallelism().map_or(asked, usize::from);
    let threads = asked.min(most);
    let wanted = threads.to_string();
    if threads == 0 || THREADS.iter().all(|name| std::env::var(name).is_ok_and(|size| size == wanted)) {
        return set_threads(threads);
    }
    if asked > most {
        // They would wait for one another by turns.
        eprintln!("--threads {asked}: this machine runs {most} at once; using {most}");
    }
    #[cfg(unix)]
    if let Ok(program) = std::env::current_exe() {
        use std::os::unix::process::CommandExt;
        let mut again = std::process::Command::new(program);
        again.args(std::env::args_os().skip(1)).envs(THREADS.map(|name| (name, &wanted)));
        // Comes back only where it fails; rayon's pool, which does the matrix products, can still be held.
        let _ = again.exec();
    }
    set_threads(threads)
}

/// Loads the model of a BUNDLE argument, which errors call as the user does.
fn load_model(argument: &str, device: &candle_core::Device) -> Result<Model> {
    Ok(Model::load(&bundle_path(argument)?, device)?.named(argument))
}

/// The folder of a BUNDLE argument, fetched first if it is `hf://OWNER/NAME`.
fn bundle_path(argument: &str) -> Result<std::path::PathBuf> {
    match hub::bundle_address(argument) {
        Some((owner, name)) => hub::bundle(&hub::Endpoint::from_env()?, owner, name),
        None => Ok(argument.into()),
    }
}
