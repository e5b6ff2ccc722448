//! The element types of tensors that have kernels.

use candle_core::WithDType;

use super::product::GradientOperand;
use super::simd::Float;

/// An element type of candle's tensors that kernels sum in, and that may itself be stored as an operand.
pub(crate) trait Real: WithDType + Float + GradientOperand<Sum = Self> {}

impl Real for f32 {}
impl Real for f64 {}
