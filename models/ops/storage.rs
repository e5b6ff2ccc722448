//! Slices of candle's tensors on the processor.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor, bail};

use crate::kernels::cpu::Real;

/// Call `f` with the elements of contiguous tensors on the processor; an empty slice stands for `None`.
///
/// # Errors
/// If a tensor is on another device, of another type or not contiguous.
pub(super) fn read<E: Real, T, const N: usize>(
    tensors: [Option<&Tensor>; N],
    f: impl FnOnce([&[E]; N]) -> T,
) -> Result<T> {
    let guards = tensors.map(|tensor| tensor.map(Tensor::storage_and_layout));
    let mut slices: [&[E]; N] = [&[]; N];
    for (slice, guard) in slices.iter_mut().zip(&guards) {
        let Some((storage, layout)) = guard else { continue };
        match &**storage {
            Storage::Cpu(storage) => *slice = elements(storage, layout)?,
            _ => bail!("a tensor of a fused layer is not on the processor"),
        }
    }
    Ok(f(slices))
}

/// Return the elements of a contiguous layout.
///
/// # Errors
/// If the layout is not contiguous or the storage has another type.
pub(super) fn elements<'a, E: Real>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [E]> {
    match layout.contiguous_offsets() {
        Some((from, to)) => Ok(&E::cpu_storage_as_slice(storage)?[from..to]),
        None => bail!("a fused layer needs contiguous tensors, not {layout:?}"),
    }
}

/// Make a tensor of these elements with the shape and device of `like`.
pub(super) fn tensor_like<E: Real>(elements: Vec<E>, like: &Tensor) -> Result<Tensor> {
    Tensor::from_vec(elements, like.shape(), like.device())
}
