//! The help of `rnn` itself: its commands in groups, on one screen.

use std::fmt::Write;

use clap::Command;

/// The commands by purpose, in the order of the help.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Train", &["train", "list", "data"]),
    ("Use", &["generate", "predict", "score", "serve"]),
    ("Measure", &["eval", "plot", "bench"]),
    ("Ship", &["convert", "export", "push", "completions", "man"]),
];

/// Return `command`, the whole command line, with a help that lists its commands in groups.
pub fn with_groups(command: Command) -> Command {
    let styles = command.get_styles().clone();
    let (header, literal) = (styles.get_header(), styles.get_literal());
    let mut template = String::from("{about-with-newline}{usage-heading} {usage}\n\n");
    for (heading, names) in GROUPS {
        // Writing to a String cannot fail.
        let _ = writeln!(template, "{header}{heading}:{header:#}");
        for name in names {
            let about = command.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let _ = writeln!(template, "  {literal}{name:<11}{literal:#}  {about}");
        }
    }
    let template = template.trim_end();
    command.help_template(format!("{template}{{after-help}}"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::CommandFactory;

    use super::*;
    use crate::cli::Cli;

    #[test]
    fn every_command_is_in_one_group() {
        let command = Cli::command();
        let names: Vec<&str> = command.get_subcommands().map(Command::get_name).collect();
        let grouped: Vec<&str> = GROUPS.iter().flat_map(|(_, names)| names.iter().copied()).collect();
        assert_eq!(grouped.len(), names.len(), "{grouped:?}");
        assert_eq!(BTreeSet::from_iter(grouped), BTreeSet::from_iter(names));
    }

    #[test]
    fn notes_after_the_flags_fit_any_terminal() {
        for command in Cli::command().get_subcommands() {
            let notes = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for paragraph in notes.split("\n\n") {
                // clap breaks a paragraph at the width of the terminal, so it is one line. Examples stay as they are.
                let (examples, prose): (Vec<&str>, Vec<&str>) =
                    paragraph.lines().partition(|line| line.starts_with("  "));
                assert!(prose.len() <= 1, "{}: {prose:?}", command.get_name());
                let long: Vec<_> = examples.iter().filter(|line| line.len() > 80).collect();
                assert!(long.is_empty(), "{}: {long:?}", command.get_name());
            }
        }
    }
}
