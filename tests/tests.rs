//! The integration tests, one binary.
#![allow(missing_docs)]

mod cli;
mod golden;
mod gradients;
mod hub;
mod optim;
mod properties;
mod training;
