//! Recipes: the settings of `rnn train` in a TOML file, one key for each long flag of a setting.
//!
//! ```toml
//! model = "rnnlm"
//! data = "my.txt"
//! hidden = 650
//! tied = true
//! ```
//!
//! A recipe has no tables; keys are written with `-` or `_`. Its settings become arguments in front of the user's own,
//! except those that the user gave too, and clap parses the result: every flag is a key without further code.

use std::any::TypeId;
use std::ffi::OsString;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use rnn_zoo::listing::nearest;
use rnn_zoo::{Error, Result};
use toml::de::{DeInteger, DeTable, DeValue};

use super::flags::{self, Usage, usage};
use super::input;
use super::training::Period;

/// Flags that are not settings of a run.
const NO_KEYS: [&str; 7] = ["help", "version", "recipe", "resume", "out", "force", "tensorboard"];

/// The flags of the length of a run, which `--resume` may change.
const LENGTH: [&str; 2] = ["epochs", "max-steps"];

/// The settings of a run, from flags and recipe.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The settings, in the order of the help.
    entries: Vec<RecipeEntry>,
    recipe: Option<RecipeSource>,
    /// The command line that the settings were read by.
    command: Command,
}

/// The path of a recipe, and the keys whose values it decides.
pub type RecipeSource = (PathBuf, Vec<String>);

#[derive(Clone, Debug)]
struct RecipeEntry {
    /// The position of the flag in the help.
    order: usize,
    heading: Option<String>,
    key: String,
    /// The value in TOML.
    value: String,
}

impl Settings {
    /// Set a key with a text as its value, after the others under the same heading.
    pub fn set(&mut self, key: &str, value: &str) {
        self.entries.retain(|entry| entry.key != key);
        let place = train(&self.command).get_arguments().enumerate().find(|(_, arg)| self::key(arg) == key);
        let (order, arg) = place.expect("invariant: the key is a flag of `rnn train`");
        let heading = arg.get_help_heading().map(String::from);
        let value = toml::Value::from(value).to_string();
        self.entries.push(RecipeEntry { order, heading, key: key.into(), value });
        self.entries.sort_by_key(|entry| entry.order);
    }

    /// Return the text of the run's recipe, which trains the same bytes again.
    pub fn to_toml(&self) -> String {
        self.noted("")
    }

    /// Return the recipe with another line of comment at the beginning.
    fn noted(&self, note: &str) -> String {
        let version = env!("CARGO_PKG_VERSION");
        let mut text = format!(
            "# The settings of this run, from flags and recipe; the others are the defaults of rnn-zoo {version}.\n\
             # To repeat it: rnn train --recipe THIS-FILE --out BUNDLE\n{note}"
        );
        let mut heading = None;
        for entry in &self.entries {
            let own = entry.heading.as_deref().unwrap_or("Model");
            if heading.replace(own) != Some(own) {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "\n# {own}");
            }
            let _ = writeln!(text, "{} = {}", entry.key, entry.value);
        }
        text
    }

    /// Return the recipe at `path` with the length that is set here, for a run that is resumed with it. It holds the
    /// period of evaluations too, whose default depends on the kind of length.
    ///
    /// # Errors
    /// If the file is no longer a recipe.
    pub fn lengthen(&self, path: &Path, evaluates: Period) -> Result<String> {
        let own = [path.into(), format!("--eval-every={evaluates}").into()];
        let arguments = ["rnn", "train", "--recipe"].map(OsString::from).into_iter().chain(own);
        let (arguments, _) = expand(&self.command, arguments.collect())?;
        let matches = self.command.clone().try_get_matches_from(arguments);
        let matches = matches.map_err(|error| Error::file(path, error.kind()))?;
        let given = matches.subcommand_matches("train").expect("invariant: the arguments say `train`");
        let mut whole = settings(&self.command, given, None);
        let of_length = |entry: &RecipeEntry| LENGTH.contains(&entry.key.as_str());
        whole.entries.retain(|entry| !of_length(entry));
        whole.entries.extend(self.entries.iter().filter(|entry| of_length(entry)).cloned());
        whole.entries.sort_by_key(|entry| entry.order);
        Ok(whole.noted(
            "# Resumed with this length after a shorter one; a cosine or one-cycle schedule differs in a run of this length.\n",
        ))
    }

    /// Return the first flag that is not about the length of a run.
    pub fn beside_length(&self) -> Option<String> {
        let entry = self.entries.iter().find(|entry| !LENGTH.contains(&entry.key.as_str()))?;
        Some(if entry.key == "model" { "MODEL".into() } else { format!("--{}", entry.key) })
    }

    /// Name the recipe in an error about a flag, if the recipe set that flag.
    pub fn blame(&self, error: anyhow::Error) -> anyhow::Error {
        let error = flags::in_flags(error);
        match (error.downcast_ref::<Usage>(), &self.recipe) {
            (Some(Usage { flag, problem }), Some((path, keys))) => {
                let key = flag.split(' ').next().unwrap_or_default().trim_start_matches("--").to_lowercase();
                match keys.contains(&key) {
                    true => usage(format!("{}: {flag}", path.display()), problem),
                    false => error,
                }
            }
            _ => error,
        }
    }
}

