//! A cache of weights packed for the kernels.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kernels::CellKind;
use crate::kernels::cpu::{Operand, PackedLayer};

/// The packed weights of a layer that is not trained. They are packed at the first call, and anew when a call
/// needs another packing or after [`PackedCache::clear`]. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct PackedCache(Arc<Mutex<Option<CacheEntry>>>);

/// Packed weights, with what the packing depends on.
struct CacheEntry {
    key: PackingKey,
    packed: Arc<dyn Any + Send + Sync>,
}

/// Everything besides the weights that a packing depends on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct PackingKey {
    /// The type of the operands.
    pub operand: TypeId,
    /// Elements of a vector.
    pub lanes: usize,
    /// The kind of cell.
    pub kind: CellKind,
    /// Features of a step.
    pub input: usize,
    /// Hidden units.
    pub hidden: usize,
    /// Features of the output.
    pub output: usize,
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

    fn lock(&self) -> MutexGuard<'_, Option<CacheEntry>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replace the packed weights.
    pub(super) fn put<O: Operand>(&self, key: PackingKey, packed: Arc<PackedLayer<O>>) {
        *self.lock() = Some(CacheEntry { key, packed });
    }

    /// Return the packed weights, if they are packed in the same way.
    pub(super) fn get<O: Operand>(&self, key: PackingKey) -> Option<Arc<PackedLayer<O>>> {
        let entry = self.lock();
        let packed = entry.as_ref().filter(|entry| entry.key == key)?.packed.clone();
        packed.downcast().ok()
    }
}
