//! The error type of the crate. Every message names the file, field or step, the expected value, and the
//! remedy.
//!
//! A problem that recommends an option names its field as "option `columns.text`", or with a value as
//! "option `bptt = 35`". The command line replaces both by its flags.

use std::path::{Path, PathBuf};

/// An error of data, training, bundles or inference.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An option or argument has an invalid value.
    #[error("{field}: {problem}")]
    Invalid {
        /// The name of the option: the field's name, or `struct.field` if several structs have such a field.
        field: &'static str,
        /// The problem, and the values that are valid.
        problem: String,
    },
    /// A model cannot serve the request, because it was trained for another task.
    #[error("{model}: {problem}")]
    Unsuited {
        /// The model: the path of its bundle, or the name that the caller gave it.
        model: String,
        /// The problem, and the kind of model that is required.
        problem: String,
    },
    /// A file or folder cannot be read, written or understood.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// The problem and the remedy.
        problem: String,
    },
    /// The loss or the gradient became infinite or NaN, or the loss exploded.
    #[error(
        "training diverged at step {step}: the {what} is {value} at learning rate {learning_rate:.3e}; \
         try a smaller option `lr`, or limit the gradient with option `clip`"
    )]
    Diverged {
        /// The optimizer step, counted from 1.
        step: usize,
        /// The quantity that diverged: `loss`, `validation loss` or `norm of the gradient`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The learning rate of the step.
        learning_rate: f64,
    },
    /// Any other problem with the request as a whole.
    #[error("{0}")]
    Message(String),
    /// An error of candle: a shape, a dtype, a device.
    #[error(transparent)]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for Error {
    /// Remove the backtrace that candle prints after its message: an error of this crate is one line.
    fn from(mut error: candle_core::Error) -> Self {
        while let candle_core::Error::WithBacktrace { inner, .. } = error {
            error = *inner;
        }
        Self::Tensor(error)
    }
}

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// Return an error about the option or argument `field`.
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid { field, problem: problem.into() }
    }

    /// Return an error about a file or folder. `problem` is anything that prints, such as an [`std::io::Error`]. A
    /// parser's message may quote a whole value of the file: the middle of a long problem is left out.
    pub fn file(path: impl AsRef<Path>, problem: impl std::fmt::Display) -> Self {
        let problem = without_numbers(&problem.to_string());
        Self::File { path: path.as_ref().to_path_buf(), problem: without_middle(problem) }
    }

    /// Return an error about the schema of a bundle's data. The middle of a long problem is left out, as in
    /// [`Error::file`].
    pub(crate) fn schema(problem: impl std::fmt::Display) -> Self {
        let problem = without_middle(problem.to_string());
        Self::Message(format!(
            "`schema` in config.json {problem}; copy the bundle again, or train the model again"
        ))
    }
}

/// Put errors of the system, such as `File exists (os error 17)`, in plain words, without their numbers.
fn without_numbers(text: &str) -> String {
    const NUMBER: &str = " (os error ";
    let mut parts = text.split(NUMBER);
    let first = parts.next().unwrap_or_default().to_string();
    parts.fold(first, |shown, part| {
        let number = part.split_once(')').and_then(|(number, rest)| Some((number.parse().ok()?, rest)));
        match number {
            Some((number, rest)) => with_plain_words(shown, number) + rest,
            None => shown + NUMBER + part,
        }
    })
}

/// Replace the message of the system's error `number` at the end of a text by plain words.
fn with_plain_words(text: String, number: i32) -> String {
    let error = std::io::Error::from_raw_os_error(number);
    let said = error.to_string();
    let said = said.split(" (os error ").next().unwrap_or_default();
    match (text.strip_suffix(said), words(error.kind())) {
        (Some(before), Some(words)) => format!("{before}{words}"),
        _ => text,
    }
}

/// An error of the system in plain words, without its number: `a file of that name exists`.
pub(crate) fn plain(error: &std::io::Error) -> String {
    match (error.get_ref(), words(error.kind())) {
        // Another part of the program has described it.
        (Some(described), _) => described.to_string(),
        (None, Some(words)) => words.to_string(),
        (None, None) => without_numbers(&error.to_string()),
    }
}

