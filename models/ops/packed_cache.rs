//! Weights packed for the kernels, kept between calls.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor};

use super::layer_weights::LayerWeights;
use super::storage::read;
use crate::kernels::CellKind;
use crate::kernels::cpu::{self, Isa, Real};

/// The packed weights of a layer that is not trained. They are packed at the first call, and anew when a call
/// needs another packing or after [`PackedCache::clear`]. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct PackedCache(Arc<Mutex<Option<Entry>>>);

/// Packed weights with everything that the packing depends on, beside the weights.
struct Entry {
    key: Key,
    packed: Arc<dyn Any + Send + Sync>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    element: TypeId,
    /// Elements of a vector.
    lanes: usize,
    kind: CellKind,
    input: usize,
    hidden: usize,
    output: usize,
}

impl fmt::Debug for PackedCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.lock().is_some() { "PackedCache(packed)" } else { "PackedCache(empty)" })
    }
}

impl PackedCache {
    /// Forget the packed weights: the next call packs the weights as they are then.
    pub(crate) fn clear(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Entry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get<E: Real>(&self, key: Key) -> Option<Arc<cpu::PackedLayer<E>>> {
        let entry = self.lock();
        let packed = entry.as_ref().filter(|entry| entry.key == key)?.packed.clone();
        packed.downcast().ok()
    }
}

/// The packed weights of a layer that is not trained, from its cache if they are there; `None` for a layer that is
/// trained, whose weights differ at each call.
///
/// # Errors
/// Errors from candle.
pub(super) fn packed_if_frozen<E: Real>(
    isa: Isa,
    kind: CellKind,
    weights: LayerWeights<'_>,
) -> Result<Option<Arc<cpu::PackedLayer<E>>>> {
    if weights.are_trained() {
        return Ok(None);
    }
    let key = Key {
        element: TypeId::of::<E>(),
        lanes: isa.lanes::<E>(),
        kind,
        input: weights.input(),
        hidden: weights.hidden,
        output: weights.output(),
    };
    if let Some(packed) = weights.packed.get::<E>(key) {
        return Ok(Some(packed));
    }
    // Without the lock: two threads may pack at the same time, with the same result.
    let packed = Arc::new(pack::<E>(isa, kind, weights)?);
    *weights.packed.lock() = Some(Entry { key, packed: packed.clone() });
    Ok(Some(packed))
}

/// Pack the weights as they are now.
///
/// # Errors
/// Errors from candle.
pub(super) fn pack<E: Real>(
    isa: Isa,
    kind: CellKind,
    weights: LayerWeights<'_>,
) -> Result<cpu::PackedLayer<E>> {
    let (hidden, output) = (weights.hidden, weights.output());
    let shape = cpu::SequenceShape { batch: 1, time: 1, hidden, output, gates: kind.gates() };
    let hr = weights.hr.map(Tensor::contiguous).transpose()?;
    let matrices = [Some(&weights.ih.contiguous()?), Some(&weights.hh.contiguous()?), hr.as_ref()];
    read::<E, _, 3>(matrices, |[ih, hh, hr]| {
        cpu::PackedLayer::new(isa, kind, shape, [ih, hh], weights.hr.is_some().then_some(hr))
    })
}
