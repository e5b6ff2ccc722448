//! Candle's custom ops over the kernels, one node of the graph per layer and direction, and [`mod@reference`],
//! the same in plain candle ops, which is the oracle.

pub(crate) mod activity;
pub(crate) mod cross_entropy;
pub(crate) mod embedding;
pub(crate) mod fused;
pub(crate) mod masked;
pub mod reference;
mod sink;
mod stream;

pub use cross_entropy::Score;
pub use sink::{Backward, backward};
pub use stream::Stream;
