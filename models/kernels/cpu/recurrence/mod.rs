//! The recurrence of one layer in one direction over a whole sequence.
//!
//! Every step takes the recurrent product tile by tile, and the cell's pointwise part on each tile while its
//! sums are in the cache. Whatever exists for every step is stored as a
//! [`SequenceLayout`](super::product::SequenceLayout): gates, and hidden and cell states padded to whole vectors.
//! The padding of a state is zero and stays zero.
//!
//! Workers split the batch (no barrier) or the units (one barrier per step, and one more between the two products
//! of a step that has two); see [`Plan`](plan::Plan).
//!
//! | file | content |
//! |---|---|
//! | `shape.rs`, `sequence.rs` | sizes; lengths, direction, zoneout and dropout mask |
//! | `plan.rs` | how workers divide a sequence |
//! | `packed.rs` | packed recurrent weights |
//! | `arguments.rs` | what goes in, comes out, and is saved in between |
//! | `step_product.rs` | one product of a step, tile by tile: the loop that both passes share |
//! | `forward_pass.rs`, `backward_pass.rs` | the steps of each pass |
//! | `weight_gradients.rs` | the products after the backward pass |
//! | `forward.rs`, `backward.rs` | entry points: check sizes, make buffers, choose the cell |

mod arguments;
mod backward;
mod backward_pass;
mod forward;
mod forward_pass;
mod packed;
mod plan;
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
