//! The input's part of the gates for a whole sequence, `x W^T + b`: one product forward, two backward.
//!
//! `forward.rs` computes it for all steps at once, `steps.rs` for a few at a time.

mod backward;
mod forward;
mod packed;
mod shape;
mod steps;

pub(crate) use backward::{GateGradients, ProjectionGradients, project_backward};
pub(crate) use forward::project;
pub(crate) use packed::PackedInput;
pub(crate) use shape::InputShape;
pub(crate) use steps::{LayerInput, StepProjection};
