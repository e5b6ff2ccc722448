//! Gradients of parameters that bypass candle's gradient store.
//!
//! Candle's backward pass makes a tensor of zeros for every operand of an op and adds to it the gradient that the op
//! returns. For a parameter that one op uses, these are three passes over its memory. During [`backward`] the fused ops
//! put the gradients of variables into a map of the thread instead and return none to candle.

use std::cell::RefCell;
use std::collections::HashMap;

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, TensorId};

thread_local! {
    /// The gradients collected so far by this thread's [`backward`], if it is inside one.
    static COLLECTED: RefCell<Option<HashMap<TensorId, Tensor>>> = const { RefCell::new(None) };
}

/// The gradients of a loss.
pub struct LossGradients {
    store: GradStore,
    collected: HashMap<TensorId, Tensor>,
}

/// Compute the gradients of `loss`. The result is that of [`Tensor::backward`], and it is faster.
///
/// The nodes of a fused layer pass gradients to one another outside candle's store. So backward passes of losses
/// that share the call of a layer must run one after another, not at the same time.
///
/// # Errors
/// Errors from candle.
pub fn backward(loss: &Tensor) -> Result<LossGradients> {
    /// Restores the state of an outer call, also if the backward pass fails.
    struct Restore(Option<HashMap<TensorId, Tensor>>);
    impl Drop for Restore {
        fn drop(&mut self) {
            COLLECTED.set(self.0.take());
        }
    }
    let restore = Restore(COLLECTED.replace(Some(HashMap::new())));
    let store = loss.backward()?;
    let collected = COLLECTED.take().unwrap_or_default();
    drop(restore);
    Ok(LossGradients { store, collected })
}

impl LossGradients {
    /// Return the gradient of a variable, if the loss depends on it.
    ///
    /// # Errors
    /// Errors from candle.
    pub fn get(&self, variable: &Tensor) -> Result<Option<Tensor>> {
        match (self.collected.get(&variable.id()), self.store.get(variable)) {
            (Some(a), Some(b)) => Ok(Some((a + b.detach())?)),
            (a, b) => Ok(a.cloned().or_else(|| b.map(Tensor::detach))),
        }
    }
}

/// Collect the gradient of a variable during [`backward`]. Return it for candle's store otherwise, as an op's `bwd`
/// must.
pub(super) fn collect(tensor: &Tensor, gradient: Tensor) -> Result<Option<Tensor>> {
    COLLECTED.with_borrow_mut(|collected| match collected {
        Some(collected) if tensor.is_variable() => {
            let sum = match collected.remove(&tensor.id()) {
                Some(other) => (other + gradient)?,
                None => gradient,
            };
            collected.insert(tensor.id(), sum);
            Ok(None)
        }
        _ => Ok(Some(gradient)),
    })
}
