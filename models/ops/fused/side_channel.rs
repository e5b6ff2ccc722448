//! Values that pass between the nodes of a layer outside candle's tensors.

use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{Result, Tensor, bail};

use crate::kernels::cpu::{self, Operand};

/// The values that pass between the nodes of one call of a layer. One node puts each, another takes it.
pub(super) struct SideChannel<O: Operand> {
    /// The final state, from the recurrence to its node: (batch, output) hidden, then (batch, hidden) cell.
    pub(super) state: Slot<Vec<O::Sum>>,
    /// The gradient of the final state, back to the recurrence, if the loss depends on that state.
    pub(super) d_state: Slot<Tensor>,
    /// The gradient of the gates, back to the input projection.
    pub(super) d_gates: Slot<cpu::GateGradients<O>>,
}

impl<O: Operand> Default for SideChannel<O> {
    fn default() -> Self {
        Self { state: Slot::default(), d_state: Slot::default(), d_gates: Slot::default() }
    }
}

/// Storage for one value between two nodes.
pub(super) struct Slot<T>(Mutex<Option<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(Mutex::new(None))
    }
}

impl<T> Slot<T> {
    fn lock(&self) -> MutexGuard<'_, Option<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Store a value in place of the previous one.
    pub(super) fn put(&self, value: T) {
        *self.lock() = Some(value);
    }

    /// Take the value, if there is one.
    pub(super) fn take(&self) -> Option<T> {
        self.lock().take()
    }

    /// Take the value.
    ///
    /// # Errors
    /// If there is none; the message has its `name`.
    pub(super) fn expect(&self, name: &str) -> Result<T> {
        match self.take() {
            Some(value) => Ok(value),
            None => bail!("the nodes of a fused layer ran out of order: there is no {name}"),
        }
    }
}
