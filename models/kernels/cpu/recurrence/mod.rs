//! The recurrence of one layer in one direction over a whole sequence.
//!
//! A time step computes the recurrent product tile by tile, and applies the cell's pointwise part to each tile while
//! the tile's sums are in the cache. Gates, hidden states and cell states of all steps are stored as a
//! [`SequenceLayout`](super::product::SequenceLayout), in rows padded to whole vectors. The padding of a state starts
//! from zero. It becomes NaN where an operand is infinite, because the padding of the weights is zero. No product of
//! the forward pass reads it, and the backward pass writes zeros to the padding of the gradients of the gates.
//!
//! Workers split the batch or the units, as [`Plan`](plan::Plan) decides. A worker with rows of the batch computes all
//! steps of its rows without a barrier. A worker with units needs the hidden state of all units for its next step, so
//! there is one barrier per step, and another between the two products of a step that has two.
//!
//! | file | content |
//! |---|---|
//! | `shape.rs`, `sequence.rs` | sizes; lengths, direction, zoneout and dropout mask |
//! | `plan.rs` | the division of a sequence among workers |
//! | `packed.rs` | packed recurrent weights |
//! | `arguments.rs` | inputs, outputs, saved activations and gradients |
//! | `chunked_input.rs` | the input's part of the gates, a few steps at a time |
//! | `step_product.rs` | one product of a step, tile by tile: the loop that both passes share |
//! | `rounded_rows.rs` | the operands of a step's products |
//! | `forward_pass.rs`, `backward_pass.rs` | the steps of each pass |
//! | `weight_gradients.rs` | the products after the backward pass |
//! | `forward.rs`, `backward.rs` | entry points: check sizes, make buffers, choose the cell |

mod arguments;
mod backward;
mod backward_pass;
mod chunked_input;
mod forward;
mod forward_pass;
mod packed;
mod plan;
mod rounded_rows;
mod sequence;
mod shape;
mod step_product;
mod weight_gradients;

pub(crate) use arguments::{RecurrenceGradients, RecurrenceInputs, RecurrenceOutputs, SavedActivations};
pub(crate) use backward::backward;
pub(crate) use forward::forward;
pub(crate) use packed::PackedRecurrence;
pub(crate) use sequence::{Sequence, Zoneout};
pub(crate) use shape::SequenceShape;
