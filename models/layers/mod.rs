//! What the networks are made of: cells, stacks of them, weights, dropout.

pub mod dropout;
pub(crate) mod recurrent;
pub(crate) mod stack;
pub(crate) mod weights;
