//! The outcome of a command.

/// The outcome of a command that did not fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The command is done.
    Done,
    /// The user pressed Ctrl-C, and the work so far is saved.
    Interrupted,
}
