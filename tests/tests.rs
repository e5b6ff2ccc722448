//! The integration tests, one binary.
#![allow(missing_docs, clippy::unwrap_used)]

mod cli;
mod golden;
mod gradients;
mod hub;
mod optim;
mod properties;
mod training;
