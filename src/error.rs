//! The one error type of the crate: every message names the file, flag or step, what was expected,
//! and what to do about it.

use std::path::{Path, PathBuf};

/// What can go wrong around a model.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A flag or argument that cannot be used as given; the command exits with 2.
    #[error("{flag}: {problem}")]
    Usage {
        /// The flag or argument, as the user typed it.
        flag: String,
        /// What is wrong with it and what would be right.
        problem: String,
    },
    /// A file or folder that cannot be read, written or understood.
    #[error("{}: {problem}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// What is wrong with it and what to do.
        problem: String,
    },
    /// The loss or the gradient became infinite or not a number, or the loss exploded.
    #[error(
        "training diverged at step {step}: the {what} is {value} at learning rate {learning_rate:.3e}; \
         try a smaller --lr or --clip"
    )]
    Diverged {
        /// The optimiser step, counted from 1.
        step: usize,
        /// What it showed in: `loss`, `validation loss` or `norm of the gradient`.
        what: &'static str,
        /// The value of that.
        value: f64,
        /// The learning rate of that step.
        learning_rate: f64,
    },
    /// Anything else that is wrong with the request as a whole.
    #[error("{0}")]
    Message(String),
    /// An error of the tensor library: a shape, a dtype, a device.
    #[error(transparent)]
    Tensor(candle_core::Error),
}

impl From<candle_core::Error> for Error {
    /// Without the backtrace that candle prints after its message: an error of this crate is one line.
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
    /// An error about a flag or argument.
    pub fn usage(flag: impl Into<String>, problem: impl Into<String>) -> Self {
        Self::Usage { flag: flag.into(), problem: problem.into() }
    }

    /// An error about a file or folder; `problem` is anything that prints, an [`std::io::Error`] too.
    pub fn file(path: impl AsRef<Path>, problem: impl std::fmt::Display) -> Self {
        Self::File { path: path.as_ref().to_path_buf(), problem: problem.to_string() }
    }

    /// The process's exit code for this error: 2 for usage, 1 for the rest.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Usage { .. } => 2,
            _ => 1,
        }
    }
}
