//! Arguments that clap refuses, as one line in the form of all errors.

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, Error};

use super::flags::Usage;

/// Return the refusal in the form `FLAG: problem; expected ...`. `arguments` are those of the program, which has the
/// commands of `command`.
pub fn usage_of(error: &Error, command: &Command, arguments: &[String]) -> Usage {
    let refusal = Refusal::new(error, command, arguments);
    let described = refusal.name().or_else(|| refusal.value()).or_else(|| refusal.combination());
    let (flag, problem) = described.unwrap_or_else(|| match error.kind() {
        ErrorKind::InvalidUtf8 => (flag_or(&refusal.flag, "an argument"), "is not UTF-8".into()),
        kind => (flag_or(&refusal.flag, "the command line"), kind.to_string()),
    });
    Usage { flag, problem }
}

/// An error of clap with its context.
struct Refusal<'a> {
    error: &'a Error,
    command: &'a Command,
    arguments: &'a [String],
    /// The command that the arguments name, as `rnn train`.
    help: String,
    /// The form of its arguments.
    form: String,
    /// The arguments that the error is about, as clap prints them.
    given: Vec<String>,
    /// The first of them without its value.
    flag: String,
}

impl<'a> Refusal<'a> {
    fn new(error: &'a Error, command: &'a Command, arguments: &'a [String]) -> Self {
        let (help, form) = command_in(command, arguments);
        let given = strings(error, ContextKind::InvalidArg);
        let flag = given.first().map(|flag| bare(flag)).unwrap_or_default();
        Self { error, command, arguments, help, form, given, flag }
    }

    /// The flag, and the problem that a command, a flag or an argument of that name does not exist.
    fn name(&self) -> Option<(String, String)> {
        let Self { error, help, form, flag, .. } = self;
        Some(match error.kind() {
            ErrorKind::InvalidSubcommand => {
                let name = text(error, ContextKind::InvalidSubcommand).unwrap_or_default();
                let nearest = near(&strings(error, ContextKind::SuggestedSubcommand));
                (in_backticks(&name), format!("is not a command{nearest} (`rnn --help` lists them)"))
            }
            ErrorKind::UnknownArgument if !flag.starts_with('-') => {
                (in_backticks(flag), format!("is one argument too many; expected {form}{}", self.as_data()))
            }
            ErrorKind::UnknownArgument if elsewhere(help, flag).is_some() => {
                let advice = elsewhere(help, flag).unwrap_or_default();
                (flag.clone(), format!("is not a flag of `{help}`: {advice}"))
            }
            ErrorKind::UnknownArgument => match near(&strings(error, ContextKind::SuggestedArg)) {
                nearest if nearest.is_empty() => {
                    (flag.clone(), format!("is not a flag of `{help}`; `{help} --help` lists them"))
                }
                nearest => (flag.clone(), format!("is not a flag of `{help}`{nearest}")),
            },
            _ => return None,
        })
    }

    /// `; did you mean --data FILE?` for an argument of a command that names its data by a flag.
    fn as_data(&self) -> String {
        let named = self.arguments.iter().skip(1).find_map(|name| self.command.find_subcommand(name));
        let has_data =
            named.is_some_and(|command| command.get_arguments().any(|arg| arg.get_long() == Some("data")));
        let is_given = self.arguments.iter().any(|argument| bare(argument) == "--data");
        match has_data && !is_given && self.flag.contains(['.', '/', ':']) {
            true => format!("; did you mean --data {}?", self.flag),
            false => String::new(),
        }
    }

    /// The flag, and the problem of its value.
    fn value(&self) -> Option<(String, String)> {
        let error = self.error;
        let value = text(error, ContextKind::InvalidValue).unwrap_or_default();
        let problem = match error.kind() {
            ErrorKind::ValueValidation => {
                let problem = std::error::Error::source(error).map_or(String::new(), ToString::to_string);
                format!("{} cannot be used: {problem}", in_backticks(&value))
            }
            ErrorKind::InvalidValue if value.is_empty() => {
                let form = self.given.first().map(|flag| flag.replace(['<', '>'], "")).unwrap_or_default();
                format!("has no value; expected {form}")
            }
            ErrorKind::InvalidValue => {
                let nearest = near(&strings(error, ContextKind::SuggestedValue));
                let names = rnn_zoo::listing::listed(strings(error, ContextKind::ValidValue), ", ");
                format!("there is no {}{nearest} (expected {names})", in_backticks(&value))
            }
            ErrorKind::TooManyValues => format!("takes no value; leave {} out", in_backticks(&value)),
            ErrorKind::NoEquals => "takes its value after `=`".into(),
            ErrorKind::TooFewValues | ErrorKind::WrongNumberOfValues => {
                format!("has too few values; `{} --help` describes it", self.help)
            }
            _ => return None,
        };
        Some((self.flag.clone(), problem))
    }

