//! Models in the formats of other frameworks.

pub mod onnx;