/// Return the command line `command`, in which every switch of `rnn train` also takes a value, so that `--tied=false`
/// overrides the `tied = true` of a recipe.
pub fn with_valued_switches(command: Command) -> Command {
    let switch = |arg: Arg| match arg.get_action() {
        ArgAction::SetTrue if is_key(&arg) => arg
            .action(ArgAction::Set)
            .value_parser(clap::value_parser!(bool))
            .num_args(0..=1)
            .require_equals(true)
            .default_value("false")
            .default_missing_value("true"),
        _ => arg,
    };
    command.mut_subcommand("train", |train| train.mut_args(switch))
}

fn train(command: &Command) -> &Command {
    command.find_subcommand("train").expect("invariant: it is a command of the program")
}

fn is_key(arg: &Arg) -> bool {
    !NO_KEYS.contains(&arg.get_id().as_str())
}

/// Return the key of a flag: its long name, or the name of an argument without one.
fn key(arg: &Arg) -> &str {
    arg.get_long().unwrap_or(arg.get_id().as_str())
}

/// Return the settings among the arguments of `rnn train`, except those of the machine: threads and device.
pub fn settings(command: &Command, given: &ArgMatches, recipe: Option<RecipeSource>) -> Settings {
    let is_of_machine = |arg: &Arg| arg.get_help_heading() == Some("Compute");
    let keys = train(command).get_arguments().enumerate();
    let keys = keys.filter(|(_, arg)| is_key(arg) && !is_of_machine(arg));
    let entries = keys.filter_map(|(order, arg)| {
        let id = arg.get_id().as_str();
        let explicit = given.value_source(id) == Some(ValueSource::CommandLine);
        let value = explicit.then(|| given.get_raw(id)?.next_back()).flatten()?.to_string_lossy();
        let heading = arg.get_help_heading().map(String::from);
        Some(RecipeEntry {
            order,
            heading,
            key: key(arg).to_string(),
            value: FlagValues::of(arg).to_toml(&value),
        })
    });
    Settings { entries: entries.collect(), recipe, command: command.clone() }
}

/// Return the arguments together with the settings of the recipe that they name, and the recipe if there is one.
pub fn expand(command: &Command, arguments: Vec<OsString>) -> Result<(Vec<OsString>, Option<RecipeSource>)> {
    // Errors of the user's own arguments are reported later, by the parse of all arguments.
    let first = command.clone().ignore_errors(true).try_get_matches_from(&arguments).ok();
    let Some(given) = first.as_ref().and_then(|first| first.subcommand_matches("train")) else {
        return Ok((arguments, None));
    };
    let path = match (given.get_one::<PathBuf>("recipe"), given.contains_id("resume")) {
        (Some(path), false) => path.clone(),
        _ => return Ok((arguments, None)),
    };
    let mut wanted = read(command, &path)?;
    let own = |id: &str| given.value_source(id) == Some(ValueSource::CommandLine);
    let names_model = |id: &str| own(id) || wanted.iter().any(|(arg, _)| arg.get_id() == id);
    if !["model", "from"].into_iter().any(names_model) {
        let problem = "names no model; add `model = \"lstm\"`, or write the model behind `rnn train`";
        return Err(Error::file(path, problem));
    }
    wanted.retain(|(arg, _)| !own(arg.get_id().as_str()));
    if own("from") {
        // The checksum is that of the recipe's own bundle.
        wanted.retain(|(arg, _)| arg.get_id() != "from_sha256");
    }
    let from_recipe = wanted.iter().map(|(arg, value)| match arg.get_long() {
        Some(flag) if FlagValues::of(arg) == FlagValues::Switch && value == "true" => {
            format!("--{flag}").into()
        }
        Some(flag) => OsString::from(format!("--{flag}={value}")),
        None => value.into(),
    });
    let begin = 1 + arguments.iter().position(|argument| argument == "train").unwrap_or_default();
    let (before, after) = arguments.split_at(begin);
    let whole = before.iter().cloned().chain(from_recipe).chain(after.iter().cloned()).collect();
    let keys = wanted.iter().map(|(arg, _)| key(arg).to_string()).collect();
    Ok((whole, Some((path, keys))))
}

