//! Candle's custom ops over the kernels, and [`mod@reference`], the same computations in plain candle ops.
//!
//! A layer in one direction is a few nodes of candle's graph, independent of the number of steps. `backend.rs` chooses
//! between the kernels and the reference. Ops depend on tensors and on borrowed views of weights, not on layers.

pub(crate) mod activity;
mod backend;
pub(crate) mod crf;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod fused;
mod inference;
pub(crate) mod layer_weights;
pub(crate) mod linear;
pub(crate) mod masked;
pub(crate) mod packed_cache;
mod packing;
mod parameter_gradients;
mod precision;
pub mod reference;
pub(crate) mod sequence;
mod storage;
pub(crate) mod stream;

pub use backend::without_fused;
pub use cross_entropy::CrossEntropySum;
pub use inference::round_to_int8;
pub use parameter_gradients::{LossGradients, backward};
pub use precision::Precision;
