//! A layer in one direction as nodes of candle's graph, over the fused kernels.
//!
//! ```text
//! xs, W_ih, b ---- InputProjection ---- Operand (c, b_hh, W_hr) ---- Recurrence ---- ys ---- FinalState ---- h, c
//!                                                W_hh, h ---------------'
//! ```
//!
//! Candle's ops take at most three tensors and return one. Large results that only the next node reads (the gates
//! and their gradient) pass through a side channel in the kernels' own layout, which saves candle's copies and
//! sums; candle's graph sees a token, a single zero, in their place. An `Operand` node connects one more operand of
//! the recurrence to the token, so that its gradient reaches candle's graph.

mod final_state;
mod input_projection;
mod layer;
mod operand;
mod recurrence;
mod sequence;
mod side_channel;

pub(crate) use layer::{LayerOutput, layer};
