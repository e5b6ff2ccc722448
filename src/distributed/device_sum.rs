//! The trait of a connection between the devices of the processes.

use candle_core::Tensor;

use crate::Result;

/// A connection between the devices of the processes, through which they sum tensors without the CPU.
pub trait DeviceSum {
    /// Replace a tensor by its sum over all ranks, the same to the bit on each. It is contiguous, on the device of the
    /// rank, in f32, f64 or bf16, and of the same length and type on every rank.
    ///
    /// # Errors
    /// If a device fails.
    fn sum(&self, numbers: &Tensor) -> Result<()>;
}
