//! `rnn push`: bundles to the Hugging Face hub.

use std::io::Write;
use std::path::PathBuf;

use rnn_zoo::Error;
use rnn_zoo::hub::{self, Endpoint, Push, Pushed, RepoName, Revision};
use rnn_zoo::listing::{counted, listed};

use super::flags::parsed;
use super::outcome::Outcome;
use crate::cli::note::note;

/// Push a bundle to the Hugging Face hub, as one commit
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The repository is made if it does not exist. The model card there begins with the hub's metadata: task, tags, data set \
and scores; the bundle on disk does not change. HF_TOKEN, or the file that `hf auth login` writes, is the token. \
The address of the commit is printed.

Examples:
  rnn push my-gru me/my-gru --private
  rnn export my-gru --out slim && rnn push slim me/my-gru --license mit
  rnn push my-gru me/my-gru --revision v2")]
pub struct Args {
    /// A bundle
    #[arg(value_name = "BUNDLE")]
    bundle: PathBuf,

    /// The repository: a user or organisation, and a name
    #[arg(value_name = "OWNER/NAME", value_parser = parsed::<RepoName>)]
    repository: RepoName,

    /// Make a new repository private. One that exists and is public is refused
    #[arg(long)]
    private: bool,

    /// The branch, made if it does not exist
    #[arg(long, value_name = "REVISION", value_parser = parsed::<Revision>, default_value_t)]
    revision: Revision,

    /// The message of the commit [default: names the bundle]
    #[arg(long, value_name = "TEXT")]
    message: Option<String>,

    /// The licence in the model card, as mit or apache-2.0
    #[arg(long, value_name = "ID")]
    license: Option<String>,
}

/// Run the command.
pub fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.bundle.to_str().is_some_and(|path| path.starts_with("hf://")) {
        let problem = "is on the hub; expected the folder of a bundle";
        return Err(Error::file(&args.bundle, problem).into());
    }
    let options = Push {
        private: args.private,
        revision: args.revision.clone(),
        message: args.message.clone(),
        license: args.license.clone(),
    };
    let Pushed { url, sent, removed, unchanged } =
        hub::push(&Endpoint::from_env()?, &args.bundle, &args.repository, &options)?;
    let place = format!("{}@{}", args.repository, args.revision);
    match (sent.is_empty(), removed.is_empty()) {
        (true, true) => note!("{place} has this bundle already"),
        _ => note!("pushed {} to {place}: {}", counted(sent.len() as u64, "file"), listed(&sent, ", ")),
    }
    if !removed.is_empty() {
        note!("removed from {place}, as this bundle lacks them: {}", listed(&removed, ", "));
    }
    if !unchanged.is_empty() && !sent.is_empty() {
        note!("unchanged: {}", listed(&unchanged, ", "));
    }
    writeln!(std::io::stdout(), "{url}")?;
    Ok(Outcome::Done)
}
