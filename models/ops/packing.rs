//! Packing the weights of a layer for the kernels.

use std::any::TypeId;
use std::sync::Arc;

use candle_core::{Result, Tensor};

use super::layer_weights::LayerWeights;
use super::packed_cache::PackingKey;
use super::storage::read;
use crate::kernels::CellKind;
use crate::kernels::cpu::{self, Isa, Operand, Real};

/// Return the packed weights of a layer that is not trained, from its cache if they are there; `None` for a layer that
/// is trained, whose weights differ at each call.
///
/// # Errors
/// Errors from candle.
pub(super) fn packed_if_frozen<O: Operand<Sum: Real>>(
    isa: Isa,
    kind: CellKind,
    weights: LayerWeights<'_>,
) -> Result<Option<Arc<cpu::PackedLayer<O>>>> {
    if weights.are_trained() {
        return Ok(None);
    }
    let key = PackingKey {
        operand: TypeId::of::<O>(),
        lanes: isa.lanes::<O::Sum>(),
        kind,
        input: weights.input(),
        hidden: weights.hidden,
        output: weights.output(),
    };
    if let Some(packed) = weights.packed.get::<O>(key) {
        return Ok(Some(packed));
    }
    // Without the lock: two threads may pack at the same time, with the same result.
    let packed = Arc::new(pack::<O>(isa, kind, weights)?);
    weights.packed.put(key, packed.clone());
    Ok(Some(packed))
}

/// Pack the weights as they are now.
///
/// # Errors
/// Errors from candle.
pub(super) fn pack<O: Operand<Sum: Real>>(
    isa: Isa,
    kind: CellKind,
    weights: LayerWeights<'_>,
) -> Result<cpu::PackedLayer<O>> {
    let (hidden, output) = (weights.hidden, weights.output());
    let shape = cpu::SequenceShape { batch: 1, time: 1, hidden, output, gates: kind.gates() };
    let hr = weights.hr.map(Tensor::contiguous).transpose()?;
    let matrices = [Some(&weights.ih.contiguous()?), Some(&weights.hh.contiguous()?), hr.as_ref()];
    read::<O::Sum, _, 3>(matrices, |[ih, hh, hr]| {
        cpu::PackedLayer::new(isa, kind, shape, [ih, hh], weights.hr.is_some().then_some(hr))
    })
}
