//! The parts of the networks: cells, stacks of them, weights, dropout, linear and embedding layers.

pub(crate) mod attention;
pub(crate) mod cell;
pub(crate) mod config;
pub(crate) mod crf;
pub mod dropout;
pub(crate) mod embedding;
pub(crate) mod gate_bias;
pub(crate) mod init;
pub(crate) mod linear;
pub(crate) mod module;
pub(crate) mod recurrent;
pub(crate) mod recurrent_noise;
pub(crate) mod scan;
pub(crate) mod stack;
pub(crate) mod state;
pub(crate) mod stream;
pub(crate) mod weights;
