//! `rnn completions` and `rnn man`: shell completions and manual pages.

use std::io::Write;
use std::path::PathBuf;

use clap::Command;
use clap_complete::Shell;
use rnn_zoo::Error;

use super::outcome::Outcome;

/// Print a shell completion script
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  rnn completions bash > ~/.local/share/bash-completion/completions/rnn")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Write the manual pages
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  rnn man | man -l -
  rnn man --out man1/")]
pub struct ManArgs {
    /// Folder for the pages of all commands [default: the main page, to standard output]
    #[arg(long, value_name = "FOLDER")]
    out: Option<PathBuf>,
}

/// Print a completion script of `command`, the whole command line.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> anyhow::Result<Outcome> {
    // Through a buffer, because clap_complete panics when standard output is closed.
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "rnn", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(Outcome::Done)
}

/// Write manual pages of `command`, the whole command line.
pub fn man(args: &ManArgs, command: Command) -> anyhow::Result<Outcome> {
    match &args.out {
        Some(folder) => {
            let written =
                std::fs::create_dir_all(folder).and_then(|()| clap_mangen::generate_to(command, folder));
            written.map_err(|error| {
                Error::file(folder, format!("cannot be written: {error}; choose another folder with --out"))
            })?;
        }
        None => clap_mangen::Man::new(command).render(&mut std::io::stdout())?,
    }
    Ok(Outcome::Done)
}
