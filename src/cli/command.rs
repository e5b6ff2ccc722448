//! The commands of the program.

use clap::{CommandFactory, Parser, Subcommand};

use super::outcome::Outcome;
#[cfg(feature = "serve")]
use super::serve;
use super::{bench, convert, data, eval, export, generate, list, plot, predict, push, score, shell, train};

/// Train recurrent networks on your data, keep them as bundles, and use them
#[derive(Debug, Parser)]
#[command(
    name = "rnn",
    version,
    propagate_version = true,
    override_usage = "rnn COMMAND [OPTIONS]    (rnn COMMAND --help; rnn --version)",
    after_help = "\
Example: `rnn train lstm`, on built-in stories, then `rnn generate lstm-story`.
Exit codes: 0 done, 1 failed, 2 wrong command line, 130 stopped by Ctrl-C."
)]
pub struct Cli {
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    List(list::Args),
    Data(data::Args),
    Train(Box<train::Args>),
    Eval(Box<eval::Args>),
    Generate(generate::Args),
    Predict(predict::Args),
    Score(score::Args),
    Plot(plot::Args),
    Convert(convert::Args),
    Export(export::Args),
    Push(push::Args),
    #[cfg(feature = "serve")]
    Serve(Box<serve::Args>),
    Bench(bench::Args),
    Completions(shell::CompletionsArgs),
    Man(shell::ManArgs),
}

impl Cli {
    /// Run the command.
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self.command {
            Command::List(args) => list::run(&args),
            Command::Data(args) => data::run(&args),
            Command::Train(args) => train::run(&args),
            Command::Eval(args) => args.precision.scope(|| eval::run(&args)),
            Command::Generate(args) => args.precision.scope(|| generate::run(&args)),
            Command::Predict(args) => args.precision.scope(|| predict::run(&args)),
            Command::Score(args) => args.precision.scope(|| score::run(&args)),
            Command::Plot(args) => plot::run(&args),
            Command::Convert(args) => convert::run(&args),
            Command::Export(args) => export::run(&args),
            Command::Push(args) => push::run(&args),
            #[cfg(feature = "serve")]
            Command::Serve(args) => serve::run(&args),
            Command::Bench(args) => bench::run(&args),
            Command::Completions(args) => shell::completions(&args, Self::command()),
            Command::Man(args) => shell::man(&args, Self::command()),
        }
    }
}
