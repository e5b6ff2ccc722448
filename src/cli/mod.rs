//! The command line: one file per command, from arguments to checked options to a call.

mod alignment;
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
mod forecast_args;
mod forecast_plot;
mod forecast_table;
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
mod pair_args;
mod parse;
mod plot;
mod precision;
mod predict;
mod quote;
mod read_args;
mod recipe;
mod refusal;
mod score;
mod search_args;
#[cfg(feature = "serve")]
mod serve;
mod shell;
mod texts;
mod train;
mod training;
mod translate;
mod unknown;

pub use command::Cli;
pub use outcome::Outcome;
