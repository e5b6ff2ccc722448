//! The kernels of the processor, for `f32` and `f64`.
//!
//! | file | what |
//! |---|---|
//! | `isa.rs`, `simd.rs`, `math.rs` | vectors of numbers: AVX-512, AVX2, NEON, or plain Rust |
//! | `team.rs`, `memory.rs` | threads, and what they share |
//! | `layout.rs` | where the numbers of a sequence lie |
//! | `product.rs`, `panels.rs` | every matrix product, out of one micro-kernel |
//! | `project.rs` | the input's part of the gates |
//! | `cell.rs` | the pointwise part of each cell |
//! | `sequence.rs`, `forward.rs`, `backward.rs` | the recurrence over a sequence |
//! | `recurrence.rs`, `packed.rs` | from slices to these and back |
//! | `stream.rs` | one step at a time |
//! | `cross_entropy.rs` | the decoder and its loss |
//!
//! Every function outside takes slices, checks their sizes, and is safe.

mod backward;
mod cell;
mod cross_entropy;
mod forward;
mod isa;
mod layout;
mod math;
mod memory;
mod packed;
mod panels;
mod product;
mod project;
mod recurrence;
mod sequence;
mod simd;
mod stream;
mod workers;

pub(crate) use cross_entropy::{Gradients as LossGradients, Inputs as Examples, cross_entropy};
pub use isa::Isa;
pub(crate) use layout::SequenceLayout;
pub(crate) use memory::Buffer;
pub(crate) use packed::PackedLayer;
pub(crate) use project::{Shape as InputShape, project, project_backward};
pub(crate) use recurrence::{Gradients, Inputs, Outputs, Saved, backward, forward};
pub(crate) use sequence::{Sequence, Shape, Zoneout, padded};
pub(crate) use simd::Real;
pub(crate) use stream::{Layer, Linear, Stream};
pub use workers::{set_threads, threads};
