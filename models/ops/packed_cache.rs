//! Weights packed for the kernels, kept between calls.

use std::any::{Any, TypeId};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::kernels::CellKind;
use crate::kernels::cpu::{self, Real};

/// The packed weights of a layer that is not trained. They are packed at the first call, and anew when a call
/// needs another packing or after [`PackedCache::clear`]. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct PackedCache(Arc<Mutex<Option<Entry>>>);

/// Packed weights with the key that they were packed for.
struct Entry {
    key: Key,
    packed: Arc<dyn Any + Send + Sync>,
}

/// Everything that a packing depends on, beside the values of the weights.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Key {
    pub(super) element: TypeId,
    /// Elements of a vector.
    pub(super) lanes: usize,
    pub(super) kind: CellKind,
    pub(super) input: usize,
    pub(super) hidden: usize,
    pub(super) output: usize,
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

    /// The packed weights for `key`, if they are the last that were put.
    pub(super) fn get<E: Real>(&self, key: Key) -> Option<Arc<cpu::PackedLayer<E>>> {
        let entry = self.lock();
        let packed = entry.as_ref().filter(|entry| entry.key == key)?.packed.clone();
        packed.downcast().ok()
    }

    /// Replace the packed weights.
    pub(super) fn put<E: Real>(&self, key: Key, packed: Arc<cpu::PackedLayer<E>>) {
        *self.lock() = Some(Entry { key, packed });
    }
}
