//! `rnn serve` as clients see it: the program is started and spoken to over TCP.

mod access;
mod client;
mod completions;
mod hostile;
mod limits;
mod page;
mod reload;
mod tasks;
