//! Reading the command line, with the recipe that it may name.

use std::ffi::OsString;
use std::io::Write;

use clap::error::ErrorKind;
use clap::{CommandFactory, FromArgMatches};

use super::command::{Cli, Command};
use super::flags::{Usage, usage};
use super::overview::with_groups;
use super::recipe::{RecipeSource, expand, settings, with_valued_switches};
use super::refusal::usage_of;

impl Cli {
    /// Parse the arguments of the program, with the settings of the recipe that they name. Return `None` if they asked
    /// for the help or the version, which is printed.
    ///
    /// # Errors
    /// If the recipe cannot be read, or has settings that `rnn train` does not have; if clap refuses the arguments; and
    /// if the help cannot be written.
    pub fn read(arguments: impl Iterator<Item = OsString>) -> anyhow::Result<Option<Self>> {
        let command = with_valued_switches(with_groups(Self::command()));
        let arguments = arguments.collect();
        let (arguments, recipe) = expand(&command, arguments)?;
        let mut matches = match command.clone().try_get_matches_from(&arguments) {
            Ok(matches) => matches,
            Err(error) => return refuse(error, &arguments, recipe.as_ref()),
        };
        let settings =
            matches.subcommand_matches("train").map(|given| settings(&command, given, recipe.clone()));
        let mut cli = match Self::from_arg_matches_mut(&mut matches) {
            Ok(cli) => cli,
            Err(error) => return refuse(error, &arguments, recipe.as_ref()),
        };
        if let (Command::Train(args), Some(settings)) = (&mut cli.command, settings) {
            args.settings = settings;
        }
        Ok(Some(cli))
    }
}

/// Print the help or the version, or return the error of arguments that clap refuses.
fn refuse(
    error: clap::Error,
    arguments: &[OsString],
    recipe: Option<&RecipeSource>,
) -> anyhow::Result<Option<Cli>> {
    let command = with_groups(Cli::command());
    // Help and errors show switches as they are usually written, without a value.
    let plain = command.clone().try_get_matches_from(arguments).err();
    let error = plain.filter(|plain| plain.kind() == error.kind()).unwrap_or(error);
    if !error.use_stderr() {
        error.print()?;
        std::io::stdout().flush()?;
        return Ok(None);
    }
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        // `rnn` alone: its help is the answer, on standard error because the command line is wrong.
        error.exit();
    }
    let arguments: Vec<String> =
        arguments.iter().map(|argument| argument.to_string_lossy().into_owned()).collect();
    let Usage { flag, problem } = usage_of(&error, &command, &arguments);
    let note = recipe
        .map_or(String::new(), |(path, _)| format!(" (the settings of {} count as flags)", path.display()));
    Err(usage(flag, problem + &note))
}