/// The largest recipe, in bytes.
const LARGEST: u64 = 1 << 20;

/// Read a recipe: flags with values as clap parses them, in the order of the file.
fn read<'c>(command: &'c Command, path: &Path) -> Result<Vec<(&'c Arg, String)>> {
    let text = input::text(path, LARGEST).map_err(|error| {
        Error::file(
            path,
            format!("cannot be read: {error}; expected a recipe, as the recipe.toml of a bundle"),
        )
    })?;
    let line_of = |position: usize| 1 + text[..position.min(text.len())].matches('\n').count();
    let refuse =
        |position: usize, problem: &str| Error::file(path, format!("line {}: {problem}", line_of(position)));
    let table = DeTable::parse(&text).map_err(|error| {
        let position = error.span().map_or(0, |span| span.start);
        let problem = error.message().replace('\n', ", ");
        refuse(
            position,
            &format!("is not TOML ({problem}); expected lines as `hidden = 64` or `model = \"lstm\"`"),
        )
    })?;
    let mut entries: Vec<_> = table.into_inner().into_iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let mut found: Vec<(&Arg, String, usize)> = Vec::new();
    for (key, value) in &entries {
        let at = key.span().start;
        let refuse = |problem: &str| refuse(at, &format!("`{}`{problem}", key.get_ref()));
        let arg = find(train(command), key.get_ref(), value.get_ref()).map_err(|problem| refuse(&problem))?;
        if let Some((.., first)) = found.iter().find(|(other, ..)| other.get_id() == arg.get_id()) {
            return Err(refuse(&format!(" is set already, in line {}; keep one", line_of(*first))));
        }
        let argument = argument(command, arg, value.get_ref()).map_err(|problem| refuse(&problem))?;
        found.push((arg, argument, at));
    }
    Ok(found.into_iter().map(|(arg, argument, _)| (arg, argument)).collect())
}

/// Return the flag of a key, or the problem with the key.
fn find<'c>(train: &'c Command, name: &str, value: &DeValue<'_>) -> Result<&'c Arg, String> {
    let wanted = name.replace('_', "-");
    let names = |arg: &'c Arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        std::iter::once(key(arg)).chain(aliases).map(|name| name.replace('_', "-"))
    };
    let arguments =
        || train.get_arguments().filter(|arg| arg.get_id() != "help" && arg.get_id() != "version");
    match arguments().find(|arg| names(arg).any(|name| name == wanted)) {
        Some(arg) if is_key(arg) => return Ok(arg),
        Some(arg) => return Err(format!(" is not a setting of a recipe; give it as a flag, --{}", key(arg))),
        None if value.is_table() => {
            return Err(" is a table; a recipe has none: write the keys in it without a heading".into());
        }
        None => {}
    }
    let known: Vec<(String, &str)> = arguments()
        .filter(|arg| is_key(arg))
        .flat_map(|arg| names(arg).map(move |name| (name, key(arg))))
        .collect();
    let near = nearest(&wanted, known.iter().map(|(name, _)| name.as_str()));
    let near = known.iter().find(|(name, _)| Some(name.as_str()) == near);
    let hint = near.map_or(String::new(), |(_, key)| format!("; did you mean `{key}`?"));
    Err(format!(" is not a setting of `rnn train`{hint} (its keys are the flags of `rnn train --help`)"))
}

