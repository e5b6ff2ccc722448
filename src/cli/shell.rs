//! `rnn completions` and `rnn man`: for packagers and shells.

use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;

use super::{Cli, Outcome};

/// Print a completion script for a shell
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  rnn completions bash > ~/.local/share/bash-completion/completions/rnn")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Write the manual pages into a folder, or the main one to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn man | man -l -
  rnn man --out man1/")]
pub struct ManArgs {
    /// Folder for the pages of all commands
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Prints a completion script.
pub fn completions(args: &CompletionsArgs) -> anyhow::Result<Outcome> {
    clap_complete::generate(args.shell, &mut Cli::command(), "rnn", &mut std::io::stdout());
    Ok(Outcome::Done)
}

/// Writes manual pages.
pub fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    match &args.out {
        Some(folder) => {
            std::fs::create_dir_all(folder)?;
            clap_mangen::generate_to(Cli::command(), folder)?;
        }
        None => clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?,
    }
    Ok(Outcome::Done)
}
