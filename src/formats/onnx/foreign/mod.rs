//! Import of the graphs of other programs, by symbolic evaluation of their operators.
//!
//! | file | content |
//! |---|---|
//! | `size.rs`, `value.rs` | sizes and values of a graph, as far as they are followed |
//! | `interpret.rs`, `call.rs`, `operators.rs` | one operator after another |
//! | `shaping.rs` | operators that change shapes, take parts and join |
//! | `reshape.rs`, `pick.rs` | the same on tensors that flow through the network |
//! | `constant.rs` | operators on constants |
//! | `layers.rs`, `recurrent.rs`, `linear.rs` | embeddings, recurrent and linear layers |
//! | `network.rs` | the layers between outputs and embedding as a network |
//! | `import.rs` | a file as a network |

mod call;
mod constant;
mod import;
mod interpret;
mod layers;
mod linear;
mod network;
mod operators;
mod pick;
mod recurrent;
mod reshape;
mod shaping;
mod size;
mod value;

pub(super) use import::import;
pub use import::recurrent_layers;
pub use recurrent::{Direction, RecurrentLayer};
