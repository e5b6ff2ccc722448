//! A layer in one direction as nodes of candle's graph, over the fused kernels.
//!
//! ```text
//! xs, W_ih, b ---- InputProjection ---- ExtraOperand (c, b_hh, W_hr) ---- Recurrence ---- ys ---- FinalState ---- h, c
//!                                                W_hh, h ---------------'
//! ```
//!
//! Candle's ops take at most three tensors and return one. The gates and their gradient are large, and only the next
//! node reads them. They pass through a side channel in the kernels' own layout, without the copies and sums that
//! candle makes of a tensor. In candle's graph a token, a tensor of a single zero, stands for them and fixes the order
//! of the nodes. An `ExtraOperand` node connects one more operand of the recurrence to the token, so that its gradient
//! reaches candle's graph.

mod attention_decoder;
mod extra_operand;
mod final_state;
mod input_projection;
mod layer;
mod recurrence;
mod sequence;
mod side_channel;

pub(crate) use attention_decoder::{
    DecoderInputs, DecoderMatrices, DecoderOutput, PackedWeights, check_source_lengths, decode, pack_weights,
};
pub(crate) use layer::{LayerOutput, layer};