/// Return a value as the flag parses it, or the problem with the value.
fn argument(command: &Command, arg: &Arg, value: &DeValue<'_>) -> Result<String, String> {
    let values = FlagValues::of(arg);
    let text = match (values, value) {
        (FlagValues::Switch, DeValue::Boolean(switch)) => switch.to_string(),
        (FlagValues::Whole | FlagValues::Real | FlagValues::Named, DeValue::Integer(number)) => {
            decimal(number)?
        }
        (FlagValues::Real | FlagValues::Named, DeValue::Float(number)) => number.as_str().to_string(),
        (FlagValues::Text | FlagValues::Named, DeValue::String(text)) => text.to_string(),
        _ => {
            // The error of the flag for something that is not a number names its range.
            let expected = problem_with(command, arg, "?")
                .filter(|_| matches!(values, FlagValues::Whole | FlagValues::Real));
            let expected = expected.unwrap_or_else(|| format!("expected {}", values.expected()));
            return Err(format!(" is {}; {expected}", described(value)));
        }
    };
    match problem_with(command, arg, &text) {
        Some(problem) => Err(format!(" is {}; {problem}", described(value))),
        None => Ok(text),
    }
}

/// Return the problem that the flag finds with a value; `None` if it accepts the value.
fn problem_with(command: &Command, arg: &Arg, value: &str) -> Option<String> {
    let argument = match arg.get_long() {
        Some(flag) => format!("--{flag}={value}"),
        None => value.to_string(),
    };
    let error = command.clone().try_get_matches_from(["rnn", "train", &argument]).err()?;
    match error.kind() {
        ErrorKind::ValueValidation => {
            let problem = std::error::Error::source(&error).map_or(String::new(), ToString::to_string);
            let values = FlagValues::of(arg);
            Some(
                match matches!(values, FlagValues::Whole | FlagValues::Real)
                    && !problem.starts_with("expected")
                {
                    true => format!("expected {}", values.expected()),
                    false => problem,
                },
            )
        }
        ErrorKind::InvalidValue => match error.get(ContextKind::ValidValue) {
            Some(ContextValue::Strings(names)) => Some(format!("expected one of {}", names.join(", "))),
            _ => Some("expected something".to_string()),
        },
        // Conflicts between flags are reported by the parse of all arguments.
        _ => None,
    }
}

/// The kind of values of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FlagValues {
    Switch,
    Whole,
    Real,
    Text,
    /// A name, or another form that the parser of the flag accepts.
    Named,
}

impl FlagValues {
    fn of(arg: &Arg) -> Self {
        let id = arg.get_value_parser().type_id();
        let is = |types: &[TypeId]| types.iter().any(|wanted| id == *wanted);
        match () {
            () if is(&[TypeId::of::<bool>()]) => Self::Switch,
            () if is(&[TypeId::of::<usize>(), TypeId::of::<u64>(), TypeId::of::<u32>()]) => Self::Whole,
            () if is(&[TypeId::of::<f64>()]) => Self::Real,
            () if is(&[TypeId::of::<String>(), TypeId::of::<PathBuf>()]) => Self::Text,
            () => Self::Named,
        }
    }

    fn expected(self) -> &'static str {
        match self {
            Self::Switch => "true or false",
            Self::Whole => "a whole number of at least 0",
            Self::Real => "a number",
            Self::Text => "text in quotes",
            Self::Named => "a name in quotes",
        }
    }

    /// Return an argument of the command line in TOML.
    fn to_toml(self, argument: &str) -> String {
        let number = match self {
            Self::Switch => Some(argument.to_string()),
            // A name may be a number: `eval-every` takes both.
            Self::Whole | Self::Named => argument.parse::<u64>().ok().map(|number| number.to_string()),
            // Rust writes the shortest digits that are read back to the bit.
            Self::Real => argument.parse::<f64>().ok().map(|number| format!("{number:?}")),
            Self::Text => None,
        };
        match number {
            Some(number) => number.strip_suffix(".0").unwrap_or(&number).to_string(),
            None => toml::Value::from(argument).to_string(),
        }
    }
}

fn decimal(number: &DeInteger<'_>) -> Result<String, String> {
    if number.radix() == 10 {
        return Ok(number.as_str().to_string());
    }
    let value = u64::from_str_radix(number.as_str(), number.radix());
    value.map(|value| value.to_string()).map_err(|error| format!(" is {number}; {error}"))
}

fn described(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {:?}", text.as_ref()),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(switch) => switch.to_string(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
        DeValue::Datetime(_) => "a date".into(),
    }
}
