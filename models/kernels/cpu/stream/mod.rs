//! Inference step by step, for one sequence or several side by side: text generation, sensors.
//!
//! All weights are packed beforehand and a step allocates nothing. A step of all layers, recurrent and linear, is
//! one run of the workers. The result of a sequence does not depend on the others in the batch, to the bit.

mod layer;
mod linear;
mod packed_stream;
mod rows;

pub(crate) use layer::StreamLayer;
pub(crate) use linear::StreamLinear;
pub(crate) use packed_stream::PackedStream;
