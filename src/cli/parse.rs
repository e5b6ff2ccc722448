//! Reading the command line, with the recipe that it may name.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue};
use clap::{CommandFactory, FromArgMatches};
use rnn_zoo::Result;

use super::command::{Cli, Command};
use super::overview::with_groups;
use super::recipe::{expand, settings, with_valued_switches};

impl Cli {
    /// Parse the arguments of the program, with the settings of the recipe that they name. Help, and arguments that clap
    /// refuses, end the program as they do with [`clap::Parser::parse`].
    ///
    /// # Errors
    /// If the recipe cannot be read, or has settings that `rnn train` does not have.
    pub fn read(arguments: impl Iterator<Item = OsString>) -> Result<Self> {
        let command = with_valued_switches(with_groups(Self::command()));
        let arguments = arguments.collect();
        let (arguments, recipe) = expand(&command, arguments)?;
        let refuse = |error: clap::Error| -> ! {
            // Help and errors show switches as they are usually written, without a value.
            let plain = with_groups(Self::command()).try_get_matches_from(&arguments).err();
            let mut error = plain.filter(|plain| plain.kind() == error.kind()).unwrap_or(error);
            if let Some((path, _)) = recipe.as_ref().filter(|_| error.use_stderr()) {
                let note = format!("the settings of {} count as flags", path.display());
                error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![note.into()]));
            }
            error.exit()
        };
        let mut matches =
            command.clone().try_get_matches_from(&arguments).unwrap_or_else(|error| refuse(error));
        let settings =
            matches.subcommand_matches("train").map(|given| settings(&command, given, recipe.clone()));
        let mut cli = Self::from_arg_matches_mut(&mut matches).unwrap_or_else(|error| refuse(error));
        if let (Command::Train(args), Some(settings)) = (&mut cli.command, settings) {
            args.settings = settings;
        }
        Ok(cli)
    }
}
