//! The choice of backend and element type, which all ops make here.
//!
//! An [`Operation`] has one implementation per backend: `cpu`, generic over the element type, over the fused
//! kernels of the processor, and `reference`, in plain candle ops, for everything else. A backend for another
//! device is a further method and a further arm of [`dispatch`].

use std::cell::Cell;

use candle_core::{DType, Device, Result, Tensor};

use super::precision::Precision;
#[cfg(target_arch = "x86_64")]
use crate::kernels::cpu::{Bf16, has_pairs};
use crate::kernels::cpu::{GradientOperand, Isa, Real, RoundedF32, bf16_isa, int8_isa};

thread_local! {
    /// Whether this thread is inside [`without_fused`].
    static WITHOUT_FUSED: Cell<bool> = const { Cell::new(false) };
}

/// Run `work` without fused kernels on this thread, to compare both implementations.
pub fn without_fused<T>(work: impl FnOnce() -> T) -> T {
    /// Restores the previous setting, also if `work` panics.
    struct Restore(bool);
    impl Drop for Restore {
        fn drop(&mut self) {
            WITHOUT_FUSED.set(self.0);
        }
    }
    let _restore = Restore(WITHOUT_FUSED.replace(true));
    work()
}

/// Return whether this thread is inside [`without_fused`].
pub(super) fn is_without_fused() -> bool {
    WITHOUT_FUSED.get()
}

/// The implementation that a computation uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Backend {
    /// The fused kernels of the processor.
    Cpu(Arithmetic),
    /// Plain candle ops, on any device and in any float type.
    Reference,
}

/// The type of a kernel's tensors and sums.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arithmetic {
    F32,
    F64,
}

/// The type of a kernel's operands, and the instruction set that multiplies them.
#[derive(Clone, Copy, Debug)]
pub(super) enum OperandType {
    /// f32 as they are.
    F32(Isa),
    /// f32 rounded to bf16, by instructions for f32.
    Rounded(Isa),
    /// bf16, by instructions for them.
    #[cfg(target_arch = "x86_64")]
    Bf16(Isa),
    /// int8.
    Int8(Isa),
}

impl OperandType {
    /// Choose the operands for tensors in f32 on this thread.
    ///
    /// # Errors
    /// If `RNN_ZOO_SIMD` names no instruction set of this processor.
    pub(super) fn of_f32() -> Result<Self> {
        match Precision::current() {
            Precision::F32 => Ok(Self::F32(Isa::current()?)),
            Precision::Bf16 => {
                let isa = bf16_isa()?;
                #[cfg(target_arch = "x86_64")]
                if has_pairs(isa) {
                    return Ok(Self::Bf16(isa));
                }
                Ok(Self::Rounded(isa))
            }
            Precision::Int8 => Ok(Self::Int8(int8_isa()?)),
        }
    }
}

impl Backend {
    /// Choose the backend for tensors of this one's device and type, on this thread.
    pub(super) fn of(tensor: &Tensor) -> Self {
        match tensor.dtype() {
            DType::F32 if use_fused(tensor.device()) => Self::Cpu(Arithmetic::F32),
            DType::F64 if use_fused(tensor.device()) => Self::Cpu(Arithmetic::F64),
            _ => Self::Reference,
        }
    }
}

/// Return whether there are fused kernels for the device, and this thread is not inside [`without_fused`].
fn use_fused(device: &Device) -> bool {
    device.is_cpu() && !is_without_fused()
}

/// A computation with one implementation per backend.
pub(super) trait Operation {
    /// The result.
    type Output;

    /// Compute the result with the kernels of the processor. All float tensors are in `O::Sum`; `isa` multiplies
    /// operands of type `O`.
    fn cpu<O: GradientOperand<Sum: Real>>(self, isa: Isa) -> Result<Self::Output>;

    /// Compute the result in int8. An operation with products of weights rounds their operands and has no gradients;
    /// one without, this default, computes in f32.
    fn int8(self, _isa: Isa) -> Result<Self::Output>
    where
        Self: Sized,
    {
        self.cpu::<f32>(Isa::current()?)
    }

    /// Compute the result in plain candle ops.
    fn reference(self) -> Result<Self::Output>;
}

/// Run an operation on the backend for `tensor`, one of its operands.
pub(super) fn dispatch<P: Operation>(operation: P, tensor: &Tensor) -> Result<P::Output> {
    match Backend::of(tensor) {
        Backend::Cpu(Arithmetic::F32) => match OperandType::of_f32()? {
            OperandType::F32(isa) => operation.cpu::<f32>(isa),
            OperandType::Rounded(isa) => operation.cpu::<RoundedF32>(isa),
            OperandType::Int8(isa) => operation.int8(isa),
            #[cfg(target_arch = "x86_64")]
            OperandType::Bf16(isa) => operation.cpu::<Bf16>(isa),
        },
        Backend::Cpu(Arithmetic::F64) => operation.cpu::<f64>(Isa::current()?),
        Backend::Reference => operation.reference(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_and_without_fused_use_the_reference() {
        let of = |dtype| Backend::of(&Tensor::zeros(1, dtype, &Device::Cpu).unwrap());
        assert_eq!(of(DType::F32), Backend::Cpu(Arithmetic::F32));
        assert_eq!(of(DType::F64), Backend::Cpu(Arithmetic::F64));
        assert_eq!(of(DType::F16), Backend::Reference);
        assert_eq!(without_fused(|| of(DType::F32)), Backend::Reference);
        assert_eq!(of(DType::F32), Backend::Cpu(Arithmetic::F32), "the setting ends with the scope");
    }
}