    /// The flag, and the problem that it cannot be used with another or that one is missing.
    fn combination(&self) -> Option<(String, String)> {
        let Self { error, help, form, given, flag, .. } = self;
        let problem = match error.kind() {
            ErrorKind::ArgumentConflict => {
                let others: Vec<String> =
                    strings(error, ContextKind::PriorArg).iter().map(|flag| bare(flag)).collect();
                match others.iter().all(|other| other == flag) {
                    true => "is given twice; leave one out".into(),
                    false => format!("cannot be used with {}; leave one out", others.join(" and ")),
                }
            }
            ErrorKind::MissingRequiredArgument if flag.starts_with("--") => {
                match needing(flag, self.command, self.arguments) {
                    Some(other) => format!("is missing; {other} needs it, see `{help} --help`"),
                    None => format!("is required; expected {form}"),
                }
            }
            ErrorKind::MissingRequiredArgument => {
                let names: Vec<String> = given.iter().map(|name| without_brackets(name)).collect();
                let are = if names.len() == 1 { "is" } else { "are" };
                return Some((names.join(" and "), format!("{are} missing; expected {form}")));
            }
            _ => return None,
        };
        Some((flag.clone(), problem))
    }
}

/// The command that the arguments name, as `rnn train`, and the form of its arguments.
fn command_in(command: &Command, arguments: &[String]) -> (String, String) {
    let mut command = command.clone().bin_name("rnn");
    command.build();
    let named = arguments.iter().skip(1).find_map(|name| command.find_subcommand(name));
    let mut found = named.unwrap_or(&command).clone();
    let nested = named.and_then(|named| arguments.iter().find_map(|name| named.find_subcommand(name)));
    if let Some(nested) = nested {
        found = nested.clone();
    }
    let name = found.get_bin_name().unwrap_or("rnn").to_string();
    let form = found.render_usage().to_string().replace("Usage: ", "");
    (name, format!("`{}`", form.split_whitespace().collect::<Vec<_>>().join(" ")))
}

/// The flag among the arguments that needs the `missing` one: without it, the missing one is not asked for.
fn needing(missing: &str, command: &Command, arguments: &[String]) -> Option<String> {
    let flags = arguments.iter().enumerate().filter(|(_, argument)| argument.starts_with("--"));
    let is_needed = |rest: Vec<String>| {
        let error = command.clone().try_get_matches_from(rest).err();
        error.is_some_and(|error| {
            error.kind() == ErrorKind::MissingRequiredArgument
                && strings(&error, ContextKind::InvalidArg).iter().any(|flag| bare(flag) == missing)
        })
    };
    // The value of a flag is left out with it, unless it has none.
    let without = |place: usize, count: usize| {
        let (before, rest) = arguments.split_at(place);
        [before, rest.get(count..).unwrap_or_default()].concat()
    };
    let needs = |place: usize| [1, 2].iter().all(|&count| !is_needed(without(place, count)));
    flags.map(|(place, flag)| (place, bare(flag))).find(|(place, _)| needs(*place)).map(|(_, flag)| flag)
}

/// The flag without its value: `--dropout` of `--dropout <P>`; `BUNDLE` of `<BUNDLE>`.
fn bare(flag: &str) -> String {
    let flag = flag.split([' ', '=', '[']).next().unwrap_or(flag);
    flag.trim_matches(['<', '>', '.']).to_string()
}

/// The names of a missing argument, without brackets: `--text or --data` of `<--text <TEXT>|--data <DATA>>`.
fn without_brackets(name: &str) -> String {
    let name = name.strip_prefix('<').and_then(|name| name.strip_suffix('>')).unwrap_or(name);
    name.split('|').map(bare).collect::<Vec<_>>().join(" or ")
}

fn flag_or(flag: &str, other: &str) -> String {
    if flag.is_empty() { other.into() } else { flag.into() }
}

/// Advice about a flag that another command or program has.
fn elsewhere(command: &str, flag: &str) -> Option<&'static str> {
    const ELSEWHERE: [(&str, &str, &str); 3] = [
        ("rnn score", "--data", "the file follows the bundle, as in `rnn score BUNDLE FILE`"),
        ("rnn generate", "--do-sample", "texts are drawn unless --greedy or --beams is given"),
        ("rnn generate", "--do_sample", "texts are drawn unless --greedy or --beams is given"),
    ];
    ELSEWHERE.iter().find(|(of, name, _)| (*of, *name) == (command, flag)).map(|(.., advice)| *advice)
}

/// A value as the user typed it, between backticks; long ones are cut.
pub fn in_backticks(value: &str) -> String {
    const LONGEST: usize = 80;
    match value.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("`{}...`", &value[..end]),
        None => format!("`{value}`"),
    }
}

/// `; did you mean NAME?` for the most similar of the names, which is the last, if there is one.
fn near(names: &[String]) -> String {
    names.last().map_or(String::new(), |name| format!("; did you mean {name}?"))
}

fn text(error: &Error, kind: ContextKind) -> Option<String> {
    strings(error, kind).into_iter().next()
}

fn strings(error: &Error, kind: ContextKind) -> Vec<String> {
    match error.get(kind) {
        Some(ContextValue::String(one)) => vec![one.clone()],
        Some(ContextValue::Strings(several)) => several.clone(),
        _ => vec![],
    }
}
