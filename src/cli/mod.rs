//! The command line: one file per command, from arguments to checked options to a call.

mod architecture;
mod bench;
mod bundle_argument;
mod command;
mod compute;
mod confusion;
mod data;
mod data_args;
mod eval;
mod export;
pub mod flags;
mod fractions;
mod generate;
mod input;
mod lines;
mod list;
mod next_commands;
mod note;
mod number;
mod outcome;
mod overview;
mod parse;
mod plot;
mod precision;
mod predict;
mod quote;
mod read_args;
mod recipe;
mod refusal;
mod score;
mod shell;
mod train;
mod training;
mod unknown;

pub use command::Cli;
pub use outcome::Outcome;
