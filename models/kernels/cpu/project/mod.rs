//! The input's part of the gates for a whole sequence, `x W^T + b`: one product forward, two backward.

mod backward;
mod forward;
mod packed;
mod shape;

pub(crate) use backward::{ProjectionGradients, project_backward};
pub(crate) use forward::project;
pub(crate) use packed::PackedInput;
pub(crate) use shape::InputShape;
