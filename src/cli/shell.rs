//! `rnn completions` and `rnn man`: for packagers and shells.

use std::io::Write;
use std::path::PathBuf;

use clap::CommandFactory;
use clap_complete::Shell;
use rnn_zoo::Error;

use super::{Cli, Outcome};

/// Print a shell completion script
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
    // Through a buffer, because clap_complete panics when standard output is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "rnn", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Outcome::Done)
}

/// Writes manual pages.
pub fn man(args: &ManArgs) -> anyhow::Result<Outcome> {
    match &args.out {
        Some(folder) => {
            let written = std::fs::create_dir_all(folder)
                .and_then(|()| clap_mangen::generate_to(Cli::command(), folder));
            written.map_err(|error| Error::file(folder, error))?;
        }
        None => clap_mangen::Man::new(Cli::command()).render(&mut std::io::stdout())?,
    }
    Ok(Outcome::Done)
}
