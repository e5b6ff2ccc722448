//! Downloads from and pushes to a local server that behaves like the Hugging Face hub.

// The lint exempts test functions, but not the functions that they call.
#![allow(clippy::unwrap_used)]

mod fetch;
mod push;
mod remote;
mod server;

/// A commit.
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";
