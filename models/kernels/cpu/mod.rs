//! The kernels of the processor, for `f32` and `f64`, on plain slices and small structs.
//!
//! | path | content |
//! |---|---|
//! | `tuning.rs` | all tuning constants |
//! | `simd/` | vectors for every instruction set |
//! | `workers.rs`, `memory.rs` | threads, and the buffers that they share |
//! | `contention.rs` | other programs on the cores of the threads |
//! | `product/` | every matrix product, all but small ones from one micro-kernel |
//! | `bf16/`, `amx/` | products of operands in bf16, and the tiles for them |
//! | `int8/` | products of operands in int8, for inference |
//! | `unit.rs` | the instructions that a thread multiplies a type of operands with |
//! | `active_steps.rs` | the steps of a padded batch that are computed |
//! | `padding.rs` | conversions between plain matrices and padded rows |
//! | `project/` | the input's part of the gates |
//! | `cell.rs` | the pointwise part of every cell |
//! | `recurrence/` | the recurrence over a sequence |
//! | `attention.rs` | one step of attention |
//! | `pointwise.rs` | the pointwise part of one step, on plain matrices |
//! | `packed_layer.rs` | the weights of a layer, packed at the first call |
//! | `stream/` | inference step by step |
//! | `cross_entropy/` | a linear layer and its loss |
//! | `real.rs` | the element types of tensors that have kernels |
//!
//! Two types are used throughout. An [`Operand`](product::Operand) is the stored type of the factors of products; its
//! `Sum` is the type of the sums, of all pointwise work and of every slice of a caller.
//!
//! Every function that is re-exported here takes slices, checks their sizes, and is safe.

mod active_steps;
#[cfg(target_arch = "x86_64")]
mod amx;
mod attention;
mod bf16;
mod cell;
mod contention;
mod cross_entropy;
mod int8;
mod memory;
mod packed_layer;
mod padding;
mod pointwise;
mod product;
mod project;
mod real;
mod recurrence;
mod simd;
mod stream;
mod tuning;
mod unit;
mod workers;

pub(crate) use active_steps::ActiveSteps;
pub(crate) use attention::{AttentionGradients, AttentionSource, Query};
#[cfg(target_arch = "x86_64")]
pub(crate) use bf16::Bf16;
pub(crate) use bf16::{RoundedF32, bf16_isa, has_pairs};
pub(crate) use cell::state_limit;
pub(crate) use cross_entropy::{CrossEntropyGradients, CrossEntropyInputs, cross_entropy, losses};
pub(crate) use int8::{Int8, MAX_DEPTH, has_dot, int8_isa, inverse, scale_of};
pub(crate) use packed_layer::PackedLayer;
pub(crate) use padding::padded;
pub(crate) use pointwise::{StepInputs, StepOutputs, saved_per_unit, step, step_backward, tanh};
pub(crate) use product::{
    GradientOperand, Operand, PackedMatrix, SequenceLayout, add_outer_products_of_rows, outer_products,
};
pub(crate) use project::{GateGradients, InputShape, LayerInput, ProjectionGradients, project_backward};
pub(crate) use real::Real;
pub(crate) use recurrence::{
    RecurrenceGradients, RecurrenceInputs, RecurrenceOutputs, SavedActivations, Sequence, SequenceShape,
    Zoneout, backward, forward,
};
pub(crate) use simd::Float;
pub use simd::Isa;
pub(crate) use stream::{PackedStream, StreamLayer, StreamLinear};
pub(crate) use workers::run_items;
pub use workers::{ignore_other_programs, run_chunked, set_threads, take_most_workers, threads};
