//! The integration tests, one binary.
#![allow(missing_docs)]

mod golden;
mod gradients;
mod hub;
mod optim;
mod properties;
mod training;