/// A kind of error of the system in plain words.
fn words(kind: std::io::ErrorKind) -> Option<&'static str> {
    use std::io::ErrorKind;
    Some(match kind {
        ErrorKind::NotFound => "no such file or folder",
        ErrorKind::AlreadyExists => "a file of that name exists",
        ErrorKind::NotADirectory => "a part of the path is a file, not a folder",
        ErrorKind::IsADirectory => "is a folder, not a file",
        ErrorKind::PermissionDenied => "permission denied",
        ErrorKind::StorageFull => "no space is left on the disk",
        ErrorKind::ReadOnlyFilesystem => "the file system is read-only",
        ErrorKind::InvalidFilename => "the name is too long or has a character that the file system refuses",
        ErrorKind::FileTooLarge => "the file is larger than the system allows",
        _ => return None,
    })
}

/// An error of serde in plain words: the text ends too early, is not JSON, or has another value than expected.
pub(crate) fn json_problem(error: &serde_json::Error) -> String {
    use serde_json::error::Category;
    match error.classify() {
        Category::Eof => format!("it ends in line {} before its JSON is complete", error.line()),
        Category::Syntax => format!("line {}, column {} is not JSON", error.line(), error.column()),
        Category::Data | Category::Io => error.to_string(),
    }
}

/// Return the problem of a result that is NaN or infinite although every parameter is finite. `result` names it, as in
/// "the loss is NaN".
pub(crate) fn overflow(result: impl std::fmt::Display) -> String {
    format!(
        "{result}: numbers overflow in the network, whose parameters are finite but too large, or the data has numbers \
         out of range"
    )
}

/// The largest number of bytes of a problem that is printed whole.
const LONGEST_PROBLEM: usize = 1000;

/// The number of bytes that stay at either end of a longer one.
const END: usize = 300;

/// Leave out the middle of a long text.
fn without_middle(text: String) -> String {
    if text.len() <= LONGEST_PROBLEM {
        return text;
    }
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let head = (0..END).rfind(boundary).unwrap_or(0);
    let tail = (text.len() - END..text.len()).find(boundary).unwrap_or(text.len());
    format!("{} [{} bytes] {}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_system_are_in_plain_words() {
        let error = |code| std::io::Error::from_raw_os_error(code);
        assert!(
            !Error::file("a", format!("cannot open: {}; try b", error(24))).to_string().contains("os error")
        );
        assert!(
            Error::file("a", format!("cannot open: {}; try b", error(24))).to_string().ends_with("; try b")
        );
        assert_eq!(without_numbers("x (os error y) z"), "x (os error y) z");
        let missing = error(2);
        assert_eq!(Error::file("a", &missing).to_string(), "a: no such file or folder");
        let twice = format!("cannot be read: {missing}; {missing}");
        let shown = "a: cannot be read: no such file or folder; no such file or folder";
        assert_eq!(Error::file("a", twice).to_string(), shown);
        assert_eq!(plain(&std::io::ErrorKind::AlreadyExists.into()), "a file of that name exists");
        assert_eq!(plain(&std::io::Error::new(std::io::ErrorKind::NotFound, "no b")), "no b");
    }

    #[test]
    fn errors_of_json_name_the_line() {
        let problem = |text| json_problem(&serde_json::from_str::<Vec<u8>>(text).unwrap_err());
        assert_eq!(problem("[1,\n2"), "it ends in line 2 before its JSON is complete");
        assert_eq!(problem("[1,\n}"), "line 2, column 1 is not JSON");
    }

    #[test]
    fn long_problem_loses_its_middle() {
        let short = "é".repeat(LONGEST_PROBLEM / 2);
        assert_eq!(Error::file("a", &short).to_string(), format!("a: {short}"));
        let long = format!("invalid type: string \"{}\", expected u64 at line 3", "é".repeat(20_000));
        let message = Error::file("a", &long).to_string();
        assert!(
            message.starts_with("a: invalid type") && message.ends_with("expected u64 at line 3"),
            "{message}"
        );
        assert!(message.len() < LONGEST_PROBLEM && message.contains(" bytes] é"), "{message}");
        assert!(Error::schema(&long).to_string().len() < LONGEST_PROBLEM);
    }
}
